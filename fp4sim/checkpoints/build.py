"""From stored tensors to a quantized weight, or to the fault that keeps them from being one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fp4sim.checkpoints.blocks import ScaleGrid, SeparateBlocks, row_count
from fp4sim.checkpoints.encodings import E4M3, E8M0, ScaleEncoding
from fp4sim.checkpoints.weight import Fault, Found, GlobalScale, QuantizedWeight
from fp4sim.layouts import padded_shape

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fp4sim.checkpoints.weight import Role
    from fp4sim.io.source import Tensor

_DTYPES = {"float8_e4m3fn": E4M3, "float8_e8m0fnu": E8M0}
_PACKED = ("uint8", "int8")
_F4 = "float4_e2m1fn"
_BLOCKS = (16, 32)


@dataclass(frozen=True)
class Stored:
    """The tensors of one weight, by name; a name of None is one that the layout has no place for."""

    name: str
    packed: str
    scale: str
    global_scale: str | None = None
    role: Role = "multiplier"
    needs_global: bool = False
    in_blocks: bool = False  # codes as (..., blocks, bytes of a block) instead of (..., bytes of a row)

    def parts(self, tensors: Mapping[str, Tensor]) -> dict[str, str]:
        """Those that are there, by what they are for."""
        named = {"codes": self.packed, "block scale": self.scale, "global scale": self.global_scale}
        return {role: name for role, name in named.items() if name is not None and name in tensors}


class FaultyError(Exception):
    """Tensors that do not make a weight; ``fault`` says why."""

    def __init__(self, rule: str, tensor: str, message: str) -> None:
        super().__init__(message)
        self.fault = Fault(rule, tensor, message)


def found(stored: list[Stored], tensors: Mapping[str, Tensor], layout: str) -> Found:
    """Build every weight; what does not fit together becomes a fault."""
    weights, faults, names = [], [], set[str]()
    for one in stored:
        names.update(one.parts(tensors).values())
        try:
            weights.append(_weight(one, tensors, layout))
        except FaultyError as error:
            faults.append(error.fault)
    return Found(tuple(weights), tuple(faults), frozenset(names))


def _weight(stored: Stored, tensors: Mapping[str, Tensor], layout: str) -> QuantizedWeight:
    packed, scale = (_present(name, tensors, stored.name) for name in (stored.packed, stored.scale))
    shape, width = _logical(packed, in_blocks=stored.in_blocks)
    encoding, block, grid = _scales(stored, scale, shape)
    return QuantizedWeight(
        name=stored.name,
        layout=layout,
        shape=shape,
        block=block,
        encoding=encoding,
        blocks=SeparateBlocks(packed, grid, width),
        global_scale=_global(stored, tensors, shape, encoding),
        parts=stored.parts(tensors),
    )


def _present(name: str, tensors: Mapping[str, Tensor], weight: str) -> Tensor:
    if name not in tensors:
        raise FaultyError("missing-part", weight, f"there is no '{name}'")
    return tensors[name]


def _logical(packed: Tensor, *, in_blocks: bool) -> tuple[tuple[int, ...], int]:
    """The logical shape and the stored elements of a row."""
    info = packed.info
    if info.dtype not in (*_PACKED, _F4):
        raise FaultyError("wrong-shape", info.name, f"dtype {info.dtype} does not hold E2M1 codes")
    axes = 3 if in_blocks else 2
    if len(info.shape) < axes or 0 in info.shape:
        raise FaultyError("wrong-shape", info.name, f"shape {list(info.shape)} is not that of packed rows")
    width = info.shape[-1] * (info.shape[-2] if in_blocks else 1)
    length = width if info.dtype == _F4 else 2 * width
    return (*info.shape[: -2 if in_blocks else -1], length), width


def _scales(stored: Stored, scale: Tensor, shape: tuple[int, ...]) -> tuple[ScaleEncoding, int, ScaleGrid]:
    info = scale.info
    encoding = _DTYPES.get(info.dtype)
    if encoding is None and info.dtype != "uint8":
        raise FaultyError("wrong-shape", info.name, f"dtype {info.dtype} does not hold block scales")
    # bytes without a type say by their number what they are: 16 elements a scale is NVFP4's, 32 MXFP4's
    first = encoding.block if encoding else _BLOCKS[-1]
    for block in dict.fromkeys((first, *_BLOCKS)):
        cols, rows = -(-shape[-1] // block), row_count(shape)
        chosen = encoding or (E4M3 if block == E4M3.block else E8M0)
        # ModelOpt's MXFP4QTensor gives its scales as a column
        if info.shape in ((*shape[:-1], cols), (rows * cols, 1)):
            return chosen, block, ScaleGrid(scale, rows, cols)
        padded = padded_shape(rows, cols, "128x4")
        if len(shape) == 2 and not stored.in_blocks and info.shape in (padded, (padded[0] * padded[1],)):
            return chosen, block, ScaleGrid(scale, rows, cols, padded=True)
    needed = [*shape[:-1], -(-shape[-1] // first)]
    raise FaultyError(
        "wrong-shape",
        info.name,
        f"shape {list(info.shape)} does not fit a weight of {list(shape)}, which needs {needed}",
    )


def _global(
    stored: Stored, tensors: Mapping[str, Tensor], shape: tuple[int, ...], encoding: ScaleEncoding
) -> GlobalScale | None:
    name = stored.global_scale
    if name is None or name not in tensors:
        if stored.needs_global and encoding is E4M3:
            raise FaultyError("missing-part", stored.name, f"there is no global scale '{name}'")
        return None
    return checked_global(tensors[name], stored.role, shape)


def checked_global(tensor: Tensor, role: Role, shape: tuple[int, ...]) -> GlobalScale:
    """A global scale whose dtype and shape fit: one element, or one for each matrix of a stack."""
    info = tensor.info
    if info.dtype not in ("float32", "bfloat16", "float16"):
        raise FaultyError("wrong-shape", info.name, f"dtype {info.dtype} is not that of a global scale")
    experts = shape[0] if len(shape) > 2 else 1
    if info.size not in (1, experts):
        raise FaultyError("wrong-shape", info.name, f"shape {list(info.shape)} is neither one scale nor {experts}")
    return GlobalScale(tensor, role)
