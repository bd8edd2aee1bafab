"""Four-over-six: each block's amax is mapped to 6 or to 4, whichever leaves less error (arXiv 2512.02010).

The arithmetic is Transformer Engine's exact mode (d0067d0): base = fl(fl(a / v) S_enc), s6 = cast(min(base, max)),
s4 = cast(min(fl(1.5 base), max)), each block encoded both ways, errors as in :mod:`fp4sim.kernels.reference.choose`, ties
to 6. Under stochastic rounding both encodings are rounded, from bits of their own, before they are compared.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.dialects.base import SCALE_ROUNDING
from fp4sim.dialects.target import target_of
from fp4sim.errors import UsageError
from fp4sim.estimators.base import Encoded, Info
from fp4sim.kernels.reference.encode import decode

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.geometry import Cell
    from fp4sim.quantizer import Quantizer
    from fp4sim.spec import Spec

METRICS = ("mae", "absmax")  # mse is what the bare name means


class FourOverSix:
    """The choice between two scales."""

    info = Info(
        "4over6",
        "Four over six",
        "biased",
        "Each block is encoded with its amax at 6 and at 4; the encoding with the smaller squared (:mae absolute,"
        " :absmax largest) error is kept, ties to 6. The tensor scale's bound is 256, so that 1.5 times a scale fits.",
        "arXiv 2512.02010; Transformer Engine d0067d0, NVFP4 4over6, exact mode",
        "nvfp4+4over6",
    )

    def encode(self, quantizer: Quantizer, cell: Cell, panel: NDArray[np.float32]) -> Encoded:
        """Both encodings, and the better one of each block."""
        spec, scale, target = quantizer.spec, quantizer.spec.scale, target_of(quantizer.spec)
        assert scale is not None
        amax = quantizer.block_amax(cell, panel)
        factors = quantizer.factors(cell, amax)
        rounding = SCALE_ROUNDING[spec.rule or "rn"]
        with np.errstate(all="ignore"):
            base = np.asarray(amax / np.float32(target.element_max) * factors.encode, np.float32)
        both = []
        for ratio in (np.float32(1), np.float32(1.5)):
            multiplier = np.full_like(factors.decode, ratio)
            codes, factor = quantizer.kernels.te_scales(base, multiplier, factors.decode, scale, rounding)
            value = decode(codes, scale).astype(np.float32)
            both.append((codes, value, quantizer.scales_of(codes, factor, amax, factors)))
        other = replace(quantizer, stream=quantizer.stream.aside("second encoding"))
        encodings = quantizer.encode(cell, panel, both[0][2]), other.encode(cell, panel, both[1][2])
        group = self._group(quantizer, cell, amax)
        tile, metric = quantizer.geometry.tile(cell), metric_of(spec)
        kernels = quantizer.kernels_for(both[0][2])
        codes, fours = kernels.choose(panel, encodings, (both[0][1], both[1][1]), group, tile, spec.element, metric)
        scale_codes = np.where(fours, both[1][0], both[0][0])
        factor = np.where(fours, both[1][2].factor, both[0][2].factor)
        return Encoded(codes, quantizer.scales_of(scale_codes, factor, amax, factors), extra={"fours": fours})

    @staticmethod
    def _group(quantizer: Quantizer, cell: Cell, amax: NDArray[np.float32]) -> tuple[NDArray[np.float32], np.float32]:
        """What turns q s into x's domain: times the group's amax, over what that is mapped to."""
        if quantizer.spec.tensor_scale.mode in ("none", "given"):
            return np.asarray(quantizer.factors(cell, amax).stored, np.float32), np.float32(1)
        return np.asarray(quantizer.group_amax(cell, amax), np.float32), target_of(quantizer.spec).reach


def metric_of(spec: Spec) -> str:
    """The error that is compared: mse, mae or absmax."""
    return next((name for name in METRICS if spec.step("4over6").get(name, False)), "mse")


def check(spec: Spec) -> None:
    """Raise UsageError where 1.5 times a scale has no meaning."""
    if spec.scale is None or not spec.scale.has_zero or spec.block.kind != "tile":
        raise UsageError(f"{spec.short}: +4over6 chooses between float block scales, e.g. nvfp4+4over6")
    bound = float(spec.step("4over6").get("bound", 256))
    if bound > spec.scale.max:
        raise UsageError(f"{spec.short}: bound={bound:g} exceeds {spec.scale}'s maximum {spec.scale.max:g}")


ESTIMATOR = FourOverSix()
