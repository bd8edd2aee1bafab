"""The arrays of a packed tensor in a file: which there are under a spec, their dtypes and shapes, and what they may hold.

Every tensor has ``packed``, ``block_scale`` and ``tensor_scale``. Besides, where the spec has them:

* ``signs`` (int8, +1 and -1, one a column that is rotated): rotations
* ``extra.trust`` (bool, logical shape): ``+quest``, elements that do not clip
* ``extra.index`` (uint8, one a block): MX+, the place of the block's maximum
* ``extra.residual.index`` (int64, ascending) and ``extra.residual.value`` (float32): ``+occ``, the residual's elements
  whose bits are not zero, by their flat index in the logical shape
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.estimators.registry import check_fit
from fp4sim.geometry import Geometry
from fp4sim.randbits import Stream
from fp4sim.transforms import redraws_rotation, rotation_of, rotation_size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from fp4sim.packed import PackedTensor
    from fp4sim.spec import Spec

PARTS = ("packed", "block_scale", "tensor_scale")
SIGNS, TRUST, INDEX = "signs", "extra.trust", "extra.index"
RESIDUAL = ("extra.residual.index", "extra.residual.value")

Arrays = dict[str, "NDArray[Any]"]


@dataclass(frozen=True)
class Part:
    """What an array must be: its dtype's name, and one of ``shapes``, or any vector of at most ``longest`` elements."""

    dtype: str
    shapes: frozenset[tuple[int, ...]] = frozenset()
    longest: int = -1

    def fits(self, dtype: str, shape: tuple[int, ...]) -> bool:
        """Whether an array is such a part."""
        return dtype == self.dtype and (shape in self.shapes or (len(shape) == 1 and shape[0] <= self.longest))

    def __str__(self) -> str:
        shapes = " or ".join(str(list(shape)) for shape in sorted(self.shapes))
        return f"{self.dtype} {shapes or f'[n] with n <= {self.longest}'}"


def part_names(spec: Spec) -> tuple[str, ...]:
    """The parts that a tensor of this spec has in a file."""
    besides = [SIGNS] if rotation_size(spec) else []
    besides += [TRUST] if spec.has("quest") else []
    besides += [INDEX] if spec.has("mxplus") else []
    besides += RESIDUAL if _keeps_residual(spec) else []
    return (*PARTS, *besides)


def expected_parts(spec: Spec, shape: tuple[int, ...], axis: int) -> dict[str, Part]:
    """Dtype and shape of every part of a tensor. Raises UsageError for a shape that the spec does not fit."""
    geometry = Geometry.for_spec(shape, axis, spec)
    check_fit(spec, geometry)
    scale, blocks = spec.scale, geometry.block_shape if spec.scale is not None else (0,)
    width = geometry.stored_length * max(spec.element.bits, 4) // 8
    count = math.prod(shape)
    parts = {
        "packed": Part("uint8", frozenset({(*geometry.moved_shape[:-1], width)})),
        "block_scale": Part(scale.code_dtype.name if scale else "uint8", frozenset({blocks})),
        "tensor_scale": Part("float32", _levels(spec, geometry)),
        SIGNS: Part("int8", frozenset({(rotation_size(spec),)})),
        TRUST: Part("bool", frozenset({shape})),
        INDEX: Part("uint8", frozenset({blocks})),
        RESIDUAL[0]: Part("int64", longest=count),
        RESIDUAL[1]: Part("float32", longest=count),
    }
    return {name: parts[name] for name in part_names(spec)}


def _levels(spec: Spec, geometry: Geometry) -> frozenset[tuple[int, ...]]:
    mode, rows = spec.tensor_scale.mode, (geometry.rows,)
    if mode == "blocks":
        return frozenset({(geometry.rows, -(-geometry.length // geometry.span))})
    return frozenset({rows} if mode == "row" else {(), rows} if mode == "given" else {()})


def _keeps_residual(spec: Spec) -> bool:
    return spec.has("occ") and not spec.step("occ").get("nocomp", False)


def parts_of(packed: PackedTensor) -> Arrays:
    """The arrays to write. Raises ValueError, one line, where they are not what the tensor's spec needs."""
    arrays: Arrays = {name: getattr(packed, name) for name in PARTS}
    if packed.signs is not None:
        arrays[SIGNS] = packed.signs
    for name, array in packed.extra.items():
        if name == "residual":
            array = np.ascontiguousarray(array, np.float32)
            arrays[RESIDUAL[0]] = np.flatnonzero(array.view(np.uint32)).astype(np.int64)
            arrays[RESIDUAL[1]] = array.reshape(-1)[arrays[RESIDUAL[0]]]
        else:
            arrays[f"extra.{name}"] = array
    expected = expected_parts(packed.spec, packed.shape, packed.axis)
    if set(arrays) != set(expected):
        raise ValueError(f"its parts are {' '.join(arrays)}, {packed.spec.short} has {' '.join(expected)}")
    for name, part in expected.items():
        found = arrays[name]
        if not part.fits(found.dtype.name, found.shape):
            raise ValueError(f"{name} is {found.dtype.name} {list(found.shape)}, {packed.spec.short} needs {part}")
    return arrays


def check_contents(spec: Spec, shape: tuple[int, ...], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Raise ValueError, one line, for values that no tensor of this spec has; dtypes and shapes fit already."""
    scale = spec.scale
    spare = scale is not None and scale.bits < scale.bits_stored and not spec.has("if4")  # IF4 uses the sign bit
    if scale is not None and spare and (arrays["block_scale"] >> scale.bits).any():
        raise ValueError(f"block_scale holds codes that {scale} does not have")
    if SIGNS in arrays:
        _check_signs(spec, arrays[SIGNS])
    if INDEX in arrays and (arrays[INDEX] >= spec.block.cols).any():
        raise ValueError(f"{INDEX} holds places outside of /{spec.block} blocks")
    if RESIDUAL[0] in arrays:
        index, value = (arrays[name] for name in RESIDUAL)
        if index.shape != value.shape:
            raise ValueError(f"{RESIDUAL[0]} and {RESIDUAL[1]} have different lengths")
        ascending = (index[1:] > index[:-1]).all() if index.size else True
        if not ascending or (index.size and (index[0] < 0 or index[-1] >= math.prod(shape))):
            raise ValueError(f"{RESIDUAL[0]} is not ascending within {math.prod(shape)} elements")


def _check_signs(spec: Spec, signs: NDArray[Any]) -> None:
    if not (np.abs(signs.astype(np.int16)) == 1).all():
        raise ValueError("signs holds values other than 1 and -1")
    fixed = None if redraws_rotation(spec) else rotation_of(spec, Stream())
    if fixed is not None and tuple(signs.tolist()) != fixed.signs:
        raise ValueError(f"signs are not those of {spec.short}")


def extras_of(arrays: Mapping[str, NDArray[Any]], shape: tuple[int, ...]) -> Arrays:
    """``PackedTensor.extra`` from the arrays of a file."""
    extra = {name.removeprefix("extra."): arrays[name] for name in (TRUST, INDEX) if name in arrays}
    if RESIDUAL[0] in arrays:
        residual = np.zeros(math.prod(shape), np.float32)
        residual[arrays[RESIDUAL[0]]] = arrays[RESIDUAL[1]]
        extra["residual"] = residual.reshape(shape)
    return extra


def bytes_needed(arrays: Mapping[str, NDArray[Any]]) -> int:
    """Bytes that dequantizing needs: all but the trust mask, which only a backward pass reads."""
    return sum(array.nbytes for name, array in arrays.items() if name != TRUST)
