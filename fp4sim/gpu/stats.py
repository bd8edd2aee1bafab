"""Error statistics of a tensor on the GPU by the kernel that reads it once, where it covers a format."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fp4sim.geometry import Cell
from fp4sim.gpu.panels import DevicePanels
from fp4sim.gpu.scale_table import has_table, scale_table
from fp4sim.kernels.cuda.tensor_stats import can_measure, tensor_stats
from fp4sim.stats.metrics import ScaleCounts, WholeErrors

if TYPE_CHECKING:
    from fp4sim.estimators.pipeline import Pipeline


def fused_statistics(pipeline: Pipeline) -> WholeErrors | None:
    """The errors of a tensor under a plain format; None where the general path must measure them."""
    matrix = pipeline.panels.untouched if isinstance(pipeline.panels, DevicePanels) else None
    if matrix is None:
        return None
    quantizer, geometry = pipeline.quantizer, pipeline.geometry
    statistic, scale, width = quantizer.statistic, pipeline.spec.scale, pipeline.spec.block.cols
    if not pipeline.is_plain or scale is None or statistic is None or not has_table(quantizer):
        return None
    finite = statistic.nonfinite == 0 and bool(np.isfinite(statistic.amax))
    if not finite or geometry.length % width or not can_measure(matrix, width):
        return None
    table = scale_table(quantizer)
    if table is None or not table.is_fine:
        return None
    found = tensor_stats(matrix, width, table)
    at = None
    if found.sums.worst_index >= 0:
        at = geometry.index_of(Cell(0, geometry.rows, 0, geometry.length), found.sums.worst_index)
    return WholeErrors(found.sums, ScaleCounts.of_histogram(found.scales, found.lost, scale), at)
