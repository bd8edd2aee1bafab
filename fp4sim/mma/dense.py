"""Dense products of fp16, bf16 and tf32 as Blackwell's ``mma.sync`` makes them: each product aligned by its own exponent."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.errors import UsageError
from fp4sim.floats import FloatFormat
from fp4sim.mma.block_scaled import float_bits
from fp4sim.mma.instances import model_named
from fp4sim.mma.operands import Factors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.mma.model import MmaModel
    from fp4sim.mma.multiply import Path

# The layout of a code and the elements of a step, by kind; tf32 codes are float32 bits whose low 13 are not read.
KINDS: dict[str, tuple[FloatFormat, int]] = {
    "fp16": (FloatFormat("fp16", 5, 10, 15), 16),
    "bf16": (FloatFormat("bf16", 8, 7, 127), 16),
    "tf32": (FloatFormat("tf32", 8, 10, 127), 4),
}


def dense_mma(
    a: NDArray[Any],
    b: NDArray[Any],
    c: NDArray[np.float32] | NDArray[np.uint32],
    *,
    kind: str,
    model: str | MmaModel = "dense",
    path: Path = "compiled",
    threads: int | None = None,
) -> NDArray[np.float32]:
    """D = A Bᵀ + C of finite codes, with float32 D; K beyond a step is chained through D.

    Args:
        a: codes (m, K), uint16 for fp16 and bf16, uint32 for tf32; ``b``: (n, K).
        c: float32 (m, n), or its bits as uint32.
        kind: ``"fp16"``, ``"bf16"`` (steps of 16) or ``"tf32"`` (steps of 4).
        model: the model, which must align single products; its step is replaced by the kind's.
        path, threads: as for :func:`fp4sim.mma.block_scaled_mma`.

    All three arrays may have one more axis in front. Source: 15,000 raw outputs of one step on a B200, all reproduced; that
    steps chain is how instructions are used, not something measured here.

    Raises:
        UsageError for dtypes, shapes, unknown kinds, and Inf or NaN in a or b.
    """
    from fp4sim.mma.multiply import multiply  # what it imports is not needed on a GPU

    if kind not in KINDS:
        raise UsageError(f"kind {kind!r}: {', '.join(KINDS)}")
    fmt, step = KINDS[kind]
    rule = replace(model_named(model), step=step)
    if rule.group != 1:
        raise UsageError(f"model {rule.name!r} sums groups of {rule.group}: dense products need a model of groups of 1")
    words = float_bits(c)
    left, right = (_factors(name, array, kind, fmt, step) for name, array in (("a", a), ("b", b)))
    lifted = words[None] if words.ndim == 2 else words
    if lifted.shape != (*left.nan.shape, right.nan.shape[1]) or left.nan.shape[0] != right.nan.shape[0]:
        raise UsageError(f"c has shape {words.shape}, a {np.shape(a)} and b {np.shape(b)}: they do not fit")
    if np.shape(a)[-1] != np.shape(b)[-1]:
        raise UsageError(f"K differs: {np.shape(a)[-1]} in a, {np.shape(b)[-1]} in b")
    return multiply(left, right, lifted, rule, path, threads).reshape(words.shape).view(np.float32)


def _factors(name: str, array: Any, kind: str, fmt: FloatFormat, step: int) -> Factors:
    """Codes as significands and exponents, K filled up with zeros."""
    codes, dtype = np.asarray(array), np.dtype(np.uint32 if kind == "tf32" else np.uint16)
    if codes.dtype != dtype or codes.ndim not in (2, 3) or codes.shape[-1] == 0:
        raise UsageError(f"{name} is {codes.dtype} of shape {codes.shape}: {kind} codes are {dtype}, (rows, K)")
    words = codes.astype(np.int64) >> (13 if kind == "tf32" else 0)
    words = words[None] if words.ndim == 2 else words
    words = np.pad(words, ((0, 0), (0, 0), (0, -words.shape[-1] % step)))
    mantissa_bits, top = fmt.mantissa_bits, (1 << fmt.exponent_bits) - 1
    field, mantissa = words >> mantissa_bits & top, words & ((1 << mantissa_bits) - 1)
    if (field == top).any():
        raise UsageError(f"{name} holds Inf or NaN: dense products are defined here for finite codes")
    magnitude = mantissa | np.where(field > 0, 1 << mantissa_bits, 0)
    signed = np.where(words >> (mantissa_bits + fmt.exponent_bits) & 1, -magnitude, magnitude)
    exponent = np.where(magnitude > 0, np.maximum(field, 1) - fmt.bias, 0)
    scale = np.ones(words.shape, np.int16)
    nan = np.zeros(words.shape[:2], np.bool_)
    values = (signed.astype(np.int16), exponent.astype(np.int16), scale, np.zeros_like(scale))
    return Factors(*values, nan, 1, step, mantissa_bits)
