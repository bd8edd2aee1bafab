"""The figures that a result can feed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fp4sim.report.html.document import Picture
    from fp4sim.report.result import Result


def pictures_of(result: Result) -> tuple[Picture, ...]:
    """Every figure that is made for this kind of result and has something to show."""
    return ()
