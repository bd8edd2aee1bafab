"""``--identify``: which dialects reproduce a dump, best first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.errors import Fp4simError
from fp4sim.report.verify_model import Candidate, Count
from fp4sim.spec_names import POW2_RULES
from fp4sim.verifying.dialects import variants
from fp4sim.verifying.explain.hypothesis import unequal

if TYPE_CHECKING:
    from fp4sim.spec import Spec
    from fp4sim.verifying.buffers import Output
    from fp4sim.verifying.expected import Expected


def candidates_of(spec: Spec) -> tuple[Spec, ...]:
    """The spec under every dialect, and for power-of-two scales under every rule."""
    rules = POW2_RULES if spec.scale is not None and not spec.scale.has_zero else (spec.rule,)
    found = [variant for rule in rules for variant in variants(replace(spec, rule=rule))]
    return tuple(dict.fromkeys([spec, *found]))


def identify(spec: Spec, output: Output, compare: Callable[[Spec], dict[str, Count]]) -> tuple[Candidate, ...]:
    """Every candidate by its mismatches, exact ones first; equals in the order of the registry."""
    found = []
    for candidate in candidates_of(spec):
        try:
            found.append(Candidate(candidate.short, compare(candidate)))
        except Fp4simError:
            continue
    return tuple(sorted(found, key=lambda one: (not one.exact, one.rate)))


def rates(expected: Expected, output: Output) -> dict[str, Count]:
    """Differing codes, scales and tensor scales of an output against what is expected."""
    counts: dict[str, Count] = {}
    if output.codes is not None:
        matrix = np.moveaxis(expected.packed.codes, expected.geometry.axis, -1).reshape(output.codes.shape)
        counts["codes"] = Count(int(np.count_nonzero(output.codes != matrix)), matrix.size)
    if output.scales is not None:
        wrong = output.scales.reshape(-1) != expected.scales
        counts["scales"] = Count(int(np.count_nonzero(wrong)), wrong.size)
    if output.tensor_scale is not None:
        want = expected.divisors() if output.divides else expected.packed.tensor_scale.reshape(-1)
        fits = output.tensor_scale.size in (1, want.size)
        wrong_scales = int(np.count_nonzero(unequal(output.tensor_scale, want))) if fits else want.size
        counts["tensor_scale"] = Count(wrong_scales, want.size)
    return counts
