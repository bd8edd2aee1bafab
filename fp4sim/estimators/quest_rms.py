"""QuEST under float scales, as the released PyTorch quantizers compute it: scales from the root mean square, not centred.

With fl one float32 operation, g = fl(mult · 2.92247856 / 6), y a block, sums as :mod:`fp4sim.kernels.reference.float_sums`:

* 8-bit scales (QuestNvfp4Quantizer): r = fl(fl(sqrt(fl(Σ fl(y²) / n))) g), t = fl(max r / F) with F = 256 (1 where that is 0),
  b = cast(fl(r / t)), 1 where that is 0, code = cast(fl(fl(y / b) / t)). No element is masked in the backward pass.
* rows under float32 scales (FP4ClipQuantizer): b = fl(fl(sqrt(...)) + 1e-8), the tensor's multiplier g, code = the nearest
  of the levels fl(q g) to fl(y / b) by float32 distance, the lesser on ties. Trusted is what does not exceed the largest level.

Both belong to ``@quartet2:torch``. The row's sum is an order of its own in the released vectors, which is not known: their
codes and values agree where their deviation's last bit does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fp4sim.dialects.target import target_of
from fp4sim.errors import UsageError
from fp4sim.estimators.base import Encoded
from fp4sim.estimators.quest import ESTIMATOR as POWERS
from fp4sim.estimators.quest import GAUSSIAN_OPTIMUM
from fp4sim.kernels.reference.encode import decode
from fp4sim.kernels.reference.float_sums import row_sums
from fp4sim.quantizer import CellScales
from fp4sim.rounding import Rounding

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.geometry import Cell, Geometry
    from fp4sim.quantizer import Quantizer
    from fp4sim.spec import Spec

ONE, EPSILON = np.float32(1), np.float32(1e-8)


class QuestRms:
    """The choice of float scales by root mean square."""

    info = POWERS.info

    def measure(self, quantizer: Quantizer, cell: Cell, panel: NDArray[np.float32]) -> np.float32:
        """The cell's largest wanted scale."""
        return np.float32(_wanted(quantizer.spec, panel, quantizer.geometry.tile(cell)[1]).max())

    def encode(self, quantizer: Quantizer, cell: Cell, panel: NDArray[np.float32]) -> Encoded:
        """Codes and scales."""
        if quantizer.spec.block.kind == "row":
            return _rows(quantizer, cell, panel)
        spec, tile = quantizer.spec, quantizer.geometry.tile(cell)
        assert spec.scale is not None
        assert quantizer.measured is not None
        with np.errstate(all="ignore"):
            t = np.float32(quantizer.measured / np.float32(target_of(spec).bound))
            t = ONE if t == 0 else t
            wanted = np.asarray(_wanted(spec, panel, tile[1]) / t, np.float32)
            one = quantizer.kernels.cast(np.ones(1, np.float32), spec.scale, Rounding.RN)
            codes = quantizer.kernels.cast(wanted, spec.scale, Rounding.RN)
            codes = np.where(codes == 0, one, codes)
            value = decode(codes, spec.scale).astype(np.float32)
            factor = np.full_like(value, t)
            scales = CellScales(
                codes, value * factor, quantizer.block_amax(cell, panel), np.asarray(t), spec.scale, (value, factor)
            )
        trusted = np.ones(panel.shape, np.bool_)
        return Encoded(quantizer.encode(cell, panel, scales), scales, extra={"trust": trusted})


def _wanted(spec: Spec, panel: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    return np.asarray(_root_mean_square(panel.reshape(panel.shape[0], -1, size), size) * _optimum(spec), np.float32)


def _root_mean_square(blocks: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    with np.errstate(all="ignore"):
        return np.asarray(np.sqrt(row_sums(blocks * blocks) / np.float32(count)), np.float32)


def _optimum(spec: Spec) -> np.float32:
    return np.float32(float(spec.step("quest").get("mult", 1.5)) * (GAUSSIAN_OPTIMUM / 6))


def _rows(quantizer: Quantizer, cell: Cell, panel: NDArray[np.float32]) -> Encoded:
    spec, g = quantizer.spec, _optimum(quantizer.spec)
    assert spec.scale is not None
    with np.errstate(all="ignore"):
        b = _root_mean_square(panel[:, : cell.cols], cell.cols)[:, None] + EPSILON
        z = panel / b
    values = decode(np.arange(1 << spec.element.magnitude_bits, dtype=np.uint8), spec.element)
    levels = (values * np.float64(g)).astype(np.float32)
    codes = np.zeros(panel.shape, np.uint8)
    least = np.abs(np.abs(z) - levels[0])
    for code, level in enumerate(levels[1:], 1):  # on ties the lesser of two values: the larger magnitude below zero
        distance = np.abs(np.abs(z) - level)
        better = np.where(z < 0, distance <= least, distance < least)
        codes, least = np.where(better, np.uint8(code), codes), np.where(better, distance, least)
    codes |= np.where(np.signbit(z), np.uint8(spec.element.sign_mask), np.uint8(0))
    amax, stored = quantizer.block_amax(cell, panel), np.asarray(g)
    scales = CellScales(np.ascontiguousarray(b).view(np.uint32), np.asarray(b * g), amax, stored, spec.scale)
    return Encoded(codes, scales, extra={"trust": np.abs(z) <= levels[-1]})


def check(spec: Spec) -> None:
    """Raise UsageError for what the released quantizers do not have."""
    eager = spec.dialect == "quartet2" and "torch" in spec.dialect_flags
    assert spec.scale is not None
    blocks = spec.scale.bits <= 8 and spec.block.kind == "tile" and spec.block.rows == 1
    rows = spec.scale.name == "fp32" and spec.block.kind == "row" and spec.tensor_scale.mode == "none"
    if not eager or not ((blocks and spec.tensor_scale.mode == "tensor" and spec.rule == "rn") or rows):
        raise UsageError(
            f"{spec.short}: +quest sets power-of-two scales of row blocks, e.g. mxfp4+quest, and those of"
            " nvfp4@quartet2:torch and e2m1/row@fp32@quartet2:torch"
        )
    if rows and (spec.element.bits > 4 or spec.rounding is not Rounding.RN):
        raise UsageError(f"{spec.short}: +quest rounds rows to the nearest level of 4-bit elements alone")


def check_fit(spec: Spec, geometry: Geometry) -> None:
    """Raise UsageError for rows that are not in one cell."""
    if spec.block.kind == "row" and any(cells[0].cols < geometry.length for cells in (geometry.cells, geometry.pieces)):
        raise UsageError(f"{spec.short}: rows of {geometry.length} elements are too long for +quest over rows")


ESTIMATOR = QuestRms()
