"""A wrong tensor scale: a divisor for a multiplier, none, another bound, stale; and what follows from it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.dialects.target import target_of
from fp4sim.errors import Fp4simError
from fp4sim.report.verify_model import Finding
from fp4sim.verifying import arithmetic
from fp4sim.verifying.explain.hypothesis import unequal
from fp4sim.verifying.explain.scale_orders import narrowed
from fp4sim.verifying.identify import stored_scales

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.spec import Spec
    from fp4sim.verifying.explain.scene import Scene

_CLOSE = 1e-5  # a relation between tensor scales, whatever the order of operations
_BOUNDS = (256.0, 448.0, 240.0, 127.0)


def explain(scene: Scene) -> tuple[Finding | None, Scene]:
    """What is wrong with the tensor scale, and the case held against what follows from it."""
    output, expected = scene.output, scene.expected
    if output.tensor_scale is None:
        return None, scene
    want = stored_scales(expected, output)
    found = np.broadcast_to(output.tensor_scale, want.shape) if output.tensor_scale.size == 1 else output.tensor_scale
    wrong = int(np.count_nonzero(unequal(found, want))) if found.shape == want.shape else found.size
    if not wrong:
        return None, scene
    cause, sentence, spec = _named(scene.expected.spec, found, want, scene)
    other = _held_against(scene, spec, found)
    if other is not None and _mismatches(other) < 0.5 * _mismatches(scene):
        sentence += "; scales and codes follow from it"
        scene = other
    explained = wrong if cause != "unknown" else 0
    return Finding(cause, "tensor_scale", sentence, explained, wrong), scene


def implied_by(scene: Scene, factor: float | None) -> Scene:
    """The case under the tensor scale that its block scales imply, if its codes follow from that (all or nearly)."""
    before = int(np.count_nonzero(scene.unfollowed))
    if factor is None or not before or not np.isfinite(factor) or factor <= 0:
        return scene
    spec, want = scene.expected.spec, scene.expected.packed.tensor_scale
    bound = target_of(spec).bound
    given = (want.astype(np.float64) / factor).astype(np.float32)
    if np.allclose(given, 1, rtol=1e-6):
        given = np.ones_like(given)
    tries = [_held_against(scene, None, given.reshape(-1), divides=False)]
    bounded = _bounded(spec, float(np.round(bound * factor, 6)))
    tries += [] if bounded is None else [_held_against(scene, bounded, given)]
    found = [one for one in tries if one is not None]
    if not found:
        return scene
    best = min(found, key=lambda one: int(np.count_nonzero(one.unfollowed)))
    return best if np.count_nonzero(best.unfollowed) <= 0.05 * before else scene


def _named(
    spec: Spec, found: NDArray[np.float32], want: NDArray[np.float32], scene: Scene
) -> tuple[str, str, Spec | None]:
    """The cause, its sentence, and the spec that has such tensor scales."""
    if found.shape != want.shape:
        return "tensor_scale.shape", f"there are {found.size:,} tensor scales where {want.size:,} are right", None
    wrong = unequal(found, want)
    told = wrong | (np.isfinite(want) & (want > 0))  # a NaN or zero that is right tells no cause from another
    amax = _amax(scene, want.size)
    found, want, amax, wrong = found[told], want[told], amax[told], wrong[told]
    with np.errstate(all="ignore"):
        ratio = found.astype(np.float64) / want
        product = found.astype(np.float64) * want
    bound, top = target_of(spec).bound, spec.element.max
    if scene.output.divides:
        ratio = 1 / ratio
    if _is(product, 1.0) and not _is(ratio, 1.0):
        kinds = ("multiplier", "divisor") if scene.output.divides else ("divisor", "multiplier")
        return "tensor_scale.inverted", f"the tensor scale is stored as a {kinds[0]}, not as a {kinds[1]}", spec
    if (found == 1).all():
        return "tensor_scale.missing", "the tensor scale is 1: none was computed", None
    if _is(ratio, 1.0):
        sentence = "the tensor scale is off by its last bits: another order of operations"
        return "tensor_scale.operation_order", sentence, None
    for name in ("bfloat16", "float16"):
        if np.array_equal(found, narrowed(np.asarray(want, np.float32), name)):
            return "tensor_scale.narrowed", f"the tensor scale was rounded to {name}", None
    for other in _BOUNDS:
        if other != bound and _is(ratio, bound / other):
            sentence = f"the tensor scale maps amax to the block scale {other:g}, not to {bound:g}"
            return "tensor_scale.bound", sentence, _bounded(spec, other)
    if _is(ratio, top) or _is(ratio, bound):
        left = f"element's maximum {top:g}" if _is(ratio, top) else f"block scale's bound {bound:g}"
        return "tensor_scale.bound", f"the tensor scale leaves out the {left}", None
    if _is(ratio, bound * top):
        return "tensor_scale.amax", "the tensor scale is the amax itself, not divided by what it maps to", None
    if np.isfinite(ratio).all() and (ratio > 0).all():
        return "tensor_scale.stale", f"{_stale(ratio[wrong], amax[wrong], spec)}: stale, or of other data", None
    if not (np.isfinite(found).all() and (found > 0).all()):
        none = found[~(np.isfinite(found) & (found > 0))][0]
        return "unknown", f"the tensor scale is {none:g}, no positive number", None
    if _of_finite(scene, found):
        sentence = "x holds NaN or Inf, and the tensor scale is that of the finite values"
        return "tensor_scale.nonfinite_ignored", sentence, None
    odd = np.flatnonzero(~(np.isfinite(want) & (want > 0)))
    first = odd[0] if odd.size else np.flatnonzero(wrong)[0]
    right = f"is {want[first]:g}, this one {found[first]:g}" if odd.size else f"is another than {found[first]:g}"
    return "unknown", f"the right tensor scale of this input {right}", None


def _amax(scene: Scene, count: int) -> NDArray[np.float32]:
    """What each tensor scale is computed from; NaN where groups do not fill their rows."""
    group = scene.expected.group.reshape(-1)
    if group.size % count or scene.expected.spec.tensor_scale.mode == "blocks":
        return np.full(count, np.nan, np.float32)
    return group[:: group.size // count]


def _stale(ratio: NDArray[np.float64], amax: NDArray[np.float32], spec: Spec) -> str:
    """By how much tensor scales are off; as for which amax, where all are off by the same."""
    low, high = float(ratio.min()), float(ratio.max())
    if not _is(ratio, low):
        return f"tensor scales are {low:.6g} to {high:.6g} times the right ones"
    text = f"the tensor scale is {low:.6g} times the right one"
    largest = float(amax[0])
    if not 0 < largest < np.inf:
        return text
    whose = "row" if spec.tensor_scale.mode == "row" else "tensor"
    return f"{text}, as for an amax of {low * largest:.6g} (the {whose}'s is {largest:.6g})"


def _of_finite(scene: Scene, found: NDArray[np.float32]) -> bool:
    """Whether a tensor scale is that of the input without its NaN and Inf."""
    expected = scene.expected
    if np.isfinite(expected.x).all() or found.size != 1 or expected.spec.tensor_scale.mode != "tensor":
        return False
    amax = np.abs(np.where(np.isfinite(expected.x), expected.x, np.float32(0))).max()
    factors = arithmetic.factors_of(expected.spec, np.asarray(amax, np.float32), None)
    return bool(found[0] == (factors.encode if scene.output.divides else factors.stored))


def _is(values: NDArray[np.floating], value: float) -> bool:
    return bool(np.isfinite(values).all() and (np.abs(values / value - 1) < _CLOSE).all())


def _bounded(spec: Spec, bound: float) -> Spec | None:
    if (
        spec.tensor_scale.mode not in ("tensor", "row", "blocks")
        or spec.scale is None
        or not 0 < bound <= spec.scale.max
    ):
        return None
    own = None if bound == spec.scale.max else bound
    return replace(spec, tensor_scale=replace(spec.tensor_scale, bound=own))


def _held_against(
    scene: Scene, spec: Spec | None, found: NDArray[np.float32], divides: bool | None = None
) -> Scene | None:
    """The case against what the spec gives with the dumped tensor scale, or with the bound that it shows."""
    own = scene.expected.spec
    try:
        if spec is not None:
            return None if spec == own else scene.against(scene.requantize(spec, None, None))
        with np.errstate(all="ignore"):
            given = np.float32(1) / found if (scene.output.divides if divides is None else divides) else found
        if not (np.isfinite(given).all() and (given > 0).all()):
            return None
        given = given.astype(np.float32).reshape(scene.expected.packed.tensor_scale.shape)
        fixed = replace(own, tensor_scale=replace(own.tensor_scale, mode="given", span=0, bound=None))
        return scene.against(scene.requantize(fixed, given, None))
    except Fp4simError:
        return None


def _mismatches(scene: Scene) -> int:
    return int(np.count_nonzero(scene.bad_scales)) + int(np.count_nonzero(scene.bad_codes))
