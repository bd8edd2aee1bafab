"""What every figure shares: size, palette, caption and file. Matplotlib by its objects alone, without pyplot's state."""

from __future__ import annotations

import math
import warnings
from contextlib import contextmanager
from textwrap import fill
from typing import TYPE_CHECKING, Any

from fp4sim.errors import UsageError
from fp4sim.io.files import shown
from fp4sim.io.writer import write_atomically

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg", ".pdf")
WIDTH = 4.8  # inches: 9 points stay readable when a telephone shows it 360 pixels wide

# Okabe and Ito's colours, told apart by colour-blind readers too; the marks repeat later than the colours.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "h")
DASHES = ("-", "--", "-.", ":")
INK = "#101214"  # text and axes; no series has it, so that a page can replace it by its own
GUIDE = "#888888"
ZONE = "#D55E00"  # what is lost: shaded, and named

_COLUMNS = 2
_CHARACTERS = 17  # of small text, an inch
_LINE = 0.155  # inches of a line of it
_SMALL = 8.0

# What a reader's own settings must not change; the salt makes the ids in an SVG the same every time.
_STYLE: dict[str, Any] = {
    "svg.hashsalt": "fp4sim",
    "font.size": 9.0,
    "font.family": ["sans-serif"],
    "axes.titlesize": 9.0,
    "axes.labelsize": 9.0,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "legend.fontsize": 8.0,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.25,
    "grid.color": GUIDE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "text.parse_math": False,
    "axes.formatter.use_mathtext": False,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
}
_METADATA: dict[str, dict[str, Any]] = {
    ".png": {"Software": "fp4sim"},
    ".svg": {"Date": None, "Creator": "fp4sim"},
    ".pdf": {"CreationDate": None, "ModDate": None, "Creator": "fp4sim", "Producer": "fp4sim"},
}
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@contextmanager
def figure_style() -> Iterator[None]:
    """Matplotlib's defaults with fp4sim's changes, whatever the reader's own settings are."""
    import matplotlib.style

    with matplotlib.style.context(["default", _STYLE]):
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, inches; to be drawn and saved within :func:`figure_style`."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def colour(index: int) -> str:
    """The colour of a series."""
    return COLOURS[index % len(COLOURS)]


def mark(index: int) -> str:
    """The mark of a series."""
    return MARKS[index % len(MARKS)]


def dash(index: int) -> str:
    """The dashes of a line: those of one colour differ, and neighbours too."""
    return DASHES[(index % len(COLOURS) + index // len(COLOURS)) % len(DASHES)]


def panels(count: int, *, height: float = 1.5, **shared: Any) -> tuple[Figure, list[Axes]]:
    """A figure of ``count`` axes, two in a row, and the axes. ``height``: of a row, inches."""
    across = min(_COLUMNS, count)
    rows = -(-count // across)
    height = 2.9 if count == 1 else height
    figure = new_figure(WIDTH, height * rows + 0.4)
    grid = list(figure.subplots(rows, across, squeeze=False, **shared).flat)
    for axes in grid[count:]:
        axes.set_visible(False)
    return figure, grid[:count]


def name_axes(grid: Sequence[Axes], x: str, y: str) -> None:
    """Name the axes of :func:`panels`: x below the last of each column, y at the left."""
    for i, axes in enumerate(grid):
        if i + _COLUMNS >= len(grid):
            axes.set_xlabel(x)
            axes.tick_params(labelbottom=True)
        if i % _COLUMNS == 0:
            axes.set_ylabel(y)


def legend(figure: Figure, handles: Sequence[Any], labels: Sequence[str]) -> None:
    """A legend above the axes, in as many columns as its longest entry leaves room for."""
    if not labels:
        return
    width = figure.get_size_inches()[0]
    columns = max(1, min(len(labels), int(width / (0.45 + 0.063 * max(map(len, labels))))))
    rows = -(-len(labels) // columns)
    figure.set_size_inches(width, figure.get_size_inches()[1] + _LINE * rows)
    figure.legend(list(handles), list(labels), loc="outside upper center", ncols=columns, columnspacing=1.2)


def message(text: str) -> Figure:
    """A small figure that says why there is no picture; within :func:`figure_style`."""
    figure = new_figure(WIDTH, 1.2)
    axes = figure.subplots()
    axes.set_axis_off()
    axes.text(0.5, 0.5, fill(text, 56), ha="center", va="center", transform=axes.transAxes)
    return figure


def add_note(figure: Figure, text: str) -> None:
    """Add a sentence below the axes, after what is there."""
    _write_below(figure, f"{_below(figure)} {text}")


def add_caption(figure: Figure, caption: str) -> None:
    """Write the caption below the axes, before any note, for a figure that stands alone."""
    _write_below(figure, f"{caption} {_below(figure)}")


def _below(figure: Figure) -> str:
    return " ".join(figure.get_supxlabel().split())


def _write_below(figure: Figure, text: str) -> None:
    """Put a text below the axes, in place of what is there; the figure grows by its lines."""
    width, height = figure.get_size_inches()
    before = figure.get_supxlabel()
    wrapped = fill(text.strip(), int(_CHARACTERS * width))
    with figure_style():
        figure.supxlabel(wrapped, fontsize=_SMALL, x=0.01, ha="left", color=INK)
    lines = wrapped.count("\n") - before.count("\n") + (not before)
    figure.set_size_inches(width, height + _LINE * lines)


def log_axis(axes: Axes) -> None:
    """Make y logarithmic, with plain numbers at its ticks; more of them where it spans less."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    if not math.isfinite(axes.yaxis.get_minpos()):
        return  # nothing above zero is drawn
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    steps = (1.0, 2.0, 5.0) if high < 100 * low else (1.0,)
    narrow = high < 4 * low
    axes.yaxis.set_major_locator(MaxNLocator(5) if narrow else LogLocator(base=10, subs=steps, numticks=8))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def power(value: float) -> str:
    """A power of ten without mathematical markup, which names must not have either."""
    if not value > 0:
        return ""
    exponent = math.log10(value)
    return "10" + str(round(exponent)).translate(_SUPERSCRIPTS) if abs(exponent - round(exponent)) < 1e-6 else ""


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write .png, .svg or .pdf by the suffix, whole or not at all, the same bytes every time. Raises UsageError."""
    from pathlib import Path

    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        what = shown(suffix, 40) or "a file without suffix"
        raise UsageError(f"cannot draw {what}: the suffix is one of {' '.join(SUFFIXES)}")
    with figure_style(), quiet_glyphs(), write_atomically(path, "wb") as file:
        figure.savefig(file, format=suffix[1:], dpi=150, metadata=_METADATA[suffix])


@contextmanager
def quiet_glyphs() -> Iterator[None]:
    """No warning for characters that the font lacks: names come in any script, and a box is drawn."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support")
        yield
