"""``--identify``: which dialects reproduce a dump, best first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.errors import Fp4simError
from fp4sim.report.verify_model import Candidate, Count
from fp4sim.rounding import Rounding
from fp4sim.spec_names import POW2_RULES
from fp4sim.verifying.dialects import variants
from fp4sim.verifying.explain.hypothesis import unequal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.spec import Spec
    from fp4sim.verifying.buffers import Output
    from fp4sim.verifying.expected import Expected


def candidates_of(spec: Spec) -> tuple[Spec, ...]:
    """The spec under every dialect, and for power-of-two scales under every rule.

    Dialects that know no tensor scale are tried without one.
    """
    rules = POW2_RULES if spec.scale is not None and not spec.scale.has_zero else (spec.rule,)
    found = [variant for rule in rules for variant in variants(replace(spec, rule=rule))]
    known = {one.dialect for one in found}
    if spec.tensor_scale.mode == "tensor":
        without = replace(spec, tensor_scale=replace(spec.tensor_scale, mode="none", bound=None))
        found += [one for one in variants(without) if one.dialect not in known]
    return tuple(dict.fromkeys([spec, *found]))


def identify(spec: Spec, output: Output, compare: Callable[[Spec], dict[str, Count]]) -> tuple[Candidate, ...]:
    """Every candidate by its mismatches, exact ones first; equals in the order of the registry."""
    found = []
    for candidate in candidates_of(spec):
        try:
            counts = compare(candidate)
        except Fp4simError:
            continue
        if counts:
            found.append(Candidate(candidate.short, counts))
    return tuple(sorted(found, key=lambda one: (not one.exact, one.rate)))


def stored_scales(expected: Expected, output: Output) -> NDArray[np.float32]:
    """The tensor scales that a right kernel stores, flat: multipliers, or divisors where the output has such."""
    multipliers = expected.packed.tensor_scale.reshape(-1)
    if not output.divides:
        return multipliers
    with np.errstate(all="ignore"):
        inverse = np.asarray(np.float32(1) / multipliers, np.float32)
    return inverse if output.inverse and np.array_equal(output.tensor_scale, inverse) else expected.divisors()  # type: ignore[arg-type]


def values_like(expected: Expected, values: NDArray[Any]) -> NDArray[Any]:
    """What fp4sim's own codes and scales stand for, in the shape of a kernel's values and where possible in their dtype."""
    name = values.dtype.name
    dtype = name if name in ("float16", "float64", "bfloat16") else "float32"
    return np.asarray(np.moveaxis(expected.packed.dequantize(dtype), expected.geometry.axis, -1).reshape(values.shape))


def rates(expected: Expected, output: Output, *, signed: bool = True) -> dict[str, Count]:
    """Differing codes, scales and tensor scales of an output against what is expected, and values where there are no codes.

    ``signed``: whether the sign of a zero value counts.
    """
    counts: dict[str, Count] = {}
    if output.codes is not None:
        matrix = np.moveaxis(expected.packed.codes, expected.geometry.axis, -1).reshape(output.codes.shape)
        counts["codes"] = Count(int(np.count_nonzero(output.codes != matrix)), matrix.size)
    if output.scales is not None:
        wrong = output.scales.reshape(-1) != expected.scales
        counts["scales"] = Count(int(np.count_nonzero(wrong)), wrong.size)
    if output.tensor_scale is not None:
        want = stored_scales(expected, output)
        fits = output.tensor_scale.size in (1, want.size)
        wrong_scales = int(np.count_nonzero(unequal(output.tensor_scale, want))) if fits else want.size
        counts["tensor_scale"] = Count(wrong_scales, want.size)
    if output.codes is None and output.values is not None and expected.spec.rounding is not Rounding.SR:
        wrong = unequal(values_like(expected, output.values), output.values, signed=signed)
        counts["dequantized"] = Count(int(np.count_nonzero(wrong)), wrong.size)
    return counts
