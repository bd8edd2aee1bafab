"""A kernel that did something else right: another axis, another bound, four-over-six. The whole output is compared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.errors import Fp4simError
from fp4sim.report.verify_model import Finding
from fp4sim.spec import Step
from fp4sim.verifying.explain import plausible
from fp4sim.verifying.explain.judge import MOST

if TYPE_CHECKING:
    from fp4sim.spec import Spec
    from fp4sim.verifying.expected import Expected
    from fp4sim.verifying.explain.scene import Scene

_LEAST_WRONG = 0.02  # of the items: below, the kernel does the right thing but for details


def whole(scene: Scene) -> Finding | None:
    """The finding that the kernel computed another spec, or the same along another axis, exactly or nearly."""
    codes, scales = scene.codes, scene.scales
    wrong = int(np.count_nonzero(scene.bad_codes)) + int(np.count_nonzero(scene.bad_scales))
    total = (0 if codes is None else codes.size) + (0 if scales is None else scales.size)
    if codes is None or wrong < _LEAST_WRONG * total:
        return None
    best: tuple[int, str, str] | None = None
    for cause, sentence, spec, axis in _variants(scene):
        try:
            other = scene.requantize(spec, None, axis)
        except Fp4simError:
            continue
        left = _left(scene, other)
        if left <= (1 - MOST) * wrong and (best is None or left < best[0]):
            best = (left, cause, sentence)
    if best is None:
        return None
    head = f"{wrong - best[0]:,} of {wrong:,} mismatching codes and scales"
    return Finding(best[1], "codes", f"{head}: {best[2]}", wrong - best[0], wrong)


def _variants(scene: Scene) -> Iterator[tuple[str, str, Spec, int | None]]:
    spec, geometry = scene.expected.spec, scene.expected.geometry
    if spec.tensor_scale.mode == "given":
        return
    for axis in range(len(geometry.shape)):
        if axis != geometry.axis and plausible.axis(scene, axis):
            sentence = f"blocks run along axis {axis}, not along axis {geometry.axis}"
            yield "layout.axis", sentence, spec, axis
    own = spec.scale
    if own is None or not own.has_zero or own.bits > 8 or not scene.expected.plain:
        return
    of_te = not spec.steps and spec.dialect == "te" and spec.element.name == "e2m1" and spec.block.kind == "tile"
    if of_te and plausible.four_over_six(scene):
        chosen = replace(spec, steps=(Step("4over6"),))
        yield "scale.four_over_six", "block scales are chosen by four-over-six", chosen, None
    if spec.tensor_scale.mode == "tensor" and spec.block.rows == 1 and plausible.tensor_scale_by_row(scene):
        by_row = replace(spec, tensor_scale=replace(spec.tensor_scale, mode="row"))
        yield "tensor_scale.row", "each row has a tensor scale of its own", by_row, None


def _left(scene: Scene, other: Expected) -> int:
    """Mismatches with another quantization, flat: with the axis last or in the layout of x, whichever the kernel wrote."""
    assert scene.codes is not None
    axis, left = other.geometry.axis, 0
    pairs = [(scene.codes, (np.moveaxis(other.packed.codes, axis, -1), other.packed.codes))]
    if scene.scales is not None:
        scales = other.packed.block_scale
        turned = np.moveaxis(scales, -1, axis) if scales.ndim == len(other.geometry.shape) else scales
        pairs.append((scene.scales, (scales, turned)))
    for found, arranged in pairs:
        if arranged[0].size != found.size:
            return scene.codes.size
        left += min(int(np.count_nonzero(one.reshape(-1) != found.reshape(-1))) for one in arranged)
    return left
