"""The figures that a result can feed, as SVG inside its page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fp4sim.report.html.document import Picture

if TYPE_CHECKING:
    from fp4sim.report.result import Result


def pictures_of(result: Result) -> tuple[Picture, ...]:
    """Every figure that is made for this kind of result."""
    from fp4sim.report.figures.registry import kinds_for, svg

    return tuple(
        Picture(kind.title, svg(kind.build(result), f"figure-{kind.name}", kind.title), kind.caption)
        for kind in kinds_for(result)
    )
