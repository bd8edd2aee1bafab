"""The exact bias of stochastic rounding: against P(up) = floor(phi 2^bits)/2^bits, against draws, and at the top."""

from __future__ import annotations

import numpy as np
import pytest

from fp4sim.commands.rounding_bias import expected_value, largest_reach, rounding_bias
from fp4sim.errors import UsageError
from fp4sim.grammar import parse, parse_list
from fp4sim.kernels.reference.encode import decode, encode
from fp4sim.rounding import Rounding


@pytest.mark.parametrize("bits", [1, 4, 8, 16, 32])
def test_between_two_codes_it_is_the_carry_model_s(bits):
    spec = parse(f"nvfp4+sr:bits={bits}")
    phi = np.arange(1024) / 1024
    found = expected_value(spec, (4 + 2 * phi).astype(np.float32))
    np.testing.assert_array_equal(found, 4 + 2 * np.floor(np.ldexp(phi, bits)) / 2.0**bits)


@pytest.mark.parametrize(
    "spec", ["nvfp4+sr:bits=3", "mxfp4+sr:bits=5", "e3m0/16@e4m3+sr:bits=4", "e1m2/16@e4m3+sr:bits=2"]
)
def test_it_is_the_mean_over_all_random_integers(spec):
    parsed = parse(spec)
    top = parsed.element.max
    z = np.concatenate([np.linspace(-1.2 * top, 1.2 * top, 401), [0.0, -0.0]]).astype(np.float32)
    every = [
        decode(
            encode(
                z, parsed.element, Rounding.SR, random=np.full(z.shape, r, np.uint32), random_bits=parsed.random_bits
            ),
            parsed.element,
        )
        for r in range(1 << parsed.random_bits)
    ]
    np.testing.assert_array_equal(expected_value(parsed, z), np.mean(every, axis=0))


def test_matched_rounding_does_not_clip_and_unmatched_does():
    matched, clipped, few = rounding_bias(parse_list("nvfp4+sr,nvfp4+sr:clip,nvfp4+sr:bits=8")).curves
    assert max(abs(value) for value in (*matched.gap, *matched.top)) < 2**-20
    assert matched.reach <= 6 < clipped.reach <= 6.375
    beyond = [(z, value) for z, value in zip(clipped.places, clipped.top, strict=True) if z > 6]
    assert beyond
    assert all(value == (6 - z) / 2 for z, value in beyond)
    assert -(2.0**-8) < min(few.gap) < -(2.0**-8) * 0.98
    assert max(few.gap) == 0


@pytest.mark.parametrize(
    ("spec", "most"),
    [("mxfp4+sr", 6), ("mxfp4+sr:clip", 8), ("mxfp4@rceil+sr", 6), ("mxfp4@even+sr", 6), ("nvfp4+sr", 6)],
)
def test_reach_is_that_of_the_scale_rule(spec, most):
    assert 0.999 * most < largest_reach(parse(spec)) <= most


def test_the_span_shows_the_teeth_of_the_fewest_bits():
    assert rounding_bias(parse_list("nvfp4+sr,nvfp4+sr:bits=8")).span == 1 / 32
    assert rounding_bias(parse_list("nvfp4+sr:bits=2")).span == 1
    assert rounding_bias(parse_list("nvfp4+sr")).span == 1


@pytest.mark.parametrize("spec", ["nvfp4", "nvfp4+4over6+sr", "nvfp4+mseden", "e2m1/row@fp32+sr"])
def test_refuses_what_is_more_than_the_rounding(spec):
    with pytest.raises(UsageError, match=r"\+sr alone"):
        rounding_bias(parse_list(spec))
