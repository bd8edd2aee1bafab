"""torch.testing's three figures: how many decoded values differ, and by how much at most."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.kernels.reference.blocks import pack
from fp4sim.parallel import run_all
from fp4sim.report.verify_model import Closeness
from fp4sim.verifying.blocks import index_of, to_blocks
from fp4sim.verifying.expected import decoded, per_block
from fp4sim.verifying.explain.hypothesis import unequal
from fp4sim.verifying.identify import stored_scales

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.packed import PackedTensor
    from fp4sim.verifying.buffers import Output
    from fp4sim.verifying.expected import Expected

_PIECE = 1 << 20
_Pair = Callable[[int], "tuple[NDArray[Any], NDArray[Any]]"]  # the kernel's values and fp4sim's from an offset on


def dtype_name(values: NDArray[Any]) -> str:
    """The dtype to decode to, for values of a kernel: their own where that is possible."""
    name = values.dtype.name
    return name if name in ("float16", "float64", "bfloat16") else "float32"


def decoded_values(expected: Expected, output: Output, dtype: str = "float32") -> NDArray[Any]:
    """The kernel's values, (rows, length): as dumped, else what its codes and scales stand for."""
    if output.values is not None:
        return output.values
    values = kernel_packed(expected, output).dequantize(dtype)
    return np.asarray(np.moveaxis(values, expected.geometry.axis, -1).reshape(expected.geometry.rows, -1))


def kernel_packed(expected: Expected, output: Output) -> PackedTensor:
    """The kernel's codes and scales as a tensor, fp4sim's own where they were not dumped."""
    packed, geometry = expected.packed, expected.geometry
    changes: dict[str, Any] = {}
    if output.codes is not None:
        width = geometry.stored_length
        codes = np.zeros((geometry.rows, width), output.codes.dtype)
        codes[:, : geometry.length] = output.codes
        raw = pack(codes) if expected.spec.element.bits <= 4 else codes.view(np.uint8)
        changes["packed"] = raw.reshape(packed.packed.shape)
    if output.scales is not None:
        changes["block_scale"] = _readable(expected, output.scales).reshape(packed.block_scale.shape)
    multiplier = kernel_multiplier(output, expected)
    if multiplier is not None:
        changes["tensor_scale"] = multiplier
    return replace(packed, **changes)


def _readable(expected: Expected, scales: NDArray[np.unsignedinteger]) -> NDArray[np.unsignedinteger]:
    """Scale codes without the bits that their encoding does not have; hardware ignores the sign of a scale."""
    fmt = expected.spec.scale
    assert fmt is not None
    return scales & scales.dtype.type((1 << fmt.bits) - 1) if not expected.spec.has("if4") else scales


def kernel_multiplier(output: Output, expected: Expected) -> NDArray[np.float32] | None:
    """The kernel's decode multiplier in the shape of fp4sim's, None where it was not dumped or does not fit."""
    found, shape = output.tensor_scale, expected.packed.tensor_scale.shape
    if found is None or found.size != expected.packed.tensor_scale.size:
        return None
    if output.divides:
        if np.array_equal(found, stored_scales(expected, output)):
            return expected.packed.tensor_scale
        with np.errstate(all="ignore"):
            found = np.float32(1) / found
    return found.reshape(shape)


def closeness(expected: Expected, output: Output, threads: int = 1) -> Closeness:
    """The decoded values against fp4sim's, NaN equal to NaN. Relative differences are of fp4sim's values, as torch's."""
    size = expected.geometry.rows * expected.geometry.length
    by_block = expected.decodes and expected.x.size == size
    pair = _blocks(expected, output) if by_block else _whole(expected, output)
    step = max(1, _PIECE // expected.x.shape[1]) * expected.x.shape[1] if by_block else _PIECE

    def piece(start: int) -> tuple[int, float, int, float, int]:
        with np.errstate(all="ignore"):
            return _figures(*pair(start), start)

    count, absolute, relative = 0, (-1.0, 0), (-1.0, 0)
    for found in run_all(piece, range(0, size, step), threads):
        count += found[0]
        absolute = max(absolute, found[1:3], key=lambda figure: figure[0])  # the first of equals
        relative = max(relative, found[3:5], key=lambda figure: figure[0])
    place = _block_index if by_block else _flat_index
    places = [place(index, expected) if value >= 0 else None for value, index in (absolute, relative)]
    numbers = [value if 0 <= value < np.inf else None for value, _ in (absolute, relative)]
    return Closeness(count, size, numbers[0], places[0], numbers[1], places[1])


def _figures(found: NDArray[Any], want: NDArray[Any], start: int) -> tuple[int, float, int, float, int]:
    """Of a piece: the count, and the largest differences with their flat index (-1.0 where there is none)."""
    wrong = np.flatnonzero(unequal(found, want))
    if not wrong.size:
        return 0, -1.0, 0, -1.0, 0
    exact = want[wrong].astype(np.float64)
    difference = np.abs(found[wrong].astype(np.float64) - exact)
    difference = np.where(np.isnan(difference), np.inf, difference)
    relative = difference / np.abs(exact)
    relative = np.where(np.isnan(relative), np.inf, relative)
    first, second = int(difference.argmax()), int(relative.argmax())
    figures = float(difference[first]), start + int(wrong[first]), float(relative[second]), start + int(wrong[second])
    return wrong.size, *figures


def _blocks(expected: Expected, output: Output) -> _Pair:
    """Decoded block by block, where codes and scales are all that values are made of."""
    geometry, spec, width = expected.geometry, expected.spec, expected.x.shape[1]
    values = None if output.values is None else to_blocks(output.values, geometry)
    codes = expected.codes if output.codes is None else to_blocks(output.codes, geometry)
    scales = expected.scales if output.scales is None else output.scales.reshape(-1)
    multiplier = kernel_multiplier(output, expected)
    stored = expected.stored if multiplier is None else per_block(multiplier, geometry)
    dtype = np.dtype(np.float32) if values is None else _dtype_of(values)
    own, count = expected.stored, max(1, _PIECE // width)

    def pair(start: int) -> tuple[NDArray[Any], NDArray[Any]]:
        part = slice(start // width, start // width + count)
        want = decoded(spec, expected.codes[part], expected.scales[part], own[part], dtype)
        found = decoded(spec, codes[part], scales[part], stored[part], dtype) if values is None else values[part]
        return found.reshape(-1), want.reshape(-1)

    return pair


def _whole(expected: Expected, output: Output) -> _Pair:
    """Decoded as PackedTensor does: estimators that keep more than codes and scales, rotations, padded rows."""
    geometry = expected.geometry
    dtype = "float32" if output.values is None else dtype_name(output.values)
    want = np.moveaxis(expected.packed.dequantize(dtype), geometry.axis, -1).reshape(-1)
    found = decoded_values(expected, output).reshape(-1)
    return lambda start: (found[start : start + _PIECE], want[start : start + _PIECE])


def _dtype_of(values: NDArray[Any]) -> np.dtype[Any]:
    return values.dtype if dtype_name(values) == values.dtype.name else np.dtype(np.float32)


def _block_index(flat: int, expected: Expected) -> tuple[int, ...]:
    block, element = divmod(flat, expected.x.shape[1])
    return index_of(block, element, expected.geometry)


def _flat_index(flat: int, expected: Expected) -> tuple[int, ...]:
    """The tensor index of an element of the matrix view."""
    geometry = expected.geometry
    row, col = divmod(flat, geometry.length)
    lead = [int(i) for i in np.unravel_index(row, geometry.moved_shape[:-1])] if geometry.moved_shape[:-1] else []
    return (*lead[: geometry.axis], col, *lead[geometry.axis :])
