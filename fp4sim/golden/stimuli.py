"""The stimuli: rows of data, each a function from a spec to named inputs that show one kind of mistake."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np

from fp4sim.dialects.target import FLT_MAX
from fp4sim.errors import UsageError
from fp4sim.golden.blocks import Facts, around, facts_of, matrix_of, pinned, spread
from fp4sim.io.files import shown
from fp4sim.transforms import rotation_size

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.spec import Spec

_ROWS = 32
_EXPONENTS = (-149, -148, -140, -127, -126, -120, -100, -64, -24, -10, -1, 0, 1, 15, 64, 120, 126, 127)
_MANTISSAS = (1.0, 1.0078125, 1.25, 1.3125, 1.5, 1.5078125, 1.6875, 1.75, 1.8125, 1.9921875)
_POWER_EDGES = (1.0, 1.25, 1.5, 2**0.5, 1.75)  # where floor, ceil, rceil, even and log2 change the exponent


@dataclass(frozen=True, eq=False)
class Input:
    """A tensor to quantize. ``padded``: the same in a larger buffer whose padding is poison, for kernels with a pitch."""

    name: str
    x: NDArray[Any]
    padded: NDArray[Any] | None = None


@dataclass(frozen=True)
class Stimulus:
    """A named set of inputs: ``make(facts, rng)``; ``about``: what it shows, in a line."""

    name: str
    about: str
    make: Callable[[Facts, np.random.Generator], list[Input]]


def _gaussian(facts: Facts, rng: np.random.Generator) -> list[Input]:
    return [Input("", rng.standard_normal((_ROWS, 4 * facts.width)).astype(ml_dtypes.bfloat16))]


def _exhaustive(facts: Facts, rng: np.random.Generator) -> list[Input]:
    grid = np.concatenate([facts.magnitudes[::-1], -facts.magnitudes])
    scales = spread(facts.scales, 256)
    if grid.size <= facts.size:
        blocks = np.zeros((scales.size, facts.size), np.float32)
        blocks[:, : grid.size] = scales[:, None] * grid
    else:
        blocks = np.concatenate([pinned((s * grid).astype(np.float32), s * grid[0], facts.size) for s in scales])
    return [Input("", matrix_of(blocks, facts))]


def _ties(facts: Facts, rng: np.random.Generator) -> list[Input]:
    points = (facts.magnitudes[1:] + facts.magnitudes[:-1]) / 2
    blocks = []
    for scale in spread(facts.scales, 12):
        near = around(points * scale)
        blocks.append(pinned(np.concatenate([near, -near]), scale * facts.magnitudes[-1], facts.size))
    return [Input("", matrix_of(np.concatenate(blocks), facts))]


def _scale_ties(facts: Facts, rng: np.random.Generator) -> list[Input]:
    spec, top = facts.spec, facts.magnitudes[-1]
    if spec.scale is None:
        return []
    if spec.scale.has_zero:
        edges = (facts.scales[1:] + facts.scales[:-1]) / 2 * top
    else:
        powers = spread(facts.scales[8:-8], 24)
        edges = (powers[:, None] * np.array([*_POWER_EDGES, top, top / 2])).reshape(-1)
    amax = np.append(around(edges), np.float32(facts.scales[-1] * top))
    fractions = np.linspace(1, -1, facts.size).astype(np.float32)
    return [Input("", matrix_of((amax[:, None] * fractions).astype(np.float32), facts))]


def _exponents(facts: Facts, rng: np.random.Generator) -> list[Input]:
    every = np.arange(-149, 128)
    shape = rng.uniform(-1.0, 1.0, facts.size)
    shape[0] = 1.0
    blocks = np.ldexp(np.broadcast_to(shape, (every.size, facts.size)), every[:, None]).astype(np.float32)
    inputs = [Input("all", matrix_of(blocks, facts))]
    if facts.spec.tensor_scale.mode != "none" or facts.per_tensor:
        for exponent in _EXPONENTS:
            values = rng.uniform(-1.0, 1.0, (8, facts.width))
            values[0, 0] = 1.0
            inputs.append(Input(f"e{exponent:+04d}", np.ldexp(values, exponent).astype(np.float32)))
    return inputs


def _amax(facts: Facts, rng: np.random.Generator) -> list[Input]:
    if not facts.per_tensor:
        amax = np.array([m * 2.0**e for m in _MANTISSAS for e in range(-12, 13)])
        return [Input("rows", _with_amax(amax, facts, rng))]
    inputs = []
    for number, mantissa in enumerate(_MANTISSAS * 2):
        amax = np.full(8, mantissa * 2.0 ** (number % 7 - 4)) * np.append(1.0, rng.uniform(0.05, 1.0, 7))
        inputs.append(Input(f"{number:02d}", _with_amax(amax, facts, rng)))
    return inputs


def _with_amax(amax: NDArray[np.float64], facts: Facts, rng: np.random.Generator) -> NDArray[Any]:
    """bf16 rows of normal data whose largest magnitude is amax (rounded down to bf16)."""
    values = rng.standard_normal((amax.size, facts.width))
    values *= amax[:, None] / np.abs(values).max(axis=1, keepdims=True)
    return values.astype(ml_dtypes.bfloat16)


def _specials(facts: Facts, rng: np.random.Generator) -> list[Input]:
    def plain() -> NDArray[np.float32]:
        return rng.standard_normal((16, 2 * facts.width)).astype(np.float32)

    def with_value(value: float, where: Any) -> NDArray[np.float32]:
        x = plain()
        x[where] = value
        return x

    tiny = np.ldexp(rng.integers(-9, 10, (16, facts.width)).astype(np.float64), -149).astype(np.float32)
    lone = np.zeros((16, facts.width), np.float32)
    lone[3, 5] = -1.5
    block = np.s_[2, : min(facts.size, facts.width)]
    return [
        Input("zero-tensor", np.zeros((16, facts.width), np.float32)),
        Input("zero-row", with_value(0.0, 1)),
        Input("zero-block", with_value(0.0, block)),
        Input("one-nonzero", lone),
        Input("subnormals", tiny),
        Input("subnormal-block", with_value(2.0**-149, block)),
        Input("flt-max", with_value(float(FLT_MAX), (4, slice(0, 64, 3)))),
        Input("inf", with_value(np.inf, (5, 7))),
        Input("minus-inf", with_value(-np.inf, (5, slice(8, 11)))),
        Input("nan", with_value(np.nan, (6, 9))),
        Input("minus-zero", with_value(-0.0, np.s_[:, ::3])),
    ]


def _quantized(facts: Facts, rng: np.random.Generator) -> list[Input]:
    from fp4sim.api import quantize

    values = quantize(rng.standard_normal((_ROWS, 2 * facts.width)).astype(np.float32), facts.spec).dequantize()
    return [Input("", values)]


def _padding(facts: Facts, rng: np.random.Generator) -> list[Input]:
    rows = 130
    ragged = 0 if rotation_size(facts.spec) else 8
    x = rng.standard_normal((rows, 2 * facts.width + ragged)).astype(np.float32)
    padded = np.full((256, -(-x.shape[1] // 128) * 128), np.nan, np.float32)
    padded[:, 1::2] = FLT_MAX
    padded[:rows, : x.shape[1]] = x
    return [Input("", x, padded)]


STIMULI: tuple[Stimulus, ...] = (
    Stimulus("gaussian", "normal data in bf16", _gaussian),
    Stimulus("exhaustive", "every code under every scale, exact", _exhaustive),
    Stimulus("ties", "halfway between two codes, and one ulp below and above", _ties),
    Stimulus("scale-ties", "amax where the block scale changes, and one ulp below and above", _scale_ties),
    Stimulus("exponents", "amax from 2^-149 to 2^127", _exponents),
    Stimulus("amax", "bf16 tensors of many amax values: what tells libraries apart", _amax),
    Stimulus("specials", "zero tensor, row and block, one nonzero, subnormals, FLT_MAX, Inf, NaN, -0", _specials),
    Stimulus("quantized", "data that is quantized already", _quantized),
    Stimulus("padding", "a shape that fills no tile, beside a copy whose padding is NaN and FLT_MAX", _padding),
)
NAMES = tuple(stimulus.name for stimulus in STIMULI)


def named(text: str) -> tuple[Stimulus, ...]:
    """Stimuli by their names, separated by commas; ``all`` for every one. Raises UsageError."""
    names = [part.strip().lower() for part in text.split(",") if part.strip()]
    for name in names:
        if name not in (*NAMES, "all"):
            raise UsageError(f"no stimulus '{shown(name, 40)}'; there are {', '.join(NAMES)} and all")
    if not names:
        raise UsageError(f"--stimuli names none; there are {', '.join(NAMES)} and all")
    return tuple(stimulus for stimulus in STIMULI if "all" in names or stimulus.name in names)


def inputs_of(stimulus: Stimulus, spec: Spec, seed: int) -> list[Input]:
    """The inputs of a stimulus for a spec; the random ones depend on the stimulus, the spec's geometry and the seed alone."""
    rng = np.random.default_rng([seed, *stimulus.name.encode()])
    return stimulus.make(facts_of(spec), rng)
