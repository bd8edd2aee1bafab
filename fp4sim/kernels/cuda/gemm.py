"""Launches cuda/gemm.cu: block-scaled products on the GPU, bit for bit as a model like Blackwell's makes them.

Three ways, the same bits:

* *proven*: an fp16 tensor-core GEMM that proves of each output that no step of the model could cut a bit; what it cannot
  prove goes through the steps. cuda/gemm_proven.cuh says why that is right.
* *emulated*: every output through the steps, a group's 16 products by one tensor-core instruction.
* *wide*: 64-bit integers, a thread an output, for scales outside what the others hold, and for single accumulators that are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fp4sim.errors import UsageError
from fp4sim.kernels.cuda import load
from fp4sim.kernels.cuda.gemm_launch import (
    ANCHORINGS,
    OUTS,
    TILE_M,
    TILE_N,
    Epilogue,
    Rule,
    launch,
    stage_bytes,
    table_of,
    tail,
)

Path = Literal["proven", "emulated", "wide"]
PATHS: tuple[Path, ...] = ("proven", "emulated", "wide")

_POOL, _CHUNK, _COLUMNS = 256, 8, 1024  # as in the sources; _CHUNK: groups between two looks of the proof
_DENSE_SHARED, _SPARSE_SHARED = 3 * (64 + 64) * (128 + 16), 4 * 4 * 24 * (128 + 16)
_LEAST_PROVEN_FRACTION, _MOST_FRACTION = 24, 35
# What the float32 steps hold: exponents from a row's unit to its values and to its anchors, sums of two rows' exponents.
_VALUE_SPREAD, _ANCHOR_SPREAD, _LOWEST, _HIGHEST, _FURTHEST = 26, 40, -88, 80, 100
_ZERO_EXPONENT = 1024  # as in the sources
_UNPROVEN = 4  # a proof that cannot hold for a quarter of the outputs is not tried


@dataclass(frozen=True, eq=False)
class Operand:
    """Rows made ready by the kernel ``gemm_operand``; cuda/gemm_operands.cuh says what each array holds.

    ``padded``: rows and groups of 16 that the arrays have room for, whole tiles of them; what is added is zeros.
    """

    rows: int
    padded: tuple[int, int]
    values: Any
    anchors: Any
    norms: Any
    pool: Any
    spread: Any
    pool_spread: Any
    unshift: Any
    extremes: Any


@dataclass(frozen=True, eq=False)
class Begun:
    """Accumulators made ready by the kernel ``gemm_begin``.

    ``beyond``: how many outputs float32 does not hold; ``unproven``: of how many nothing can be proven, those among them.
    """

    values: Any
    beyond: int
    unproven: int


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

    ``start``: the accumulator's bits, uint32 (M, N), or None for +0. With scales too far apart for float32 every path is the
    wide one. The epilogue has one factor. Returns float32, float16, or bfloat16 as uint16. The work is ordered on the current
    stream.
    """
    if path not in PATHS:
        raise UsageError(f"path {path!r} on the GPU: {', '.join(PATHS)}")
    cupy, finish = load.get_cupy(), epilogue or Epilogue()
    shape = (a[0].shape[0], b[0].shape[0])
    with load.device_errors():
        out = cupy.empty(shape, OUTS[finish.out])
        if out.size == 0:
            return out
        a, b = ((_aligned(codes), scales) for codes, scales in (a, b))
        if path == "wide" or rule.fraction > _MOST_FRACTION:
            return _wide(a, b, rule, start, finish, out)
        left, right = prepare(*a, rule), prepare(*b, rule)
        if not _narrow(left, right, rule):
            return _wide(a, b, rule, start, finish, out)
        begun = None if start is None else _begin(start, left, right)
        hopeless = begun is not None and _UNPROVEN * begun.unproven > out.size
        if path == "proven" and rule.fraction >= _LEAST_PROVEN_FRACTION and not hopeless:
            _proven(left, right, rule, finish, out, begun)
        else:
            _dense(left, right, rule, finish, out, None, begun)
        return _wide(a, b, rule, start, finish, out, begun) if begun is not None and begun.beyond else out


def prepare(codes: Any, scales: Any, rule: Rule) -> Operand:
    """Values, anchors and bounds of an operand's rows."""
    cupy, rows, groups = load.get_cupy(), codes.shape[0], codes.shape[1] // 8
    high, wide = -(-rows // _POOL) * _POOL, -(-groups // _CHUNK) * _CHUNK
    pools = high // _POOL
    zeros = cupy.zeros((wide // 4 + 1) * pools + 4, np.int32)  # at once: a small launch takes as long as a large one
    operand = Operand(
        rows,
        (high, wide),
        values=cupy.empty((high, wide * 16), np.uint16),
        anchors=cupy.empty((high, wide), np.uint32),
        norms=cupy.empty((wide // 4, high), np.float32),
        pool=zeros[: wide // 4 * pools].reshape(wide // 4, pools),
        spread=cupy.empty(high, np.int32),
        pool_spread=zeros[-4 - pools : -4],
        unshift=cupy.empty(high, np.float32),
        extremes=zeros[-4:],
    )
    table, numbers = table_of(rule), (rows, groups, high, wide, rule.block, rule.unit, ANCHORINGS.index(rule.anchoring))
    arrays = (operand.values, operand.anchors, operand.norms, operand.pool, operand.spread, operand.pool_spread)
    launch("gemm_operand", high, 128, (codes, scales, table, *numbers, *arrays, operand.unshift, operand.extremes))
    return operand


def _aligned(codes: Any) -> Any:
    """The same where 8 bytes can be read at once; a view into a buffer may begin anywhere."""
    return codes.copy() if codes.data.ptr % 8 else codes


def _narrow(a: Operand, b: Operand, rule: Rule) -> bool:
    """Whether the float32 steps hold both operands. UE4M3 scales always fit; others are looked at, which waits for the GPU."""
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


def _begin(start: Any, a: Operand, b: Operand) -> Begun:
    """The accumulators under the rows' shifts; waits for the GPU."""
    cupy, rows, columns = load.get_cupy(), a.padded[0], b.padded[0]
    values, counts = cupy.empty((rows, columns), np.float32), cupy.zeros(2, np.uint32)
    blocks = rows * -(-columns // _COLUMNS)
    launch("gemm_begin", blocks, 256, (start, a.unshift, b.unshift, rows, columns, *start.shape, values, counts))
    beyond, unproven = counts.get().tolist()
    return Begun(values, beyond, unproven)


def _proven(a: Operand, b: Operand, rule: Rule, finish: Epilogue, out: Any, begun: Begun | None) -> None:
    cupy, tiles = load.get_cupy(), _tiles(a, b)
    lists = cupy.zeros(2 + 257 * tiles, np.uint32)
    bounds = (a.norms, b.pool, a.spread, b.pool_spread)
    numbers = (a.padded[0], b.padded[0], a.padded[1] // 4, rule.fraction)
    ends = (a.unshift, b.unshift, *tail(finish, out), lists)
    name, starts = ("gemm_proven", ()) if begun is None else ("gemm_proven_begun", (begun.values,))
    launch(name, tiles, 256, (a.values, b.values, *bounds, *numbers, *ends, *starts), stage_bytes())
    _dense(a, b, rule, finish, out, lists, begun)
    blocks = min(4 * load.processors(), 64 * tiles)
    arrays = (a.values, b.values, a.anchors, b.anchors)
    launch("gemm_sparse", blocks, 128, (*arrays, *numbers, *ends, _values(begun)), _SPARSE_SHARED)


def _dense(a: Operand, b: Operand, rule: Rule, finish: Epilogue, out: Any, lists: Any, begun: Begun | None) -> None:
    """The steps over tiles: those listed, or all."""
    arguments = (a.values, b.values, a.anchors, b.anchors, a.padded[0], b.padded[0], a.padded[1] // 4, rule.fraction)
    ends = (a.unshift, b.unshift, *tail(finish, out), 0 if lists is None else lists, _values(begun))
    blocks = min(3 * load.processors(), 8 * _tiles(a, b))
    launch("gemm_dense", blocks, 256, (*arguments, *ends), _DENSE_SHARED)


def _values(begun: Begun | None) -> Any:
    return 0 if begun is None else begun.values


def _tiles(a: Operand, b: Operand) -> int:
    return a.padded[0] // TILE_M * (b.padded[0] // TILE_N)


def _wide(
    a: tuple[Any, Any], b: tuple[Any, Any], rule: Rule, start: Any, finish: Epilogue, out: Any, begun: Any = None
) -> Any:
    """All outputs, or those that the others do not hold."""
    cupy, groups = load.get_cupy(), a[0].shape[1] // 8
    padded = -(-groups // 4) * 4
    sides = []
    for codes, scales in (a, b):
        rows = codes.shape[0]
        decoded, nan = cupy.empty((rows, padded, 8), np.uint32), cupy.zeros(rows, np.uint32)
        numbers = (rows, groups, padded, rule.block, ANCHORINGS.index(rule.anchoring))
        arguments = (codes, scales, table_of(rule), *numbers, decoded, nan)
        launch("gemm_wide_operand", -(-rows * padded // 256), 256, arguments)
        sides.append((decoded, nan))
    (left, nan_left), (right, nan_right) = sides
    model = (padded, 2 + 2 * rule.unit, rule.fraction, rule.floor)
    given = (left, right, nan_left, nan_right)
    starts = (0 if start is None else start, _values(begun), 0 if begun is None else begun.values.shape[1])
    launch("gemm_wide", -(-out.size // 256), 256, (*given, *model, *starts, *tail(finish, out)))
    return out
