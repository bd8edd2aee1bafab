"""Whether a kernel may have computed another spec: asked of the block scales alone, before the whole is computed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.verifying import arithmetic
from fp4sim.verifying.blocks import to_matrix

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.verifying.explain.scene import Scene

_ENOUGH = 0.8  # of the scales
_LARGE = 1 << 20  # elements: what is smaller is computed without asking


def axis(scene: Scene, along: int) -> bool:
    """Whether the scales may be those of blocks along another axis; asked of large matrices."""
    geometry, found = scene.expected.geometry, scene.scales
    width = geometry.block.cols
    asked = found is not None and len(geometry.shape) == 2 and geometry.axis == 1 and geometry.block.rows == 1
    if not asked or not _is_large(scene) or geometry.shape[along] % width or scene.expected.group.size != 1:
        return True
    assert found is not None
    x = np.abs(to_matrix(scene.expected.x, geometry))
    amax = x.reshape(-1, width, geometry.length).max(axis=1)  # (blocks of rows, columns), as turned back
    if amax.size != found.size:
        return False
    scales = arithmetic.scales_of(scene.expected.spec, amax.reshape(-1), scene.expected.factors).codes
    turned = scales.reshape(amax.shape)
    return _agree(turned, found) or _agree(turned.T, found)


def tensor_scale_by_row(scene: Scene) -> bool:
    """Whether the scales may be those of one tensor scale a row."""
    expected, found = scene.expected, scene.scales
    if found is None or not _is_large(scene):
        return True
    amax = expected.amax.reshape(-1, scene.evidence.across)
    group = amax.max(axis=1).repeat(amax.shape[1])
    factors = arithmetic.factors_of(expected.spec, group, None)
    return _agree(arithmetic.scales_of(expected.spec, expected.amax, factors).codes, found)


def four_over_six(scene: Scene) -> bool:
    """Whether each scale may be one of the two that four-over-six chooses from."""
    expected, found = scene.expected, scene.scales
    if found is None or not _is_large(scene):
        return True
    spec = replace(expected.spec, tensor_scale=replace(expected.spec.tensor_scale, bound=256.0))
    factors = arithmetic.factors_of(spec, expected.group, None)
    six = arithmetic.scales_of(spec, expected.amax, factors).codes
    four = arithmetic.scales_of(spec, expected.amax * np.float32(1.5), factors).codes
    flat = found.reshape(-1)
    return bool(np.count_nonzero((flat == six) | (flat == four)) >= _ENOUGH * flat.size)


def _is_large(scene: Scene) -> bool:
    return scene.expected.x.size >= _LARGE


def _agree(predicted: NDArray[np.unsignedinteger], found: NDArray[np.unsignedinteger]) -> bool:
    return bool(np.count_nonzero(predicted.reshape(-1) == found.reshape(-1)) >= _ENOUGH * found.size)
