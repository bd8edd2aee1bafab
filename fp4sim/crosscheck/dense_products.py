"""Dense products on this GPU's tensor cores (cuda/dense_mma.cu): single outputs of one instruction, and operands that tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.mma import fragments

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.crosscheck.device import Device
    from fp4sim.mma.model import MmaModel

SOURCE = "dense_mma.cu"


@dataclass(frozen=True)
class DenseKind:
    """An instruction: its name in :mod:`fp4sim.mma.dense`, elements of K, and what its codes are.

    ``exponents``: the exponent fields to draw from, half-open, so that no product leaves float32's range.
    """

    name: str
    k: int
    dtype: Any
    exponents: tuple[int, int]
    mantissa_bits: int

    @property
    def reaches_subnormals(self) -> bool:
        """Whether products of normal codes can be subnormal in float32."""
        return self.exponents[1] > 127


FP16 = DenseKind("fp16", 16, np.uint16, (0, 31), 10)
BF16 = DenseKind("bf16", 16, np.uint16, (97, 158), 7)
TF32 = DenseKind("tf32", 8, np.uint32, (97, 158), 10)
E4M3 = DenseKind("e4m3", 32, np.uint8, (0, 15), 3)
KINDS = (FP16, BF16, TF32)
_LOW_FIELDS = (46, 70)  # products of 2^-162 to 2^-114


def operands(kind: DenseKind, count: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.uint32]]:
    """Codes (count, K) of A and B, bits of C (count,).

    Few and many binades, halves that all but cancel, products with little beside them, C near, far and 0; where the format
    reaches there, also results at and below float32's smallest normal.
    """
    rng = np.random.default_rng([kind.k, kind.mantissa_bits])
    codes = [_codes(kind, rng, count), _codes(kind, rng, count)]
    half = kind.k // 2
    sign = kind.dtype(1 << (8 * np.dtype(kind.dtype).itemsize - 1))
    codes[0][1::4, half:], codes[1][1::4, half:] = codes[0][1::4, :half] ^ sign, codes[1][1::4, :half]
    codes[0][1::4, half] ^= kind.dtype(1 << _shift(kind))
    lone = rng.random((count, kind.k)) < 0.75
    codes[0][2::4] = np.where(lone[2::4], kind.dtype(0), codes[0][2::4])
    low, high = kind.exponents
    spread = rng.integers(-(high - low), high - low, count)
    exponent = np.clip(127 + spread, 1, 254).astype(np.uint32)
    c = exponent << np.uint32(23) | rng.integers(0, 1 << 23, count).astype(np.uint32)
    c |= rng.integers(0, 2, count).astype(np.uint32) << np.uint32(31)
    c[::3] = 0
    if kind.reaches_subnormals:
        rows = np.arange(3, count, 4)
        for part in codes:
            part[rows] = _codes(kind, rng, rows.size, _LOW_FIELDS)
        small = rng.integers(0, 1 << 24, rows.size).astype(np.uint32) >> rng.integers(0, 24, rows.size).astype(
            np.uint32
        )
        c[rows] = np.where(rng.random(rows.size) < 0.5, 0, small | c[rows] & np.uint32(1 << 31))
        _cut_by_the_floor(kind, rng, codes, c, rows[1::2])
    return codes[0], codes[1], c


def _cut_by_the_floor(
    kind: DenseKind, rng: np.random.Generator, codes: list[NDArray[Any]], c: NDArray[np.uint32], rows: NDArray[Any]
) -> None:
    """Rows of 2^-149 (or 0) less one product of 2^-150 to 2^-170, and C = 0: the least anchor decides whether that counts."""
    unit = 1 << kind.mantissa_bits + _shift(kind)
    sign = 1 << (8 * np.dtype(kind.dtype).itemsize - 1)
    for part in codes:
        part[rows] = 0
    c[rows] = 0
    codes[0][rows, 0], codes[1][rows, 0] = 53 * unit * rng.integers(0, 2, rows.size), 52 * unit
    codes[0][rows, 1], codes[1][rows, 1] = 53 * unit | sign, (51 - rng.integers(0, 21, rows.size)) * unit


def multiply_dense(
    device: Device, kind: DenseKind, a: NDArray[Any], b: NDArray[Any], c: NDArray[np.uint32]
) -> NDArray[np.uint32]:
    """Bits of one instruction's outputs: row i of ``a`` times row i of ``b`` plus ``c[i]``; the count is a multiple of 8."""
    columns, tiles = fragments.COLUMNS, c.size // fragments.COLUMNS
    words = [np.ascontiguousarray(part).view("<u4").reshape(tiles, columns, fragments.WORDS) for part in (a, b)]
    tall = np.concatenate([words[0], np.zeros_like(words[0])], axis=1)
    whole = np.zeros((tiles, fragments.ROWS, columns), np.uint32)
    place = np.arange(columns)
    whole[:, place, place] = c.reshape(tiles, columns)
    packed = (fragments.pack_a(tall), fragments.pack_b(words[1]), fragments.pack_c(whole))
    given = [device.put(np.ascontiguousarray(part)) for part in packed]
    d = device.put(np.zeros((tiles, fragments.LANES, 4), np.uint32))
    device.call(SOURCE, f"dense_{kind.name}", tiles * fragments.LANES, *given, d, np.uint32(tiles))
    return fragments.unpack_d(device.get(d))[:, place, place].reshape(-1)


def expected_dense(
    kind: DenseKind, a: NDArray[Any], b: NDArray[Any], c: NDArray[np.uint32], model: MmaModel
) -> NDArray[np.uint32]:
    """The bits that a model gives for :func:`multiply_dense`."""
    from fp4sim.mma import dense_mma

    step = model.step if isinstance(model.step, int) else kind.k
    d = dense_mma(
        a[:, None], b[:, None], np.ascontiguousarray(c[:, None, None]), kind=kind.name, model=model, step=step
    )
    return d.view(np.uint32)[:, 0, 0]


def _shift(kind: DenseKind) -> int:
    """Low bits of a code that the unit does not read."""
    return 13 if kind is TF32 else 0


def _codes(
    kind: DenseKind, rng: np.random.Generator, count: int, fields: tuple[int, int] | None = None
) -> NDArray[Any]:
    low, high = fields or kind.exponents
    width = rng.choice([1, 4, high - low], (count, 1))
    start = rng.integers(low, high - width + 1)
    field = start + rng.integers(0, width, (count, kind.k))
    mantissa = rng.integers(0, 1 << kind.mantissa_bits, (count, kind.k))
    sign = rng.integers(0, 2, (count, kind.k))
    bits = 8 * np.dtype(kind.dtype).itemsize - 1 - _shift(kind)
    return np.asarray((sign << bits | field << kind.mantissa_bits | mantissa) << _shift(kind), kind.dtype)
