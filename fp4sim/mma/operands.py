"""Operands of a matrix unit as integers: what codes and scale bytes stand for, laid out in steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from fp4sim.errors import UsageError
from fp4sim.floats import E2M1, E8M0, UE4M3
from fp4sim.kernels.reference.blocks import unpack

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.mma.model import MmaModel

ScaleFormat = Literal["ue4m3", "ue8m0"]
_KINDS = (("ue8m0", 32), ("ue8m0", 16), ("ue4m3", 16))


@dataclass(frozen=True, eq=False)
class Factors:
    """One operand: rows of K elements in atoms, the runs of elements that share a scale and a group.

    The value of an element is ``significand * scale * 2^(exponent + scale_exponent - unit)``.

    * ``significand``: int16 (batch, rows, K), K padded with zeros to whole steps; ``exponent``: the same, or zeros of shape
      (batch, rows, 0) where atoms are wider than one element and the exponent is in the significand.
    * ``scale``, ``scale_exponent``: int16 (batch, rows, K / atom); ``nan``: bool (batch, rows), rows with a NaN.
    """

    significand: NDArray[np.int16]
    exponent: NDArray[np.int16]
    scale: NDArray[np.int16]
    scale_exponent: NDArray[np.int16]
    nan: NDArray[np.bool_]
    atom: int
    step: int
    unit: int


def block_scaled(
    packed: NDArray[np.uint8], scale: NDArray[np.uint8], fmt: ScaleFormat, block: int, model: MmaModel
) -> Factors:
    """E2M1 codes (batch, rows, K/2), two a byte, and scale bytes (batch, rows, K/block) as integers."""
    codes = unpack(packed)
    length, atom = codes.shape[-1], min(model.group, block)
    step = model.step_length(block, length)
    padded = np.pad(codes, ((0, 0), (0, 0), (0, -length % step)))
    if model.order == "even-odd" and block == 32:
        pairs = padded.reshape(*padded.shape[:2], -1, 16, 2)
        padded = np.ascontiguousarray(pairs.swapaxes(-1, -2)).reshape(padded.shape)
    significands, exponents, unit = _elements(atom, model)
    scales, scale_exponents, scale_unit = scale_table(fmt, model)
    is_nan = (scale & np.uint8(0x7F) == 0x7F) if fmt == "ue4m3" else scale == 0xFF
    atoms = np.pad(np.repeat(scale, block // atom, axis=-1), ((0, 0), (0, 0), (0, (-length % step) // atom)))
    return Factors(
        significands[padded],
        exponents[padded] if atom == 1 else np.zeros((*codes.shape[:2], 0), np.int16),
        scales[atoms],
        scale_exponents[atoms],
        np.asarray(is_nan.any(axis=-1)),
        atom,
        step,
        unit + scale_unit,
    )


def _elements(atom: int, model: MmaModel) -> tuple[NDArray[np.int16], NDArray[np.int16], int]:
    """Significands and exponents of E2M1's 16 codes, and the unit: twice the value, or its own float."""
    values = E2M1.values()
    if atom > 1:
        return (2 * values).astype(np.int16), np.zeros(16, np.int16), 1
    exponents = np.maximum(np.frexp(values)[1] - 1, -1 if model.elements == "normalised" else 0)
    exponents[values == 0] = 0
    return np.ldexp(values, 1 - exponents).astype(np.int16), exponents.astype(np.int16), 1


def scale_table(fmt: ScaleFormat, model: MmaModel) -> tuple[NDArray[np.int16], NDArray[np.int16], int]:
    """Significands, exponents (both by byte) and the unit; NaN bytes as 0."""
    codes = np.arange(256)
    if fmt == "ue8m0":
        return np.where(codes == 0xFF, 0, 1).astype(np.int16), (codes - E8M0.bias).astype(np.int16), 0
    magnitude = codes & 0x7F
    field, mantissa = magnitude >> 3, magnitude & 7
    significand = mantissa + np.where(field > 0, 8, 0)
    exponent = np.maximum(field, 1) - UE4M3.bias
    if model.subnormal_scale == "normalised":
        shift = np.where((significand > 0) & (significand < 8), 4 - np.frexp(significand.astype(float))[1], 0)
        significand, exponent = significand << shift, exponent - shift
    significand = np.where(magnitude == 0x7F, 0, significand)
    if model.signed_scale:
        significand = np.where(codes & 0x80, -significand, significand)
    return significand.astype(np.int16), exponent.astype(np.int16), 3


def check_kind(scale_format: str, block: int) -> ScaleFormat:
    """The scale format, if an instruction takes it with this block. Raises UsageError."""
    for fmt, size in _KINDS:
        if (scale_format, block) == (fmt, size):
            return fmt  # type: ignore[return-value]
    legal = ", ".join(f"{fmt} with block {size}" for fmt, size in _KINDS)
    raise UsageError(
        f"no instruction multiplies E2M1 under {scale_format} scales with block {block}: possible are {legal}"
    )
