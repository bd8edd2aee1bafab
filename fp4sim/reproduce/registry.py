"""The tables by name: a module of :mod:`fp4sim.reproduce.tables` each, imported when asked for."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, cast

from fp4sim.errors import UsageError
from fp4sim.io.files import shown

if TYPE_CHECKING:
    from fp4sim.reproduce.model import Table

ALL = "all"


@dataclass(frozen=True)
class Entry:
    """A table's name, its module and what it holds in a line."""

    name: str
    module: str
    summary: str


ENTRIES = (
    Entry("quartet", "quartet", "Quartet (2505.14669) Table 2: MSE and misalignment of rounding schemes in MXFP4"),
    Entry("quartet2", "quartet2", "Quartet II (2601.22813) Table 1, notebook rows, bits of averaged products"),
    Entry(
        "quartet2-concentration",
        "concentration",
        "is it unbiased? verdicts on dense, sparse, wide and two-element inputs",
    ),
    Entry("measured", "measured", "independent implementations' figures of 100 quantizers on N(0, 1)"),
    Entry(
        "microsoft", "microsoft", "FP4 training (2501.17116) Table 1: the shape of outlier clamping and compensation"
    ),
    Entry("scale-formats", "scale_formats", "FP4 All the Way (2505.19115) Fig. 1: the order of scale encodings"),
    Entry("constants", "constants", "Gaussian optima, DGE's derivatives, ratios of noisy quadratic steps"),
    Entry("not-reproduced", "not_reproduced", "what these papers publish beyond, and why it is not here"),
)
NAMES = tuple(entry.name for entry in ENTRIES)


def entries(name: str) -> tuple[Entry, ...]:
    """The entries that a name stands for. Raises UsageError listing what there is."""
    if name == ALL:
        return ENTRIES
    for entry in ENTRIES:
        if entry.name == name:
            return (entry,)
    raise UsageError(f"no table '{shown(name, 40)}'; there are {', '.join(NAMES)}, and {ALL}")


def load(entry: Entry) -> Table:
    """An entry's rows."""
    return cast("Table", import_module(f"fp4sim.reproduce.tables.{entry.module}").TABLE)
