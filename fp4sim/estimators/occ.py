"""OCC: outliers are clamped to quantiles before quantization, and kept in a sparse residual beside (arXiv 2501.17116 §3.2).

With the n values of the tensor (``:row``: of each row) sorted ascending in s, lower = s[int((1 − q) n)] and upper =
s[int(q n)], no interpolation (the released code). x_hat = Q(clamp(x)) + (x − clamp(x)); ``:nocomp`` leaves the residual out,
as the released linear layer does. The residual is float32.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.errors import UsageError
from fp4sim.estimators.base import Encoded, Info
from fp4sim.kernels.reference.blocks import expand
from fp4sim.kernels.reference.encode import decode

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.geometry import Cell
    from fp4sim.quantizer import Quantizer
    from fp4sim.spec import Spec

INFO = Info(
    "occ",
    "Outlier clamping and compensation",
    "as its parts",
    "Values outside the two-sided quantiles (1−q, q) of the tensor (:row of each row) are clamped, the rest is quantized,"
    " and the sparse difference is added back in high precision (:nocomp leaves it out).",
    "arXiv 2501.17116 §3.2; MS-AMP 9746ea8 (PR #203)",
    "e2m1/row@fp32+occ:0.99",
)


@dataclass(frozen=True)
class Clamp:
    """Bounds of a tensor's values: float32, shape () or (rows, 1); ``compensates``: the residual is added back."""

    lower: NDArray[np.float32]
    upper: NDArray[np.float32]
    compensates: bool

    def apply(self, cell: Cell, panel: NDArray[np.float32]) -> NDArray[np.float32]:
        """The clamped panel, a new array; what pads it stays zero."""
        lower, upper = self._of(cell, panel)
        clamped = np.clip(panel, lower, upper)
        clamped[cell.rows :] = 0
        clamped[:, cell.cols :] = 0
        return clamped

    def compensate(
        self,
        quantizer: Quantizer,
        cell: Cell,
        panel: NDArray[np.float32],
        encoded: Encoded,
        clamped: NDArray[np.float32],
    ) -> Encoded:
        """``values`` with the residual, which ``extra["residual"]`` holds."""
        if not self.compensates:
            return encoded
        residual = np.asarray(panel - clamped, np.float32)
        values = encoded.values
        if values is None:
            tile = quantizer.geometry.tile(cell)
            values = decode(encoded.codes, quantizer.spec.element) * expand(encoded.scales.decode, tile)
        return replace(encoded, values=values + residual, extra={**encoded.extra, "residual": residual})

    def _of(self, cell: Cell, panel: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        if self.lower.shape == ():
            return self.lower, self.upper
        rows = np.minimum(np.arange(cell.row0, cell.row0 + panel.shape[0]), self.lower.shape[0] - 1)
        return self.lower[rows], self.upper[rows]


def clamp_of(spec: Spec, matrix: NDArray[np.float32]) -> Clamp:
    """The bounds of a tensor's matrix (rows, length)."""
    step = spec.step("occ")
    q, by_row = float(step.get("q", 0.99)), bool(step.get("row", False))
    values = matrix if by_row else matrix.reshape(1, -1)
    count = values.shape[1]
    places = int((1 - q) * count), min(int(q * count), count - 1)
    ordered = np.partition(values, sorted(set(places)), axis=1)
    lower, upper = (np.ascontiguousarray(ordered[:, [place]]) for place in places)
    comp = not step.get("nocomp", False)
    return Clamp(lower, upper, comp) if by_row else Clamp(lower[0, 0:1].reshape(()), upper[0, 0:1].reshape(()), comp)


def check(spec: Spec) -> None:
    """Raise UsageError for quantiles of rows that have lost their meaning."""
    if spec.step("occ").get("row", False) and spec.block.kind == "tile" and spec.block.rows > 1:
        raise UsageError(f"{spec.short}: +occ:row bounds rows apart, /{spec.block} blocks span rows")
