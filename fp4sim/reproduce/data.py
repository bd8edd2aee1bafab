"""The tensors that tables are measured on: a name, a line of description and a function each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.errors import UsageError
from fp4sim.io.source import ArrayTensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.reproduce.model import Data

Array = Any
Make = Callable[[np.random.Generator, tuple[int, int], tuple[float, ...]], list[Array]]


@dataclass(frozen=True)
class Recipe:
    """A generator: ``make(rng, (rows, columns), parameters)`` gives ``count`` arrays, over which figures are averaged."""

    description: str
    make: Make
    count: int = 1


def tensors(data: Data, seed: int) -> list[ArrayTensor]:
    """The tensors of a seed, float32."""
    rng = np.random.default_rng([seed, sum(data.name.encode()), data.rows, data.columns])
    made = _recipe(data.name).make(rng, (data.rows, data.columns), data.parameters)
    return [ArrayTensor(f"{data.name} {i}", np.ascontiguousarray(x, np.float32)) for i, x in enumerate(made)]


def describe(data: Data) -> str:
    """The data in words."""
    words = _recipe(data.name).description.format(*(f"{p:g}" for p in data.parameters))
    return f"{words}, {data.rows}×{data.columns}"


def count_of(data: Data) -> int:
    """How many tensors :func:`tensors` gives."""
    return _recipe(data.name).count


def _recipe(name: str) -> Recipe:
    if name not in RECIPES:
        raise UsageError(f"no data '{name}'; there are {', '.join(RECIPES)}")
    return RECIPES[name]


def _normal(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float32]:
    return rng.standard_normal(shape, dtype=np.float32)


def _octave(rng: np.random.Generator, shape: tuple[int, int], _: tuple[float, ...]) -> list[Array]:
    return [_normal(rng, shape) * np.float32(2 ** (k / 16)) for k in range(16)]


def _row_scales(rng: np.random.Generator, shape: tuple[int, int], _: tuple[float, ...]) -> list[Array]:
    return [_normal(rng, shape) * np.exp2(rng.uniform(0, 8, (shape[0], 1))).astype(np.float32)]


def _block_lognormal(rng: np.random.Generator, shape: tuple[int, int], p: tuple[float, ...]) -> list[Array]:
    spread = np.exp(p[0] * _normal(rng, (shape[0], shape[1] // 16)))
    return [_normal(rng, shape) * spread.repeat(16, axis=1)]


def _sparse(rng: np.random.Generator, shape: tuple[int, int], p: tuple[float, ...]) -> list[Array]:
    return [np.where(rng.random(shape) < p[0], np.float32(0), _normal(rng, shape))]


def _two_elements(rng: np.random.Generator, shape: tuple[int, int], p: tuple[float, ...]) -> list[Array]:
    x = np.zeros(shape, np.float32)
    x[:, 0::128], x[:, 1::128] = 1, p[0]
    return [x]


def _student(rng: np.random.Generator, shape: tuple[int, int], p: tuple[float, ...]) -> list[Array]:
    return [rng.standard_t(p[0], shape)]


def _laplace(rng: np.random.Generator, shape: tuple[int, int], _: tuple[float, ...]) -> list[Array]:
    return [rng.laplace(size=shape)]


def _channels(rng: np.random.Generator, shape: tuple[int, int], p: tuple[float, ...]) -> list[Array]:
    x = _normal(rng, shape)
    chosen = rng.permutation(shape[1])[: max(1, round(p[0] * shape[1]))]
    x[:, chosen] *= np.float32(p[1])
    return [x]


def _bag(rng: np.random.Generator, shape: tuple[int, int], _: tuple[float, ...]) -> list[Array]:
    made = [
        *(rng.standard_t(nu, shape) for nu in (4, 6, 10)),
        _normal(rng, shape),
        _channels(rng, shape, (0.005, 15))[0],
        _normal(rng, shape) * np.exp(0.5 * rng.standard_normal(shape[1])),
        _gelu(_normal(rng, shape)),
        _gelu(1.5 * _normal(rng, shape) - 0.7),
        _gelu(rng.standard_t(6, shape)),
    ]
    magnitude = np.exp2(rng.uniform(-4, 4, len(made)))
    return [x * (0.9 / np.sqrt(np.mean(np.square(x))) * m) for x, m in zip(made, magnitude, strict=True)]


def _gelu(x: Array) -> Array:
    from scipy.special import ndtr

    return x * ndtr(x)


def _four_values(rng: np.random.Generator, shape: tuple[int, int], _: tuple[float, ...]) -> list[Array]:
    return [np.tile(np.array([10, 20, 30, 40], np.float32), (shape[0], shape[1] // 4))]


RECIPES: dict[str, Recipe] = {
    "gaussian": Recipe("N(0, 1)", lambda rng, shape, _: [_normal(rng, shape)]),
    "octave": Recipe("N(0, σ²), mean over σ = 2^(k/16), k = 0 … 15", _octave, 16),
    "row-scales": Recipe("N(0, 1), each row times 2^u, u uniform in 0 … 8", _row_scales),
    "block-lognormal": Recipe("N(0, 1) times exp({} N(0, 1)) per block of 16", _block_lognormal),
    "sparse": Recipe("N(0, 1) with a share of {} zeros", _sparse),
    "two-elements": Recipe("e0 + {} e1 in every 128 values, the rest zero", _two_elements),
    "student-t": Recipe("Student's t, ν = {}", _student),
    "laplace": Recipe("Laplace", _laplace),
    "channels": Recipe("N(0, 1) with a share of {} of the columns times {}", _channels),
    "bag": Recipe(
        "bag of 9: t4, t6, t10, N, N with 0.5 % of columns × 15, lognormal columns, 3 × GELU; rms 0.9 × 2^u", _bag, 9
    ),
    "four-values": Recipe("10, 20, 30, 40", _four_values),
}
