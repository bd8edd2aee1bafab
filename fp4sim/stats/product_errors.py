"""Sums over the error of a product, part by part: of all outputs, of rows, of columns, and of bins for a heat map.

Bands of rows are added one after the other, each from float64 arrays of its parts.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

BINS = 32


def edges(length: int) -> NDArray[np.int64]:
    """At most BINS + 1 edges of bins that differ in size by one at most."""
    return np.linspace(0, length, min(BINS, length) + 1).astype(np.int64)


class ProductErrors:
    """Sums over an (m, n) product X and the ``parts`` of its error.

    ``square``: Σe² of each part and of the ``"total"``; ``inner``: Σ of products of two parts' errors;
    ``rows``, ``cols``: Σe² by row and by column, ``"exact"`` those of x²; ``bins``: by bin; ``worst``: |e| and where.
    """

    def __init__(self, shape: tuple[int, int], parts: tuple[str, ...]) -> None:
        self.shape, self.parts = shape, parts
        names = (*parts, "total")
        self.row_edges, self.col_edges = edges(shape[0]), edges(shape[1])
        self.inner = dict.fromkeys(combinations(parts, 2), 0.0)
        self.rows = {name: np.zeros(shape[0]) for name in (*names, "exact")}
        self.cols = {name: np.zeros(shape[1]) for name in (*names, "exact")}
        self._fine = {name: np.zeros((shape[0], self.col_edges.size - 1)) for name in parts}
        self.worst = dict.fromkeys(names, (-1.0, (0, 0)))

    def add(self, start: int, exact: Floats, errors: Mapping[str, Floats]) -> None:
        """A band of rows from ``start``: X and each part's error; sums that a NaN is in are NaN."""
        rows = slice(start, start + exact.shape[0])
        total = sum((errors[name] for name in self.parts[1:]), errors[self.parts[0]])
        for name, values in ({name: errors[name] for name in self.parts} | {"total": total, "exact": exact}).items():
            square = values * values
            self.rows[name][rows] = square.sum(axis=1)
            self.cols[name] += square.sum(axis=0)
            if name in self._fine:
                self._fine[name][rows] = np.add.reduceat(square, self.col_edges[:-1], axis=1)
            if name != "exact":
                self._keep_worst(name, values, start)
        for left, right in self.inner:
            self.inner[left, right] += float((errors[left] * errors[right]).sum())

    def _keep_worst(self, name: str, values: Floats, start: int) -> None:
        place = int(np.abs(values).argmax())
        row, col = divmod(place, values.shape[1])
        found = abs(float(values[row, col]))
        if found > self.worst[name][0]:
            self.worst[name] = found, (start + row, col)

    def square(self, name: str) -> float:
        """Σe² of a part, of the total, or Σx² of ``"exact"``."""
        return float(self.rows[name].sum())

    def bins(self, name: str) -> Floats:
        """Mean e² by bin."""
        sums = np.add.reduceat(self._fine[name], self.row_edges[:-1], axis=0)
        return np.asarray(sums / np.outer(np.diff(self.row_edges), np.diff(self.col_edges)))
