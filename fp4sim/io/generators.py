"""The synthetic tensors: one row of data and one function each, all finite in float32."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Shape = tuple[int, int]
Make = Callable[[np.random.Generator, Shape, Mapping[str, float]], Array]

_BLOCK = 16
_TIES = (0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0)  # midpoints between neighbours of the E2M1 grid
_GRID = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)  # E2M1 magnitudes
_FLT_MAX = np.finfo(np.float32).max
_FLT_MIN = np.finfo(np.float32).tiny
_FLT_TRUE_MIN = np.float32(2.0**-149)


@dataclass(frozen=True)
class Param:
    """A parameter of a generator, with its default and the range allowed."""

    name: str
    default: float
    low: float
    high: float


@dataclass(frozen=True)
class SyntheticGenerator:
    """A named distribution: ``make(rng, (rows, columns), params)`` gives an array of that shape.

    ``in_suite``: whether ``synthetic`` without a name holds it. Totals are ratios of sums, so the suite has ordinary
    distributions only: one tensor of extreme magnitudes would be the whole total.
    """

    name: str
    description: str
    make: Make
    shape: Shape = (1024, 1024)
    params: tuple[Param, ...] = ()
    in_suite: bool = True


def _gaussian(rng: np.random.Generator, shape: Shape, params: Mapping[str, float]) -> Array:
    return rng.standard_normal(shape, dtype=np.float32)


def _laplace(rng: np.random.Generator, shape: Shape, params: Mapping[str, float]) -> Array:
    return rng.laplace(size=shape)


def _student_t(rng: np.random.Generator, shape: Shape, params: Mapping[str, float]) -> Array:
    return rng.standard_t(params["nu"], size=shape)


def _per_block(values: Array, columns: int, block: int) -> Array:
    """Spread one value per block along the last axis to its ``columns``."""
    return np.repeat(values, block, axis=1)[:, :columns]


def _block_lognormal(rng: np.random.Generator, shape: Shape, params: Mapping[str, float]) -> Array:
    rows, columns = shape
    scale = np.exp(params["sigma"] * rng.standard_normal((rows, -(-columns // _BLOCK)), dtype=np.float32))
    return rng.standard_normal(shape, dtype=np.float32) * _per_block(scale, columns, _BLOCK)


def _outlier_channels(rng: np.random.Generator, shape: Shape, params: Mapping[str, float]) -> Array:
    columns = shape[1]
    values = rng.standard_normal(shape, dtype=np.float32)
    count = min(columns, max(1, round(params["fraction"] * columns)))
    values[:, rng.permutation(columns)[:count]] *= np.float32(params["factor"])
    return values


def _ties(rng: np.random.Generator, shape: Shape, params: Mapping[str, float]) -> Array:
    rows, columns = shape
    blocks = -(-columns // _BLOCK)
    values = np.array(_TIES + _GRID, np.float32)[rng.integers(len(_TIES + _GRID), size=shape)]
    widths = np.minimum(columns - _BLOCK * np.arange(blocks), _BLOCK)
    amax_at = _BLOCK * np.arange(blocks) + rng.integers(widths, size=(rows, blocks))
    np.put_along_axis(values, amax_at, np.float32(6.0), axis=1)
    values *= np.float32(1) - 2 * rng.integers(2, size=shape, dtype=np.uint8).astype(np.float32)
    # one exponent for two blocks of 16, so that blocks of 32 are aligned to ties as well
    exponents = rng.integers(-6, 7, size=(rows, -(-columns // (2 * _BLOCK))))
    return np.ldexp(values, _per_block(exponents, columns, 2 * _BLOCK).astype(np.int32))


def _exponent_sweep(rng: np.random.Generator, shape: Shape, params: Mapping[str, float]) -> Array:
    rows, columns = shape
    significands = 1 + rng.integers(1 << 23, size=shape) / 2.0**23  # every float32 significand alike
    significands[:, 0] = 1
    significands *= 1 - 2.0 * rng.integers(2, size=shape)
    exponents = np.round(np.linspace(-149, 127, rows)).astype(np.int32)
    # in float64 until the end: float32 then rounds subnormals once
    return np.ldexp(significands, np.broadcast_to(exponents[:, None], (rows, columns)))


def _specials(rng: np.random.Generator, shape: Shape, params: Mapping[str, float]) -> Array:
    columns = shape[1]
    values = np.zeros(shape, np.float32)  # row 0 of every eight stays zero
    values[1::8] = -0.0
    values[2::8, rng.integers(columns)] = 1.0
    subnormal = rng.integers(1, 1 << 23, size=values[3::8].shape, dtype=np.uint32)
    values[3::8] = subnormal.view(np.float32)
    values[4::8, 0::2] = _FLT_MAX
    values[4::8, 1::2] = -_FLT_MAX
    values[5::8] = _FLT_MIN
    values[5::8, 0::3] = -_FLT_TRUE_MIN
    values[6::8, _BLOCK:] = rng.standard_normal(values[6::8, _BLOCK:].shape, dtype=np.float32)
    values[7::8] = _FLT_TRUE_MIN
    values[7::8, 0] = _FLT_MAX
    return values


GENERATORS: tuple[SyntheticGenerator, ...] = (
    SyntheticGenerator("gaussian", "N(0, 1)", _gaussian),
    SyntheticGenerator("laplace", "Laplace of scale 1", _laplace),
    SyntheticGenerator("student-t", "Student's t, heavy-tailed", _student_t, params=(Param("nu", 5, 0.5, 1000),)),
    SyntheticGenerator(
        "block-lognormal",
        "N(0, 1) times exp(sigma N(0, 1)) per block of 16",
        _block_lognormal,
        params=(Param("sigma", 1, 0, 10),),
    ),
    SyntheticGenerator(
        "outlier-channels",
        "activations: N(0, 1) with a fraction of the columns times a factor",
        _outlier_channels,
        params=(Param("fraction", 0.01, 0, 1), Param("factor", 15, 0, 1e6)),
    ),
    SyntheticGenerator(
        "ties",
        "E2M1 midpoints and grid values times 2^k, block maximum 6 * 2^k",
        _ties,
        (128, 256),
        in_suite=False,
    ),
    SyntheticGenerator(
        "exponent-sweep",
        "magnitudes from 2^-149 to 2^127 across rows",
        _exponent_sweep,
        (277, 64),
        in_suite=False,
    ),
    SyntheticGenerator(
        "specials",
        "zero rows and blocks, -0, one nonzero, subnormals, FLT_MAX beside the tiniest",
        _specials,
        (8, 64),
        in_suite=False,
    ),
)

SUITE: tuple[SyntheticGenerator, ...] = tuple(generator for generator in GENERATORS if generator.in_suite)
