"""Adversarial operands for matrix steps, drawn from a seed; no pytest, no numba needed."""

from __future__ import annotations

import numpy as np

KINDS = [("ue4m3", 16), ("ue8m0", 16), ("ue8m0", 32)]
FAMILIES = ["any", "ordinary", "subnormal", "sparse", "zero_products", "cancelling", "wide", "nan", "huge_c", "tiny"]
Operands = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def operands(seed: int, family: str, kind: tuple[str, int], m: int = 4, n: int = 3, blocks: int = 6) -> Operands:
    """Packed A and B, bits of C, and scale bytes of A and B."""
    rng, block = np.random.default_rng(seed), kind[1]
    length = 32 * -(-blocks * block // 32)
    codes = [rng.integers(0, 256, (rows, length // 2), dtype=np.uint8) for rows in (m, n)]
    scales = [_scales(rng, family, kind, (rows, length // block)) for rows in (m, n)]
    c = np.where(rng.random((m, n)) < 0.3, 0, rng.integers(0, 1 << 32, (m, n))).astype(np.uint32)
    if family in ("sparse", "zero_products"):
        codes = [np.where(rng.random(part.shape) < 0.9, part & 0x88, part).astype(np.uint8) for part in codes]
        if family == "zero_products":
            codes[1][:, ::2] = 0
            c = (0x3F800000 + rng.integers(0, 1 << 12, (m, n))).astype(np.uint32)
    if family == "cancelling":  # each half of A is the other's negative, with other scales now and then
        codes[0][:, 8:16], codes[1][:, 8:16] = codes[0][:, :8] ^ 0x88, codes[1][:, :8]
        c = rng.integers(0x30000000, 0x50000000, (m, n)).astype(np.uint32)
    if family == "huge_c":
        c = rng.choice([0x7F7FFFFF, 0x7F800000, 0xFF800000, 0xFF7FFFFF, 0x7FC00000, 0x5F000001], (m, n)).astype(
            np.uint32
        )
    if family == "tiny":
        c = (rng.integers(0, 1 << 24, (m, n)) >> rng.integers(0, 24, (m, n))).astype(np.uint32)
        c |= (rng.integers(0, 2, (m, n)) << 31).astype(np.uint32)
    return codes[0], codes[1], c, *scales


def _scales(rng: np.random.Generator, family: str, kind: tuple[str, int], shape: tuple[int, int]) -> np.ndarray:
    float_scale = kind[0] == "ue4m3"
    if family == "any":
        return rng.integers(0, 0x7F if float_scale else 0xFF, shape).astype(np.uint8)
    if family == "nan":
        nan = 0x7F if float_scale else 0xFF
        return np.where(rng.random(shape) < 0.05, nan, rng.integers(0, 256, shape)).astype(np.uint8)
    if float_scale:
        low, high = {"ordinary": (0x30, 0x40), "subnormal": (0, 10), "tiny": (0, 3), "wide": (0, 0x7F)}.get(
            family, (0, 0x7F)
        )
        return (rng.integers(low, high, shape) | np.where(rng.random(shape) < 0.2, 0x80, 0)).astype(np.uint8)
    low, high = {"ordinary": (124, 130), "subnormal": (0, 60), "tiny": (45, 60), "wide": (0, 255)}.get(
        family, (90, 160)
    )
    return rng.integers(low, high, shape).astype(np.uint8)
