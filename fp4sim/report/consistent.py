"""What the types of a result's fields do not say: lists that go together are equally long. Renderers rely on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fp4sim.errors import UnreadableError
from fp4sim.report.bias_model import BiasResult
from fp4sim.report.model import CompareResult

if TYPE_CHECKING:
    from collections.abc import Sequence


def check_consistent(result: Any) -> None:
    """Raises UnreadableError naming the list of a comparison or bias report that does not go with the others."""
    if isinstance(result, CompareResult):
        _of_length("totals", result.totals, len(result.formats))
        _check_rows("tensors", result.tensors, len(result.formats))
        _check_blocks(result)
    elif isinstance(result, BiasResult):
        _check_rows("tensors", result.tensors, len(result.estimators))


def _check_blocks(result: CompareResult) -> None:
    if not result.blocks:
        return
    measured = max(1, min(len(result.blocks[0].results), len(result.formats)))
    _check_rows("blocks", result.blocks, measured)
    for i, tensor in enumerate(result.blocks):
        for k, one in enumerate(tensor.results):
            for cells in (one.map.relative, one.map.energy):
                if not cells or len({len(row) for row in cells}) > 1:
                    raise UnreadableError(f"blocks[{i}].results[{k}].map is no rectangle; the file is damaged")


def _check_rows(name: str, rows: Sequence[Any], length: int) -> None:
    for i, row in enumerate(rows):
        _of_length(f"{name}[{i}].results", row.results, length)


def _of_length(where: str, found: Sequence[Any], length: int) -> None:
    if len(found) != length:
        raise UnreadableError(f"{where} has {len(found)} entries where {length} belong; the file is damaged")
