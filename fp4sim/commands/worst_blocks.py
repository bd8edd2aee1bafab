"""Errors by block of the few tensors that lose most, so that a report can show where in them the error is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fp4sim.commands.blocks import block_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fp4sim.commands.compare import Settings
    from fp4sim.io.source import Source, Tensor
    from fp4sim.report.block_records import BlockErrors, TensorBlocks
    from fp4sim.report.model import CompareResult
    from fp4sim.spec import Spec

    Cells = tuple[tuple[float | None, ...], ...]

MOST_TENSORS = 2
MOST_FORMATS = 3
MOST_ELEMENTS = 2**26  # of a tensor: seconds, not minutes
_DIGITS = 4  # of a map's bins: figures show no more, and JSON stays small


def with_worst_blocks(
    result: CompareResult, sources: Sequence[tuple[Source, Sequence[Tensor]]], specs: Sequence[Spec], settings: Settings
) -> CompareResult:
    """The comparison with ``blocks``: of the 2 tensors with the lowest SNR under the first format, up to 3 formats.

    Tensors above 2^26 elements, without an error, or not finite are passed over. ``sources``, ``specs`` and ``settings`` are
    those of the comparison.
    """
    opened = {(source.label, tensor.info.name): (source, tensor) for source, tensors in sources for tensor in tensors}
    known = [
        (row.results[0].snr_db, (row.source, row.name))
        for row in result.tensors
        if row.results[0].snr_db is not None and row.elements <= MOST_ELEMENTS
    ]
    worst = [opened[key] for _, key in sorted(known, key=lambda pair: pair[0])[:MOST_TENSORS]]
    if not worst:
        return result
    measured = block_errors([(source, [tensor]) for source, tensor in worst], specs[:MOST_FORMATS], settings)
    return replace(result, blocks=tuple(_rounded(tensor) for tensor in measured.tensors))


def _rounded(tensor: TensorBlocks) -> TensorBlocks:
    def short(one: BlockErrors) -> BlockErrors:
        return replace(one, map=replace(one.map, relative=_few(one.map.relative), energy=_few(one.map.energy)))

    return replace(tensor, results=tuple(short(one) for one in tensor.results))


def _few(cells: Cells) -> Cells:
    return tuple(tuple(None if cell is None else float(f"{cell:.{_DIGITS}g}") for cell in row) for row in cells)
