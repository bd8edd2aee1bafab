"""What every figure shares: size, palette and how it is written. Matplotlib by its objects alone, without pyplot's state."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fp4sim.errors import UsageError
from fp4sim.io.writer import write_atomically

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg", ".pdf")

# Okabe and Ito's colours, told apart by colour-blind readers too; the marks repeat later than the colours.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "h")
GUIDE = "#888888"

# What a reader's own settings must not change; the salt makes the ids in an SVG the same every time.
_STYLE = {
    "svg.hashsalt": "fp4sim",
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "text.parse_math": False,
}
_METADATA: dict[str, dict[str, Any]] = {
    ".png": {"Software": "fp4sim"},
    ".svg": {"Date": None, "Creator": "fp4sim"},
    ".pdf": {"CreationDate": None, "ModDate": None, "Creator": "fp4sim", "Producer": "fp4sim"},
}


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


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write .png, .svg or .pdf by the suffix, whole or not at all, the same bytes every time. Raises UsageError."""
    from pathlib import Path

    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(f"cannot draw {suffix or 'a file without suffix'}: the suffix is one of {' '.join(SUFFIXES)}")
    with figure_style(), write_atomically(path, "wb") as file, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # names in any script: a box is drawn
        figure.savefig(file, format=suffix[1:], dpi=150, metadata=_METADATA[suffix])
