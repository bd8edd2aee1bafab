"""Stochastic codes in the wrong place: the layout under which each of them is a neighbour of its value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fp4sim.report.verify_model import Finding
from fp4sim.verifying import arithmetic
from fp4sim.verifying.blocks import to_blocks
from fp4sim.verifying.explain.judge import MOST
from fp4sim.verifying.explain.layout_codes import rearrangements
from fp4sim.verifying.explain.sentence import sentence_of

if TYPE_CHECKING:
    from fp4sim.verifying.explain.scene import Scene


def explain(scene: Scene, count: int) -> Finding:
    """Why ``count`` codes are no neighbours of their values: a layout, or unknown."""
    geometry, codes = scene.expected.geometry, scene.codes
    assert codes is not None
    width = geometry.block.cols if geometry.block.kind == "tile" else 0
    for choice in rearrangements(geometry.rows, geometry.length, width):
        moved = to_blocks(np.ascontiguousarray(choice.undo(codes)), geometry)
        left = int(np.count_nonzero(arithmetic.strangers(scene.expected.spec, scene.evidence.scaled, moved)))
        if left <= (1 - MOST) * count:
            sentence = sentence_of("codes", count - left, count, choice.sentence)
            return Finding(choice.cause, "codes", sentence, count - left, count)
    return Finding("unknown", "codes", sentence_of("codes", 0, count, "no neighbours of their values"), 0, count)
