"""The order in which causes are looked for: tensor scale, what was not written, layout, scales, codes, values.

Each stage leaves the case as a right kernel would have it but for what is still to be explained, so that swapped nibbles
do not hide a wrong tie rule, and one cause is not reported twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.report.verify_model import Finding
from fp4sim.verifying.explain import (
    element_orders,
    element_policies,
    element_reciprocal,
    element_rounding,
    layout_codes,
    layout_scales,
    neighbours,
    scale_amax,
    scale_fit,
    scale_orders,
    scale_policies,
    scale_rules,
    tensor_scale,
    unwritten,
    values,
    variants,
    zero_sign,
)
from fp4sim.verifying.explain.judge import MOST, Verdict, best
from fp4sim.verifying.explain.sentence import sentence_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.verifying.explain.hypothesis import Propose
    from fp4sim.verifying.explain.layout_scales import Rearrangement
    from fp4sim.verifying.explain.scene import Scene

SCALE_SOURCES: tuple[Propose, ...] = (
    scale_policies.propose,
    scale_orders.propose,
    scale_rules.propose,
    scale_amax.propose,
    scale_fit.propose,
)
CODE_SOURCES: tuple[Propose, ...] = (
    element_policies.propose,
    element_rounding.propose,
    element_orders.propose,
    element_rounding.propose_narrow,
    element_policies.propose_table,
    element_reciprocal.propose,
    element_rounding.propose_stochastic,
)


def explain(scene: Scene) -> tuple[Finding, ...]:
    """Findings for all that differs, in the order of the stages; ``unknown`` for what no hypothesis reproduces."""
    findings: list[Finding] = []
    found, scene = tensor_scale.explain(scene)
    findings += [found] if found else []
    lost = unwritten.unwritten(scene)
    if lost is not None:
        findings.append(lost)
        if lost.part == "codes" or scene.codes is None:
            return tuple(findings)
    else:
        found, scene = _layout_of_scales(scene)
        findings += [found] if found else []
        found, scene = _layout_of_codes(scene)
        findings += [found] if found else []
    details, after = _scales(scene) if lost is None else ([], scene)
    if after is scene:  # else its codes are explained by what its scales imply
        details += _codes(scene)
    if lost is None and any(finding.cause == "unknown" for finding in details):
        whole = variants.whole(scene)
        if whole is not None:
            return (*findings, whole)
    findings, scene = findings + details, after
    findings += _without_codes(scene)
    found = values.explain(scene)
    if found is not None:
        findings.append(found)
    signs = None if any(finding.part == "dequantized" for finding in findings) else zero_sign.explain(scene)
    return (*findings, signs) if signs is not None else tuple(findings)


def _layout_of_scales(scene: Scene) -> tuple[Finding | None, Scene]:
    if scene.scales is None or not scene.bad_scales.any():
        return None, scene
    rows, cols = scene.scales.shape
    want = scene.expected.scales.reshape(rows, cols)
    found = _rearranged(scene.scales, [want], layout_scales.rearrangements(rows, cols, scene.output.layout))
    if found is None:
        return None, scene
    rearrangement, matrix, left, before = found
    finding = Finding(
        rearrangement.cause,
        "scales",
        sentence_of("scales", before - left, before, rearrangement.sentence),
        before - left,
        before,
    )
    return finding, scene.with_scales(matrix)


def _layout_of_codes(scene: Scene) -> tuple[Finding | None, Scene]:
    geometry = scene.expected.geometry
    if scene.codes is None or not scene.unfollowed.any() or not scene.bad_codes.any():
        return None, scene
    from fp4sim.verifying.blocks import to_matrix

    targets = [to_matrix(scene.evidence.follow, geometry), to_matrix(scene.evidence.want_codes, geometry)]
    width = geometry.block.cols if geometry.block.kind == "tile" else 0
    found = _rearranged(scene.codes, targets, layout_codes.rearrangements(geometry.rows, geometry.length, width))
    if found is None:
        return None, scene
    rearrangement, matrix, left, before = found
    finding = Finding(
        rearrangement.cause,
        "codes",
        sentence_of("codes", before - left, before, rearrangement.sentence),
        before - left,
        before,
    )
    return finding, scene.with_codes(matrix)


def _rearranged(
    found: NDArray[Any], targets: list[NDArray[Any]], choices: Iterable[Rearrangement]
) -> tuple[Rearrangement, NDArray[Any], int, int] | None:
    """The first rearrangement that leaves the fewest mismatches with a target, if it is few of those there were."""
    before = min(int(np.count_nonzero(found != target)) for target in targets)
    best_of: tuple[Rearrangement, NDArray[Any], int, int] | None = None
    for choice in choices:
        matrix = choice.undo(found)
        left = min(int(np.count_nonzero(matrix != target)) for target in targets)
        if left <= (1 - MOST) * before and (best_of is None or left < best_of[2]):
            best_of = (choice, np.ascontiguousarray(matrix), left, before)
    return best_of


def _scales(scene: Scene) -> tuple[list[Finding], Scene]:
    """Why scale codes differ, and the case in which their codes are to be looked at."""
    bad = scene.bad_scales
    count = int(np.count_nonzero(bad))
    if not count or scene.expected.spec.scale is None:
        return [], scene
    verdict = best("scales", scene.evidence, bad, count, SCALE_SOURCES, scene.threads) if scene.expected.plain else None
    shared = _neighbours(scene, count) if verdict is None or verdict.left else None
    if shared is not None and (verdict is None or shared.explained > verdict.explained):
        return [shared], scene
    if verdict is not None:
        after = tensor_scale.implied_by(scene, verdict.hypothesis.implied)
        return [_finding("scales", verdict, scene, after.told if after is scene else _implied(after))], after
    sentence = sentence_of("scales", 0, count, "no hypothesis explains them", scene.evidence, scene.told)
    return [Finding("unknown", "scales", sentence, 0, count)], scene


def _implied(scene: Scene) -> str:
    left = int(np.count_nonzero(scene.unfollowed))
    return "every code follows" if not left else f"all codes but {left:,} follow"


def _neighbours(scene: Scene, count: int) -> Finding | None:
    e = scene.evidence
    if not scene.expected.plain or scene.expected.geometry.block.kind != "tile":
        return None
    for cause, text, codes in neighbours.predictions(e):
        left = int(np.count_nonzero(codes != e.scales))
        if left <= (1 - MOST) * count:
            sentence = sentence_of("scales", count - left, count, text, e, scene.told)
            return Finding(cause, "scales", sentence, count - left, count)
    return None


def _codes(scene: Scene) -> list[Finding]:
    """Why codes differ that do not follow from the scales."""
    wrong = scene.unfollowed
    count = int(np.count_nonzero(wrong))
    if not count or not scene.bad_codes.any():
        return []  # codes of the right scales are right, whatever is stored as scale
    lost = unwritten.lanes(scene)
    if lost is not None:
        return [lost]
    bad = wrong.any(axis=1) | scene.bad_scales
    verdict = best("codes", scene.evidence, bad, count, CODE_SOURCES, scene.threads) if scene.expected.plain else None
    if verdict is not None:
        return [_finding("codes", verdict, scene)]
    return [Finding("unknown", "codes", sentence_of("codes", 0, count, "no hypothesis explains them"), 0, count)]


def _without_codes(scene: Scene) -> list[Finding]:
    """Why values differ where nothing but values (or values and scales) was dumped: scales and codes are tried on them."""
    if scene.codes is not None or scene.values is None or not scene.expected.decodes:
        return []
    if zero_sign.alone(scene):
        return []
    if scene.signed:  # with the signs of zeros if one cause explains them too, else without: they are told apart
        found = _without_codes(replace(scene, signed=False))
        whole = _by_values(scene)
        return whole if whole and whole[0].cause != "unknown" else found
    return _by_values(scene)


def _by_values(scene: Scene) -> list[Finding]:
    from fp4sim.verifying.explain.hypothesis import Hypothesis, differs

    right = Hypothesis("", "", lambda e: e.follow)
    wrong = differs("codes", right, scene.evidence)
    count = int(np.count_nonzero(wrong))
    if not count:
        return []
    bad = wrong.any(axis=1)
    for part, sources in (("codes", CODE_SOURCES), ("scales", SCALE_SOURCES)):
        if part == "scales" and (scene.scales is not None or scene.expected.spec.scale is None):
            continue
        verdict = best(part, scene.evidence, bad, count, sources, scene.threads)  # type: ignore[arg-type]
        if verdict is not None:
            found = _finding("dequantized", verdict, scene)
            return [replace(found, part="dequantized")]
    if scene.scales is not None:
        return []  # left to the values, which go by the kernel's own scales
    otherwise = values.explain(scene, alone=True)
    if otherwise is not None and otherwise.cause != "unknown":
        return [otherwise]
    return [
        Finding("unknown", "dequantized", sentence_of("dequantized", 0, count, "no hypothesis explains them"), 0, count)
    ]


def _finding(part: str, verdict: Verdict, scene: Scene, told: str = "") -> Finding:
    hypothesis = verdict.hypothesis
    evidence = scene.evidence if part == "scales" else None
    sentence = sentence_of(part, verdict.explained, verdict.mismatches, hypothesis.sentence, evidence, told)
    if verdict.also:
        sentence += f"; this data does not tell it from {', '.join(verdict.also)}, which would leave the same bits"
    return Finding(hypothesis.cause, part, sentence, verdict.explained, verdict.mismatches, verdict.also)
