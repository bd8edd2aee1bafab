"""The bias of stochastic rounding, exactly: how many of all random bits send an element up, by the definition of the cast."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fp4sim.dialects.registry import dialect_of
from fp4sim.errors import UsageError
from fp4sim.estimators.pipeline import check_spec, prepare
from fp4sim.fpmode import ieee_mode
from fp4sim.geometry import Geometry
from fp4sim.io.source import ArrayTensor
from fp4sim.kernels.reference.encode import decode, encode
from fp4sim.panels import Panels
from fp4sim.randbits import Stream
from fp4sim.report.rounding_model import RoundingCurve, RoundingResult
from fp4sim.rounding import Rounding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fp4sim.spec import Spec

POINTS = 512
_TEETH = 8  # of the coarsest rounding, that are shown of a gap
_VISIBLE_BITS = 12  # more have no bias that a figure shows
_TOP_POINTS = 160
_AMAX_VALUES = 1 << 13  # of one octave: more than any scale of 8 bits tells apart


@ieee_mode()
def rounding_bias(specs: Sequence[Spec]) -> RoundingResult:
    """The bias of every spec's element rounding. Raises UsageError for specs without stochastic rounding, or with more."""
    if not specs:
        raise UsageError("no format to round to")
    for spec in specs:
        _check(spec)
    least = min(spec.random_bits for spec in specs)
    span = min(1.0, _TEETH * 2.0**-least) if least <= _VISIBLE_BITS else 1.0
    return RoundingResult(tuple(_curve(spec, span) for spec in specs), span)


def _check(spec: Spec) -> None:
    check_spec(spec)
    others = [step.name for step in spec.steps if step.name != "sr"]
    if spec.rounding is not Rounding.SR or others or spec.block.kind != "tile":
        raise UsageError(f"{spec.short}: the bias by position is that of +sr alone over blocks, e.g. nvfp4+sr:bits=8")


def _curve(spec: Spec, span: float) -> RoundingCurve:
    grid = spec.element.magnitudes()
    low, high = float(grid[-2]), float(grid[-1])
    reach = largest_reach(spec)
    between = np.linspace(low, low + span * (high - low), POINTS + 1, dtype=np.float32)
    places = np.linspace(low, max(reach, high), _TOP_POINTS + 1, dtype=np.float32)
    places = places[places <= np.float32(reach)]
    gap, top = (expected_value(spec, at) - at for at in (between, places))
    one = high - low
    return RoundingCurve(
        spec.short,
        spec.random_bits,
        tuple((gap / one).tolist()),
        tuple(places.astype(np.float64).tolist()),
        tuple((top / one).tolist()),
        reach,
    )


def expected_value(spec: Spec, scaled: NDArray[np.float32]) -> NDArray[np.float64]:
    """E[q(z)] of scaled elements over all 2^bits random integers, exact in float64, same shape.

    The code rises with the random integer, at one place at most, which is found by halving.
    """
    bits, fmt = spec.random_bits, spec.element
    policy = dialect_of(spec).element_rule(fmt, spec.scale).policy

    def code(random: NDArray[np.int64]) -> NDArray[np.unsignedinteger]:
        draws = random.astype(np.uint32)
        return encode(scaled, fmt, Rounding.SR, random=draws, random_bits=bits, policy=policy)

    first = np.zeros(scaled.shape, np.int64)
    last = np.full(scaled.shape, (1 << bits) - 1)
    below, above = code(first), code(last)
    low, high = first - 1, last  # code(low) is below, code(high) above
    for _ in range(bits):
        middle = (low + high) // 2
        up = code(np.maximum(middle, 0)) == above
        high, low = np.where(up, middle, high), np.where(up, low, middle)
    rising = np.where(below == above, 0, (1 << bits) - high)
    exact: NDArray[np.float64] = decode(below, fmt) * ((1 << bits) - rising) + decode(above, fmt) * rising
    return exact / (1 << bits)


def largest_reach(spec: Spec) -> float:
    """The largest scaled element that the spec's scale rule makes of a block's amax, over an octave of them."""
    amax = np.linspace(1, 2, _AMAX_VALUES, endpoint=False, dtype=np.float32)
    x = np.zeros((_AMAX_VALUES * spec.block.rows, spec.block.cols), np.float32)
    x[:: spec.block.rows, 0] = amax
    tensor = ArrayTensor("", x)
    geometry = Geometry.for_spec(x.shape, -1, spec)
    pipeline = prepare(Panels(tensor, 1), spec, geometry, Stream())
    divides = pipeline.quantizer.cast_of().divides
    found = 0.0
    for cell in geometry.cells:
        scales = pipeline.quantizer.scales(cell, pipeline.load(cell))
        scaled = scales.amax / scales.factor if divides else scales.amax * scales.factor
        found = max(found, float(scaled.max()))
    return found
