"""The figures that a result can feed, as SVG inside its page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fp4sim.report.cells import tensor_name
from fp4sim.report.html.document import Picture

if TYPE_CHECKING:
    from fp4sim.report.model import CompareResult
    from fp4sim.report.result import Result

_NAME_LIMIT = 60


def pictures_of(result: Result) -> tuple[Picture, ...]:
    """Every figure that is made for this kind of result."""
    return _drawn(result)


def block_pictures(result: CompareResult) -> tuple[Picture, ...]:
    """The figures of the tensors that were measured by block; none without."""
    from fp4sim.report.blocks_model import BlocksResult

    if not result.blocks:
        return ()
    measured = len(result.blocks[0].results)
    formats = result.formats[:measured]
    blocks = BlocksResult(formats, result.blocks, (), result.sources, result.settings)
    chosen = any(one.fours is not None for tensor in result.blocks for one in tensor.results)
    names = " and ".join(tensor_name(blocks.label(tensor), _NAME_LIMIT) for tensor in result.blocks)
    said = f" Here: {names}, lowest in SNR under {formats[0].short}"
    said += f"; the first {measured} formats." if measured < len(result.formats) else "."
    return _drawn(blocks, said, () if chosen else ("fours",))


def _drawn(result: Any, said: str = "", without: tuple[str, ...] = ()) -> tuple[Picture, ...]:
    from fp4sim.report.figures.registry import kinds_for, svg

    return tuple(
        Picture(kind.title, svg(kind.build(result), f"figure-{kind.name}", kind.title), kind.caption + said)
        for kind in kinds_for(result)
        if kind.name not in without
    )
