"""The figures that a result can feed, as SVG inside its page."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fp4sim.report.html.document import Picture

if TYPE_CHECKING:
    from fp4sim.report.result import Result

_STYLE = re.compile(r'\sstyle="([^"]*)"')
_LAYOUT = ("width", "max-width", "height")  # the page's style sheet says how wide figures are


def pictures_of(result: Result) -> tuple[Picture, ...]:
    """Every figure that is made for this kind of result."""
    from fp4sim.report.figures.registry import kinds_for, svg

    return tuple(
        Picture(kind.title, without_styles(svg(kind.build(result), f"figure-{kind.name}", kind.title)), kind.caption)
        for kind in kinds_for(result)
    )


def without_styles(svg: str) -> str:
    """SVG with attributes in place of style declarations, which the page's policy forbids."""
    return _STYLE.sub(lambda match: _attributes(match[1]), svg)


def _attributes(style: str) -> str:
    pairs = [part.partition(":") for part in style.split(";") if ":" in part]
    return "".join(f' {name.strip()}="{value.strip()}"' for name, _, value in pairs if name.strip() not in _LAYOUT)
