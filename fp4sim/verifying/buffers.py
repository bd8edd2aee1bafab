"""A dumped case in fp4sim's own arrangement: matrices with the quantized axis last, scales linear, padding apart.

* codes: 4-bit ones two a byte (low nibble first, rows padded to whole blocks or not) or one a byte, in the shape of x or
  with the axis moved last, or flat; uint8, int8, float4.
* block scales: raw codes of any integer or float dtype of their width, or float32 holding exactly their values; any shape
  of the right size: linear, or padded to 128x4 or 8x4, which the size tells where it can.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.errors import UnreadableError
from fp4sim.kernels.reference.blocks import unpack
from fp4sim.kernels.reference.encode import decode
from fp4sim.layouts import LAYOUTS, Layout, offsets, padded_shape
from fp4sim.panels import is_float

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.geometry import Geometry
    from fp4sim.spec import Spec
    from fp4sim.verifying.dump import Case

_FLOAT4 = "float4_e2m1fn"


@dataclass(frozen=True)
class Padding:
    """Bytes that belong to no element: how many, and how many of them are not zero."""

    total: int = 0
    nonzero: int = 0

    def __add__(self, other: Padding) -> Padding:
        return Padding(self.total + other.total, self.nonzero + other.nonzero)


@dataclass(frozen=True, eq=False)
class Output:
    """What a kernel wrote. None: not dumped.

    ``codes``: (rows, length), one a byte, of the first draw; ``draws``: of every draw. ``scales``: (block rows, blocks).
    ``tensor_scale``: float32, flat, as dumped (``divides``: a divisor,
    ``inverse``: or the rounded inverse of the multiplier). ``values``: (rows, length). ``layout``: that the
    scales were read in.
    """

    codes: NDArray[np.unsignedinteger] | None
    draws: tuple[NDArray[np.unsignedinteger], ...]
    scales: NDArray[np.unsignedinteger] | None
    tensor_scale: NDArray[np.float32] | None
    divides: bool
    values: NDArray[Any] | None
    layout: Layout
    padding: Padding
    inverse: bool = False


def output_of(case: Case, spec: Spec, geometry: Geometry, layout: str = "auto") -> Output:
    """Bring a case's arrays into order. Raises UnreadableError for shapes and dtypes that do not fit the input."""
    padding = Padding()
    draws = []
    for raw in _draws(case, geometry):
        codes, rest = _codes(raw, spec, geometry, case)
        draws.append(codes)
        padding += rest
    scales, found = None, "linear"
    if case.block_scale is not None:
        if spec.scale is None:
            raise UnreadableError(f"{case.label}: has block scales, {spec.short} has none")
        scales, found, rest = _scales(case.block_scale, spec, geometry, case, layout)
        padding += rest
    return Output(
        draws[0] if draws else None,
        tuple(draws),
        scales,
        _tensor_scale(case, geometry),
        case.divides,
        None if case.dequantized is None else _values(case.dequantized, geometry, case),
        found,  # type: ignore[arg-type]
        padding,
        case.inverse,
    )


def to_matrix(array: NDArray[Any], geometry: Geometry) -> NDArray[Any]:
    """An array of x's shape as (rows, length); one of another shape in its memory order."""
    if array.shape == geometry.shape:
        array = np.moveaxis(array, geometry.axis, -1)
    return np.ascontiguousarray(array).reshape(geometry.rows, geometry.length)


def _draws(case: Case, geometry: Geometry) -> tuple[NDArray[Any], ...]:
    """One array a draw; a leading axis that x does not have counts draws."""
    if len(case.codes) == 1 and case.codes[0].ndim == len(geometry.shape) + 1:
        stacked = case.codes[0]
        return tuple(stacked[i] for i in range(stacked.shape[0]))
    return case.codes


def _codes(
    raw: NDArray[Any], spec: Spec, geometry: Geometry, case: Case
) -> tuple[NDArray[np.unsignedinteger], Padding]:
    dtype, bits = spec.element.code_dtype, spec.element.bits
    if bits > 4:
        raw = _wide(raw, dtype, geometry)
    if raw.dtype.itemsize != dtype.itemsize or raw.dtype.kind == "b" or (bits <= 4 and _is_wide_float(raw.dtype)):
        raise UnreadableError(f"{case.label}: codes of dtype {raw.dtype.name}; {spec.element} codes are {dtype}")
    codes = np.ascontiguousarray(raw).view(dtype)
    rows, length = geometry.rows, geometry.length
    padded = geometry.stored_length
    if bits > 4 and padded != length and codes.size == rows * padded:
        wide = codes.reshape(rows, padded)
        return wide[:, :length].copy(), Padding(rows * (padded - length), int(np.count_nonzero(wide[:, length:])))
    logical = {geometry.shape, geometry.moved_shape, geometry.shape[::-1]}
    if codes.size == rows * length and (codes.ndim == 1 or codes.shape in logical):
        if bits > 4 or not (codes >> np.uint8(4)).any():
            return to_matrix(codes, geometry), Padding()
        if raw.dtype.name == _FLOAT4 or codes.shape != _packed_shapes(geometry)[0]:
            raise UnreadableError(f"{case.label}: codes one a byte hold bytes above 0x0f: two a byte are half as many")
    if bits <= 4 and raw.dtype.name != _FLOAT4:
        for shape in _packed_shapes(geometry):
            if codes.size == int(np.prod(shape)) and (codes.ndim == 1 or codes.shape in _turned(shape, geometry)):
                wide = unpack(codes.reshape(rows, -1))
                rest = wide[:, length:]
                return np.ascontiguousarray(wide[:, :length]), Padding(rest.size, int(np.count_nonzero(rest)))
    shapes = " or ".join(
        str(shape) for shape in dict.fromkeys((geometry.shape, *_packed_shapes(geometry)[: bits <= 4]))
    )
    raise UnreadableError(f"{case.label}: codes have shape {raw.shape}; x of shape {geometry.shape} needs {shapes}")


def _wide(raw: NDArray[Any], dtype: np.dtype[Any], geometry: Geometry) -> NDArray[Any]:
    """Codes of more than 4 bits that were dumped as little-endian bytes, as codes; others as they are."""
    bytes_alone = raw.dtype == np.uint8 and dtype.itemsize > 1
    if not bytes_alone or raw.size != geometry.rows * geometry.stored_length * dtype.itemsize:
        return raw
    codes = np.ascontiguousarray(raw).reshape(-1).view(dtype.newbyteorder("<"))
    return codes.reshape(*geometry.moved_shape[:-1], geometry.stored_length)


def _packed_shapes(geometry: Geometry) -> list[tuple[int, ...]]:
    lead = geometry.moved_shape[:-1]
    return [(*lead, geometry.stored_length // 2), (*lead, (geometry.length + 1) // 2)]


def _turned(shape: tuple[int, ...], geometry: Geometry) -> set[tuple[int, ...]]:
    """A packed shape, and those of kernels that transposed it or packed along another axis."""
    shapes = {shape, shape[::-1]}
    for axis, size in enumerate(geometry.shape):
        lead = (*geometry.shape[:axis], *geometry.shape[axis + 1 :])
        shapes |= {(*lead, size // 2), (*geometry.shape[:axis], size // 2, *geometry.shape[axis + 1 :])}
    return shapes


def _is_wide_float(dtype: np.dtype[Any]) -> bool:
    return is_float(dtype.name) and dtype.name != _FLOAT4


def _scales(
    raw: NDArray[Any], spec: Spec, geometry: Geometry, case: Case, layout: str
) -> tuple[NDArray[np.unsignedinteger], str, Padding]:
    shape = geometry.block_shape
    matrix = (int(np.prod(shape[:-1])), shape[-1]) if shape else (1, 1)
    sizes: dict[str, int] = {name: int(np.prod(padded_shape(*matrix, name))) for name in LAYOUTS}
    fits = [name for name in LAYOUTS if sizes[name] == raw.size and layout in ("auto", name)]
    if not fits:
        asked = " or ".join(f"{sizes[name]:,} ({name})" for name in LAYOUTS if layout in ("auto", name))
        raise UnreadableError(
            f"{case.label}: {raw.size:,} block scales of shape {raw.shape}; x of shape {geometry.shape} needs {asked}"
        )
    codes = _scale_codes(np.ascontiguousarray(raw).reshape(-1), spec, case)
    place = offsets(*matrix, fits[0])
    linear = codes[place]
    padded = np.ones(codes.size, np.bool_)
    padded[place] = False
    rest = codes[padded]
    return linear, fits[0], Padding(rest.size, int(np.count_nonzero(rest)))


def _scale_codes(raw: NDArray[Any], spec: Spec, case: Case) -> NDArray[np.unsignedinteger]:
    assert spec.scale is not None
    dtype = spec.scale.code_dtype
    if raw.dtype.itemsize == dtype.itemsize and raw.dtype.kind in "iufV":
        return raw.view(dtype)
    if raw.dtype != np.float32 or dtype.itemsize > 1:
        raise UnreadableError(f"{case.label}: block scales of dtype {raw.dtype.name}; {spec.scale} scales are {dtype}")
    values = decode(np.arange(256 if spec.scale.bits > 7 else 1 << spec.scale.bits, dtype=np.uint8), spec.scale)
    finite = np.flatnonzero(np.isfinite(values)).astype(np.uint8)
    found = np.minimum(np.searchsorted(values[finite], raw), finite.size - 1)
    exact = (values[finite][found] == raw) | np.isnan(raw)
    if not exact.all():
        bad = raw[~exact][0]
        raise UnreadableError(f"{case.label}: float32 block scales hold {bad:.9g}, which is no {spec.scale} value")
    nan = spec.scale.nan_code
    return np.where(np.isnan(raw), np.uint8(255 if nan is None else nan), finite[found]).astype(np.uint8)


def _tensor_scale(case: Case, geometry: Geometry) -> NDArray[np.float32] | None:
    raw = case.tensor_scale
    if raw is None:
        return None
    if not is_float(raw.dtype.name):
        raise UnreadableError(f"{case.label}: a tensor scale of dtype {raw.dtype.name}; dump float32")
    groups = geometry.rows * -(-geometry.length // geometry.span) if geometry.span else geometry.rows
    if raw.size not in (1, geometry.rows, groups):
        raise UnreadableError(f"{case.label}: {raw.size:,} tensor scales; one, or one a row ({geometry.rows:,}) fit")
    return np.asarray(raw, np.float32).reshape(-1)


def _values(raw: NDArray[Any], geometry: Geometry, case: Case) -> NDArray[Any]:
    if not is_float(raw.dtype.name):
        raise UnreadableError(f"{case.label}: dequantized values of dtype {raw.dtype.name}; dump floats")
    if raw.size != geometry.rows * geometry.length or (
        raw.ndim > 1 and raw.shape not in (geometry.shape, geometry.moved_shape, geometry.shape[::-1])
    ):
        raise UnreadableError(f"{case.label}: dequantized values of shape {raw.shape}; x has shape {geometry.shape}")
    return to_matrix(raw, geometry)
