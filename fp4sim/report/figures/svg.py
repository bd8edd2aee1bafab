"""A figure as SVG inside an HTML page: small, the same bytes every time, in the page's own colours."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from fp4sim.report.figures.style import COLOURS, GUIDE, INK, figure_style, quiet_glyphs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# For a dark page: it sets these variables, --fp4-0 … --fp4-6. Text and axes take the colour of the text around.
DARK_COLOURS = ("#2F8CE0", "#F0701F", "#17A884", "#D98CC0", "#FFCF52", "#A6E3FF", "#FFFFFF")
DARK_VARIABLES = "".join(f"--fp4-{i}:{value};" for i, value in enumerate(DARK_COLOURS))

_SVG = "{http://www.w3.org/2000/svg}"
_HREF = "{http://www.w3.org/1999/xlink}href"
_LONG = re.compile(r"-?\d+\.\d{3,}")
_FONT = re.compile(r"([0-9.]+px) ")
_SERIES = {value.lower(): i for i, value in enumerate(COLOURS)}
_LINK = re.compile(r"url\(#([^)]+)\)")
_JOINS = {"stroke-linejoin": "round", "stroke-linecap": "butt"}  # matplotlib sets these for the whole page
_NUMERIC = ("d", "transform", "x", "y", "width", "height", "points")


def svg(figure: Figure, name: str = "figure", label: str = "") -> str:
    """One ``<svg>`` element that fills the width it is given.

    ``name``: sets the ids of this figure apart from those of others on the page (letters, digits and dashes).
    ``label``: what a screen reader says. Series are ``var(--fp4-N, …)``, text and axes ``currentColor``, the background is
    transparent; text stays text. No styles, scripts or links leave the figure.
    """
    import matplotlib as mpl

    file = io.BytesIO()
    with figure_style(), quiet_glyphs(), mpl.rc_context({"svg.fonttype": "none"}):
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    drawn = ElementTree.fromstring(file.getvalue())
    view = drawn.attrib["viewBox"]
    root = ElementTree.Element(
        "svg",
        {
            "class": "fp4-figure",
            "xmlns": "http://www.w3.org/2000/svg",
            "viewBox": view,
            "role": "img",
            "aria-label": label or name,
            "width": "100%",
            **_JOINS,
        },
    )
    linked = {link for element in drawn.iter() for link in _links(element)}
    root.extend(part for child in drawn for part in _simpler(child, name, linked))
    return ElementTree.tostring(root, encoding="unicode")


def _simpler(element: ElementTree.Element, name: str, linked: set[str]) -> list[ElementTree.Element]:
    """An element as it goes into a page; of a group that says nothing its children, of a style sheet nothing."""
    tag = element.tag.removeprefix(_SVG)
    if tag in ("metadata", "title", "style"):
        return []
    inner = [part for child in element for part in _simpler(child, name, linked)]
    attributes = dict(_attributes(element, name, linked))
    if tag in ("g", "defs") and not inner:
        return []
    if tag == "g" and not attributes:
        return inner
    made = ElementTree.Element(tag, attributes)
    made.text = element.text if tag in ("text", "tspan") else None
    made.extend(inner)
    return [made]


def _links(element: ElementTree.Element) -> list[str]:
    """The ids that an element refers to."""
    found = _LINK.findall(" ".join(value for key, value in element.attrib.items() if key != "id"))
    target = element.attrib.get(_HREF, "")
    return [*found, target[1:]] if target.startswith("#") else found


def _attributes(element: ElementTree.Element, name: str, linked: set[str]) -> list[tuple[str, str]]:
    """Attributes with ids of this figure's own (those that nothing refers to go), short numbers and the page's colours."""
    found = []
    for key, value in element.attrib.items():
        if key == "id":
            if value in linked:
                found.append((key, f"{name}-{value}"))
        elif key == _HREF:  # of a mark, or the pixels of a map
            found.append(("href", f"#{name}-{value[1:]}" if value.startswith("#") else value))
        elif key in _NUMERIC:
            found.append((key, _LONG.sub(lambda number: _short(number[0]), " ".join(value.split()))))
        elif key == "style":
            found += _declared(value)
        else:
            found.append((key, _LINK.sub(rf"url(#{name}-\1)", value)))
    return found


def _declared(style: str) -> list[tuple[str, str]]:
    """A style as attributes of its own: a page may forbid styles in its elements. Colours and font are the page's."""
    pairs = [part.partition(":") for part in style.split(";") if ":" in part]
    declared = {name.strip(): value.strip() for name, _, value in pairs}
    font = _FONT.match(declared.pop("font", ""))
    if font:
        declared["font-size"] = font[1]
    return [(name, _coloured(value)) for name, value in declared.items() if name != "font-family"]


def _coloured(value: str) -> str:
    """A colour as the page sets it, or what is no colour of a series, text or guide."""
    if value in _SERIES:
        return f"var(--fp4-{_SERIES[value]}, {value})"
    return {INK: "currentColor", GUIDE: f"var(--fp4-guide, {GUIDE})"}.get(value, value)


def _short(number: str) -> str:
    return f"{float(number):.2f}".rstrip("0").rstrip(".")
