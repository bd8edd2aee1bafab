"""PackedTensor: what a quantized tensor is in memory and on disk, and its exact meaning."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fp4sim.errors import UsageError
from fp4sim.fpmode import ieee_mode
from fp4sim.geometry import Geometry
from fp4sim.kernels.reference.blocks import unpack
from fp4sim.kernels.reference.encode import decode
from fp4sim.transforms import Rotation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.geometry import Cell
    from fp4sim.spec import Spec


FLOATS = ("float16", "float32", "float64", "bfloat16")  # what values can be rounded to


@dataclass(frozen=True, eq=False)
class PackedTensor:
    """Codes and scales of a quantized tensor.

    * ``packed``: uint8, the quantized axis last and padded to whole blocks; 4-bit codes two a byte, the even element in
      the low nibble; wider codes as little-endian bytes.
    * ``block_scale``: scale codes (uint8, wider for bf16/fp32 scales), one a block; one a tile for m x n blocks, shape ()
      for one scale over the tensor; shape (0,) for unscaled formats.
    * ``tensor_scale``: float32 decode multiplier, shape (), (rows,) or (rows, groups), rows flattened.
    * ``shape``, ``axis``: the logical tensor's; ``dtype``: the input's dtype name; ``spec``: how it was made.
    * ``nonfinite``: elements that were not finite and were dropped under ``nonfinite="ignore"``.

    On a GPU (quantized from CuPy or torch there) the arrays are CuPy's, ``signs`` excepted; ``to_host`` copies them back.
    The value of an element is code * (block_scale * tensor_scale) in float64, exact under scales of up to 8 bits.
    """

    packed: NDArray[np.uint8]
    block_scale: NDArray[np.unsignedinteger]
    tensor_scale: NDArray[np.float32]
    shape: tuple[int, ...]
    axis: int
    spec: Spec
    dtype: str = "float32"
    seed: int | None = None
    signs: NDArray[np.int8] | None = None
    extra: dict[str, NDArray[Any]] = field(default_factory=dict)
    nonfinite: int = 0
    origin: Literal["numpy", "cupy", "torch"] = "numpy"

    def __post_init__(self) -> None:
        geometry = self.geometry
        width = geometry.stored_length * max(self.spec.element.bits, 4) // 8
        expected = {"packed": (*geometry.moved_shape[:-1], width)}
        expected["block_scale"] = geometry.block_shape if self.spec.scale is not None else (0,)
        for name, shape in expected.items():
            actual = getattr(self, name).shape
            if actual != shape:
                raise UsageError(f"{name} has shape {actual}, {self.spec.short} of shape {self.shape} needs {shape}")

    @cached_property
    def geometry(self) -> Geometry:
        """Where the blocks lie."""
        return Geometry.for_spec(self.shape, self.axis, self.spec)

    @cached_property
    def codes(self) -> NDArray[np.unsignedinteger]:
        """One code an element, logical shape."""
        bits = self.spec.element.bits
        wide = unpack(self.packed) if bits <= 4 else self.packed.view(self.spec.element.code_dtype.newbyteorder("<"))
        return np.moveaxis(wide[..., : self.geometry.length], -1, self.axis)

    @ieee_mode()
    def dequantize(self, dtype: Any = np.float32, *, domain: Literal["input", "rotated"] = "input") -> Any:
        """Values in the logical shape: the float64 product rounded once to ``dtype``.

        ``domain="rotated"`` leaves a rotation in place, as a GEMM sees it; without one both are the same. A tensor
        quantized from torch comes back as torch (with ``dtype`` float32, float64, float16 or "bfloat16").
        """
        if domain not in ("input", "rotated"):
            raise UsageError(f"domain {domain!r}: 'input' or 'rotated'")
        if self.is_on_device:
            from fp4sim.gpu.dequantize import dequantize_on_device

            return dequantize_on_device(self, float_name(dtype), domain)
        geometry, target = self.geometry, _dtype(dtype)
        rotation = None if self.signs is None else Rotation(tuple(map(int, self.signs)))
        matrix = np.empty((geometry.rows, geometry.length), target)
        for cell in geometry.pieces:  # float64 in between only for a piece
            with np.errstate(over="ignore", invalid="ignore"):
                place = slice(cell.row0, cell.row0 + cell.rows), slice(cell.col0, cell.col0 + cell.cols)
                exact = self._exact(cell)
                if rotation is not None and domain == "input":
                    exact = rotation.undo_exact(exact)
                matrix[place] = round_once(exact, target)
        moved = np.moveaxis(matrix.reshape(geometry.moved_shape), -1, self.axis)
        values = np.ascontiguousarray(moved)
        if self.origin == "torch":
            from fp4sim.interop import to_torch

            return to_torch(values)
        return values

    def _exact(self, cell: Cell) -> NDArray[np.float64]:
        """The float64 values of a cell of the matrix view: code * (block_scale * tensor_scale)."""
        geometry = self.geometry
        rows, cols = slice(cell.row0, cell.row0 + cell.rows), slice(cell.col0, cell.col0 + cell.cols)
        values = self._code_values(cell)
        scale = self.tensor_scale.astype(np.float64)
        if scale.ndim == 2:
            scale = scale[rows].repeat(geometry.span, axis=1)[:, cols]
        elif scale.ndim:
            scale = scale[rows, None]
        values = values * (scale if self.spec.scale is None else self._cell_scales(cell) * scale)
        if "residual" in self.extra:
            residual = np.moveaxis(self.extra["residual"], self.axis, -1).reshape(geometry.rows, geometry.length)
            values = values + residual[rows, cols]
        return np.asarray(values)

    def _code_values(self, cell: Cell) -> NDArray[np.float64]:
        """What a cell's codes stand for before any scale; IF4 and MX+ read more than the code."""
        rows, cols = slice(cell.row0, cell.row0 + cell.rows), slice(cell.col0, cell.col0 + cell.cols)
        codes = self._matrix_codes(rows, cols)
        if not (self.spec.has("if4") or self.spec.has("mxplus")):
            return decode(codes, self.spec.element)
        from fp4sim.estimators import if4, mxplus

        blocks, tile = self.geometry.blocks_of(cell), (self.spec.block.rows, self.spec.block.cols)
        scales = self.block_scale.reshape(-1, self.block_scale.shape[-1])[blocks]
        if self.spec.has("if4"):
            return if4.decode_codes(codes, scales, tile)
        index = self.extra["index"].reshape(-1, self.block_scale.shape[-1])[blocks]
        return mxplus.decode_codes(codes, scales, index, tile)

    def _matrix_codes(self, rows: slice, cols: slice) -> NDArray[np.unsignedinteger]:
        """Codes of a part of the matrix view; ``cols`` starts at a whole block."""
        packed = self.packed.reshape(self.geometry.rows, -1)[rows]
        if self.spec.element.bits <= 4:
            return unpack(packed[:, cols.start // 2 : (cols.stop + 1) // 2])[:, : cols.stop - cols.start]
        return packed.view(self.spec.element.code_dtype.newbyteorder("<"))[:, cols]

    def _cell_scales(self, cell: Cell) -> NDArray[np.float64]:
        """Block scales of a cell, broadcastable to its values."""
        geometry, fmt = self.geometry, self.spec.scale
        assert fmt is not None
        if geometry.block.kind == "tensor":
            return decode(self.block_scale, fmt)
        matrix = self.block_scale.reshape(-1, self.block_scale.shape[-1])
        if geometry.block.kind == "row":
            return decode(matrix[cell.row0 : cell.row0 + cell.rows], fmt)
        raw = matrix[geometry.blocks_of(cell)]
        blocks = decode(raw & np.uint8(0x7F) if self.spec.has("if4") else raw, fmt)  # IF4's choice is in the sign bit
        tall = blocks.repeat(geometry.block.rows, axis=0)[: cell.rows]
        return np.asarray(tall.repeat(geometry.block.cols, axis=1)[:, : cell.cols])

    @property
    def is_on_device(self) -> bool:
        """Whether the arrays are CuPy's."""
        packed: Any = self.packed
        return not isinstance(packed, np.ndarray)

    def to_host(self) -> PackedTensor:
        """The same with NumPy arrays; itself where it has them already."""
        if not self.is_on_device:
            return self
        from fp4sim.kernels.cuda.arrays import on_host

        return self._moved(on_host, "numpy")

    def to_device(self) -> PackedTensor:
        """The same with CuPy arrays on the current GPU. Raises DeviceError where there is none."""
        from fp4sim.kernels.cuda.arrays import on_device

        return self._moved(on_device, "cupy")

    def _moved(self, move: Any, origin: Literal["numpy", "cupy"]) -> PackedTensor:
        arrays = {name: move(getattr(self, name)) for name in ("packed", "block_scale", "tensor_scale")}
        return replace(self, **arrays, extra={name: move(array) for name, array in self.extra.items()}, origin=origin)

    def to_numpy(self) -> dict[str, NDArray[Any]]:
        """Codes and scales in ml_dtypes dtypes where they exist (float4_e2m1fn, float8_e4m3fn, float8_e8m0fnu, …)."""
        from fp4sim.interop import as_ml_dtypes

        return as_ml_dtypes(self)

    def to_torch(self) -> dict[str, Any]:
        """``packed`` as float4_e2m1fn_x2, scales as float8, ``tensor_scale`` as float32 torch tensors, sharing memory."""
        from fp4sim.interop import packed_to_torch

        return packed_to_torch(self)

    def swizzled_scale(self, layout: Literal["linear", "128x4", "8x4"]) -> NDArray[np.uint8]:
        """``block_scale`` as a 2-D matrix in a kernel's layout (see :mod:`fp4sim.layouts`)."""
        from fp4sim.layouts import swizzle

        if self.spec.scale is None or self.geometry.block.kind != "tile" or self.block_scale.itemsize != 1:
            raise UsageError(f"{self.spec.short} has no 8-bit scale a block to lay out")
        return swizzle(self.block_scale.reshape(-1, self.block_scale.shape[-1]), layout)

    def __repr__(self) -> str:
        return f"PackedTensor({self.spec.short!r}, shape={self.shape}, axis={self.axis}, from {self.dtype})"


def round_once(exact: NDArray[np.float64], dtype: np.dtype[Any]) -> NDArray[Any]:
    """float64 to a narrower float, nearest even, in one rounding; bfloat16 goes through float32 rounded to odd."""
    if dtype.name != "bfloat16":
        return exact.astype(dtype)
    near = exact.astype(np.float32)
    toward_zero = np.where(np.abs(near) > np.abs(exact), np.nextafter(near, np.float32(0)), near)
    inexact = (toward_zero != exact) & np.isfinite(exact)
    odd = toward_zero.view(np.uint32) | inexact
    return np.asarray(odd.view(np.float32).astype(dtype))


def float_name(dtype: Any) -> str:
    """float16, float32, float64 or bfloat16 from a dtype, its name or torch's. Raises UsageError for others."""
    names = {"bf16": "bfloat16", "fp32": "float32", "fp16": "float16"}
    name = str(dtype).removeprefix("torch.") if not isinstance(dtype, (type, np.dtype)) else np.dtype(dtype).name
    name = names.get(name, name)
    if name not in FLOATS:
        raise UsageError(f"cannot dequantize to {name}: float32, bfloat16, float16 and float64 are possible")
    return name


def _dtype(dtype: Any) -> np.dtype[Any]:
    name: Any = float_name(dtype)
    if name == "bfloat16":
        import ml_dtypes

        name = ml_dtypes.bfloat16
    found: np.dtype[Any] = np.dtype(name)
    return found
