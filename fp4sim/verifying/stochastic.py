"""Stochastic codes: neighbours, as often up as their position says, with how many random bits, new in every draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.report.verify_model import Alarm, Count, StochasticResult
from fp4sim.stats.chi_square import random_bits_used, rounding_test
from fp4sim.verifying import arithmetic
from fp4sim.verifying.blocks import to_blocks
from fp4sim.verifying.fractions import neighbours
from fp4sim.verifying.identify import rates

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.spec import Spec, Step
    from fp4sim.verifying.explain.scene import Scene

_LEAST_P = 1e-6  # a fault of the kernel, not bad luck, even in a CI that runs for years
_BINS = 4096
_CELLS = 1 << 16
_CLIPPED = 0.02  # of the blocks: what subnormal scales clip although the range is matched; else it is about half
_DEPENDENT = 6.0  # standard deviations


def judge_draws(scene: Scene) -> tuple[StochasticResult, Count]:
    """The test of a case's draws, and how many of its codes are no neighbours of their value.

    Where something is wrong and nothing would be had the kernel treated the range otherwise (matched it, or not), the
    draws are judged as such a kernel's, with an alarm that says so.
    """
    own, wrong = _of(scene)
    if wrong.wrong or any(alarm.failed for alarm in own.alarms) or _scales_differ(scene):
        spec = scene.expected.spec
        clips = bool(spec.step("sr").get("clip", False))
        other = scene.against(scene.requantize(_with_clip(spec, not clips), None, None))
        found, left = _of(other)
        if not (left.wrong or any(alarm.failed for alarm in found.alarms) or _scales_differ(other)):
            told = (
                "matches the range, so that nothing clips"
                if clips
                else "does not match the range: elements are clipped"
            )
            alarm = Alarm("range", f"the kernel {told}; it is right for {other.expected.spec.short}")
            return replace(found, alarms=(*found.alarms, alarm)), left
    return own, wrong


def _of(scene: Scene) -> tuple[StochasticResult, Count]:
    geometry = scene.expected.geometry
    draws = [to_blocks(codes, geometry) for codes in scene.output.draws]
    result, wrong = verify_draws(scene.expected.spec, scene.evidence.scaled, draws)
    return result, Count(int(np.count_nonzero(wrong)), scene.output.draws[0].size)


def _scales_differ(scene: Scene) -> bool:
    counts = rates(scene.expected, replace(scene.output, codes=None))
    return any(count.wrong for count in counts.values())


def _with_clip(spec: Spec, clip: bool) -> Spec:
    def changed(step: Step) -> Step:
        kept = tuple(pair for pair in step.parameters if pair[0] != "clip")
        return replace(step, parameters=(*kept, ("clip", True)) if clip else kept)

    return replace(spec, steps=tuple(changed(step) if step.name == "sr" else step for step in spec.steps))


def verify_draws(
    spec: Spec, scaled: NDArray[np.float32], draws: Sequence[NDArray[np.unsignedinteger]]
) -> tuple[StochasticResult, NDArray[np.bool_]]:
    """What one or several draws show, and where codes of any draw are no neighbours of their value.

    ``scaled``: x as the element cast sees it; draws: codes of the same shape, one array a draw.
    """
    fmt = spec.element
    low, fraction, above = neighbours(scaled, fmt)
    mask = fmt.sign_mask - 1
    wrong = np.zeros(scaled.shape, np.bool_)
    ups = []
    for codes in draws:
        magnitude = codes & codes.dtype.type(mask)
        up = (magnitude == low + 1) & (fraction > 0)
        ups.append(up)
        wrong |= arithmetic.strangers(spec, scaled, codes)
    inside = (fraction > 0) & ~above & ~wrong & np.isfinite(scaled)
    alarms = list(_alarms(draws, ups, inside, fraction, scaled))
    tested = int(np.count_nonzero(inside))
    p_value: float | None = None
    bits: tuple[int, ...] = ()
    if tested and not any(alarm.name in ("all zeros", "deterministic") for alarm in alarms):
        p_value, bits, more = _frequencies(spec, ups, inside, fraction)
        alarms += more
    clipped = int(np.count_nonzero((above & np.isfinite(scaled)).any(axis=1)))
    matched = None if not tested else clipped <= _CLIPPED * scaled.shape[0]
    return StochasticResult(len(draws), tested, p_value, bits, matched, tuple(alarms)), wrong


def _frequencies(
    spec: Spec, ups: Sequence[NDArray[np.bool_]], inside: NDArray[np.bool_], fraction: NDArray[np.float64]
) -> tuple[float | None, tuple[int, ...], list[Alarm]]:
    """The chi-square of the spec's own number of bits, the numbers that fit, and the alarm where its own does not."""
    position = fraction[inside]
    count = np.zeros(position.size, np.int64)
    for up in ups:
        count += up[inside]
    cells, index = np.unique(position, return_inverse=True)
    if cells.size > _CELLS:  # too many positions for the test: equal shares of them
        keep = np.linspace(0, position.size - 1, _CELLS).astype(np.int64)
        order = np.argsort(position, kind="stable")[keep]
        cells, counted, trials = position[order], count[order], np.full(order.size, len(ups))
    else:
        counted = np.bincount(index, weights=count).astype(np.int64)
        trials = np.bincount(index) * len(ups)
    test = rounding_test(counted, trials, cells, spec.random_bits)
    fits = random_bits_used(counted, trials, cells, least_p=_LEAST_P)
    if test.p_value is None or test.p_value >= _LEAST_P:
        return test.p_value, fits, []
    rate, expected = float(counted.sum() / trials.sum()), float((cells * trials).sum() / trials.sum())
    sentence = f"codes go up {rate:.4f} of the time, their positions say {expected:.4f} (p = {test.p_value:.1e})"
    if fits:
        sentence += f"; {_numbers(fits)} random bits would fit, {spec.short} has {spec.random_bits}"
    return test.p_value, fits, [Alarm("frequency", sentence)]


def _numbers(bits: tuple[int, ...]) -> str:
    return str(bits[0]) if len(bits) == 1 else f"{bits[0]} to {bits[-1]}"


def _alarms(
    draws: Sequence[NDArray[np.unsignedinteger]],
    ups: Sequence[NDArray[np.bool_]],
    inside: NDArray[np.bool_],
    fraction: NDArray[np.float64],
    scaled: NDArray[np.float32],
) -> list[Alarm]:
    """All zeros, nearest instead of stochastic, the seed ignored, draws that depend on one another."""
    alarms = []
    for number, codes in enumerate(draws):
        if not codes.any() and scaled.any():
            alarms.append(Alarm("all zeros", f"every code of draw {number} is zero: nothing was rounded or written"))
            return alarms
    position = fraction[inside]
    if position.size >= 64:
        decided = np.abs(position - 0.5) > 0.1
        nearest = [np.array_equal(up[inside][decided], position[decided] > 0.5) for up in ups]
        same = [not up[inside].any() or bool(up[inside].all()) for up in ups]
        if decided.sum() >= 64 and (all(nearest) or all(same)):
            what = "to nearest" if all(nearest) else "always the same way"
            alarms.append(Alarm("deterministic", f"codes are rounded {what}: no random bits are used"))
            return alarms
    if len(draws) > 1 and position.size:
        alarms += _dependence(ups, inside, position)
    return alarms


def _dependence(
    ups: Sequence[NDArray[np.bool_]], inside: NDArray[np.bool_], position: NDArray[np.float64]
) -> list[Alarm]:
    """Equal draws, and correlation of neighbouring draws beyond chance."""
    variance = position * (1 - position)
    spread = float(np.sqrt((variance**2).sum()))
    for first in range(len(ups) - 1):
        a, b = ups[first][inside], ups[first + 1][inside]
        if np.array_equal(a, b) and variance.sum() > 8:
            return [Alarm("seed ignored", f"draws {first} and {first + 1} are equal: the seed is ignored or the same")]
        covariance = float(((a - position) * (b - position)).sum())
        if spread > 2 and abs(covariance) > _DEPENDENT * spread:
            share = covariance / float(variance.sum())
            return [Alarm("dependent", f"draws {first} and {first + 1} are not independent: correlation {share:.3f}")]
    return []
