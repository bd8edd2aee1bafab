"""Launches cuda/gemm.cu: block-scaled products on the GPU, bit for bit as a model like Blackwell's makes them.

Three ways, the same bits:

* *proven*: an fp16 tensor-core GEMM that proves of each output that no step of the model could cut a bit; what it cannot
  prove goes through the steps. cuda/gemm_proven.cuh says why that is right.
* *emulated*: every output through the steps, a group's 16 products by one tensor-core instruction.
* *wide*: 64-bit integers, a thread an output, for scales or accumulators outside what the others hold.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fp4sim.errors import DeviceError, UsageError
from fp4sim.kernels.cuda.load import device_errors, get_cupy, kernel, target

if TYPE_CHECKING:
    from numpy.typing import NDArray

Path = Literal["proven", "emulated", "wide"]
PATHS: tuple[Path, ...] = ("proven", "emulated", "wide")

NO_FLOOR = -4096
ANCHORINGS = ("products", "scales", "any-scale")
OUTS = {"float32": np.float32, "bfloat16": np.uint16, "float16": np.float16}

_SOURCE = "gemm.cu"
_TILE_M, _TILE_N, _POOL, _CHUNK = 128, 256, 256, 8  # as in the sources; _CHUNK: groups between two looks of the proof
_STAGE, _DENSE_SHARED, _SPARSE_SHARED = (_TILE_M + _TILE_N) * 128, 3 * (64 + 64) * (128 + 16), 4 * 4 * 24 * (128 + 16)
_LEAST_PROVEN_FRACTION, _MOST_FRACTION = 24, 35
# What the float32 steps hold: exponents from a row's unit to its values and to its anchors, sums of two rows' exponents.
_VALUE_SPREAD, _ANCHOR_SPREAD, _LOWEST, _HIGHEST, _FURTHEST = 26, 40, -88, 80, 100
_ZERO_EXPONENT = 1024  # as in the sources


@dataclass(frozen=True, eq=False)
class Rule:
    """A model in numbers, for one scale format.

    * ``fraction``: bits kept below the anchor; ``floor``: the least anchor where C is 0, or NO_FLOOR.
    * ``anchoring``: one of ANCHORINGS; ``table``: int16 (256, 2), significand (-1: NaN) and exponent of each scale byte, whose
      value is ``significand * 2^(exponent - unit)``.
    """

    fraction: int
    floor: int
    anchoring: str
    table: NDArray[np.int16]
    unit: int
    block: int


@dataclass(frozen=True, eq=False)
class Epilogue:
    """``cast(product * factor + beta * c + bias)``; c (M, N) and bias (N,) are float32 on the GPU, or None."""

    factor: float = 1.0
    c: Any = None
    beta: float = 1.0
    bias: Any = None
    out: str = "float32"


@dataclass(frozen=True, eq=False)
class Operand:
    """Rows made ready by the kernel ``gemm_operand``; cuda/gemm_operands.cuh says what each array holds."""

    rows: int
    groups: int
    values: Any
    anchors: Any
    norms: Any
    pool: Any
    spread: Any
    pool_spread: Any
    unshift: Any
    extremes: Any
    padded: tuple[int, int] = field(default=(0, 0))


def multiply(
    a: tuple[Any, Any],
    b: tuple[Any, Any],
    rule: Rule,
    *,
    start: Any = None,
    epilogue: Epilogue | None = None,
    path: Path = "proven",
) -> Any:
    """D (M, N) of packed codes (rows, K/2) and scale bytes (rows, K/block), all uint8, C-contiguous CuPy arrays.

    ``start``: the accumulator's bits, uint32 (M, N), or None for +0; with one, or with scales too far apart for float32, every
    path is the wide one. Returns float32, float16, or bfloat16 as uint16. The work is ordered on the current stream.
    """
    if path not in PATHS:
        raise UsageError(f"path {path!r} on the GPU: {', '.join(PATHS)}")
    cupy, finish = get_cupy(), epilogue or Epilogue()
    shape = (a[0].shape[0], b[0].shape[0])
    with device_errors():
        out = cupy.empty(shape, OUTS[finish.out])
        if out.size == 0:
            return out
        if path == "wide" or start is not None or rule.fraction > _MOST_FRACTION:
            return _wide(a, b, rule, start, finish, out)
        left, right = prepare(*a, rule), prepare(*b, rule)
        if not _narrow(left, right, rule):
            return _wide(a, b, rule, start, finish, out)
        if path == "proven" and rule.fraction >= _LEAST_PROVEN_FRACTION:
            _proven(left, right, rule, finish, out)
        else:
            _dense(left, right, rule, finish, out, None)
        return out


def prepare(codes: Any, scales: Any, rule: Rule) -> Operand:
    """Values, anchors and bounds of an operand's rows."""
    cupy, rows, groups = get_cupy(), codes.shape[0], codes.shape[1] // 8
    high, wide = -(-rows // _POOL) * _POOL, -(-groups // _CHUNK) * _CHUNK
    operand = Operand(
        rows,
        groups,
        values=cupy.empty((high, wide * 16), np.uint16),
        anchors=cupy.empty((high, wide), np.uint32),
        norms=cupy.empty((wide // 4, high), np.float32),
        pool=cupy.zeros((wide // 4, high // _POOL), np.int32),
        spread=cupy.empty(high, np.int32),
        pool_spread=cupy.zeros(high // _POOL, np.int32),
        unshift=cupy.empty(high, np.float32),
        extremes=cupy.zeros(4, np.int32),
        padded=(high, wide),
    )
    table = _table(rule, cupy.cuda.Device().id)
    numbers = (rows, groups, high, wide, rule.block, rule.unit, ANCHORINGS.index(rule.anchoring))
    arrays = (operand.values, operand.anchors, operand.norms, operand.pool, operand.spread, operand.pool_spread)
    _launch("gemm_operand", high, 128, (codes, scales, table, *numbers, *arrays, operand.unshift, operand.extremes))
    return operand


def _narrow(a: Operand, b: Operand, rule: Rule) -> bool:
    """Whether the float32 steps hold both operands. UE4M3's 23 binades always fit; others are looked at, which waits."""
    if rule.floor > _LOWEST:
        return False
    if rule.unit:
        return True
    value, anchor, lowest, highest = np.stack([a.extremes.get(), b.extremes.get()]).T
    if (highest == 0).any():  # nothing anchors: all zeros
        return True
    lowest, highest = _ZERO_EXPONENT - lowest, highest - _ZERO_EXPONENT
    fits = value.max() <= _VALUE_SPREAD and anchor.max() <= _ANCHOR_SPREAD
    near = lowest.min() > -_FURTHEST and highest.max() < _FURTHEST
    return bool(fits and near and lowest.sum() >= _LOWEST and highest.sum() <= _HIGHEST)


def _proven(a: Operand, b: Operand, rule: Rule, finish: Epilogue, out: Any) -> None:
    cupy = get_cupy()
    tiles, device = _tiles(a, b), cupy.cuda.Device()
    lists = cupy.empty(2 + 257 * tiles, np.uint32)
    lists[:2] = 0
    bounds = (a.norms, b.pool, a.spread, b.pool_spread)
    numbers = (a.padded[0], b.padded[0], a.padded[1] // 4, rule.fraction)
    tail = (*_tail(a.unshift, b.unshift, finish, out), lists)
    shared = _stages(device.id) * _STAGE + 1024
    _launch("gemm_proven", tiles, 256, (a.values, b.values, *bounds, *numbers, *tail), shared)
    _dense(a, b, rule, finish, out, lists)
    blocks = min(4 * _processors(device.id), 64 * tiles)
    _launch("gemm_sparse", blocks, 128, (a.values, b.values, a.anchors, b.anchors, *numbers, *tail), _SPARSE_SHARED)


def _dense(a: Operand, b: Operand, rule: Rule, finish: Epilogue, out: Any, lists: Any) -> None:
    """The steps over tiles: those listed, or all."""
    arguments = (a.values, b.values, a.anchors, b.anchors, a.padded[0], b.padded[0], a.padded[1] // 4, rule.fraction)
    tail = (*_tail(a.unshift, b.unshift, finish, out), 0 if lists is None else lists)
    blocks = min(3 * _processors(get_cupy().cuda.Device().id), 8 * _tiles(a, b))
    _launch("gemm_dense", blocks, 256, (*arguments, *tail), _DENSE_SHARED)


def _tiles(a: Operand, b: Operand) -> int:
    return a.padded[0] // _TILE_M * (b.padded[0] // _TILE_N)


def _wide(a: tuple[Any, Any], b: tuple[Any, Any], rule: Rule, start: Any, finish: Epilogue, out: Any) -> Any:
    cupy, groups = get_cupy(), a[0].shape[1] // 8
    padded = -(-groups // 4) * 4
    sides = []
    for codes, scales in (a, b):
        rows = codes.shape[0]
        decoded, nan = cupy.empty((rows, padded, 8), np.uint32), cupy.zeros(rows, np.uint32)
        numbers = (rows, groups, padded, rule.block, ANCHORINGS.index(rule.anchoring))
        arguments = (codes, scales, _table(rule, cupy.cuda.Device().id), *numbers, decoded, nan)
        _launch("gemm_wide_operand", -(-rows * padded // 256), 256, arguments)
        sides.append((decoded, nan))
    (left, nan_left), (right, nan_right) = sides
    model = (padded, 2 + 2 * rule.unit, rule.fraction, rule.floor)
    given = (left, right, nan_left, nan_right)
    arguments = (*given, *model, 0 if start is None else start, *_tail(0, 0, finish, out)[2:])
    _launch("gemm_wide", -(-out.size // 256), 256, arguments)
    return out


def _tail(unshift_a: Any, unshift_b: Any, finish: Epilogue, out: Any) -> tuple[Any, ...]:
    """The arguments that every kernel's epilogue takes; a null pointer is a 64-bit 0."""
    c, bias = (0 if array is None else array for array in (finish.c, finish.bias))
    numbers = (np.float32(finish.factor), np.float32(finish.beta))
    return (unshift_a, unshift_b, c, bias, *numbers, out, list(OUTS).index(finish.out), *out.shape)


@lru_cache(maxsize=32)
def _processors(device: int) -> int:
    return int(get_cupy().cuda.Device(device).attributes["MultiProcessorCount"])


@lru_cache(maxsize=64)
def _table(rule: Rule, device: int) -> Any:
    """The rule's table on the current device, which is ``device``."""
    return get_cupy().asarray(rule.table)


@lru_cache(maxsize=32)
def _stages(device: int) -> int:
    """Stages of shared memory that the current device, which is ``device``, has room for. Raises DeviceError."""
    own = target()
    if int(own.removeprefix("sm_")) < 80:
        raise DeviceError(f"this GPU is {own}: the GEMM needs sm_80 or later")
    most = int(get_cupy().cuda.Device(device).attributes["MaxSharedMemoryPerBlockOptin"])
    if most < 2 * _STAGE + 2048:
        raise DeviceError(f"this GPU offers {most} bytes of shared memory a block, the GEMM needs {2 * _STAGE + 2048}")
    return min(4, (most - 2048) // _STAGE)


@lru_cache(maxsize=256)
def _function(name: str, shared: int, device: int) -> Any:
    """A kernel for the current device, which is ``device``. All come out of one build; Hopper has instructions of its own."""
    own = target()
    function = kernel(_SOURCE, name, (f"STAGES={_stages(device)}",), arch="sm_90a" if own == "sm_90" else own)
    if shared > 48 * 1024:
        function.max_dynamic_shared_size_bytes = shared
    return function


def _launch(name: str, blocks: int, threads: int, arguments: tuple[Any, ...], shared: int = 0) -> None:
    function = _function(name, shared, get_cupy().cuda.Device().id)
    packed = tuple(np.int64(x) if isinstance(x, int) else x for x in arguments)
    function((blocks,), (threads,), packed, shared_mem=shared)
