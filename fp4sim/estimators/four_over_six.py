"""Four-over-six: each block's amax is mapped to 6 or to 4, whichever leaves less error (arXiv 2512.02010).

The scales of both candidates and the order in which errors are computed are the dialect's (``Dialect.two``). By default
Transformer Engine's (d0067d0): base = fl(fl(a / v) S_enc), s6 = cast(min(base, max)), s4 = cast(min(fl(1.5 base), max)),
errors as :mod:`fp4sim.kernels.reference.choose` states them under ``exact``, with ``:fast`` under ``scaled`` (there q s is
held in float16, which is exact). Each block is encoded both ways, ties go to 6. Under stochastic rounding both encodings
are rounded, from bits of their own, before they are compared.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.dialects.registry import dialect_named
from fp4sim.dialects.target import target_of
from fp4sim.errors import UsageError
from fp4sim.estimators.base import Encoded, Info
from fp4sim.kernels.interface import Criterion
from fp4sim.kernels.reference.encode import decode

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.dialects.base import TensorFactors
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
        "arXiv 2512.02010; Transformer Engine d0067d0, NVFP4 4over6, exact mode (:fast its fast one); as Quartet II and"
        " fouroversix compute it under their dialects",
        "nvfp4+4over6",
    )

    def encode(self, quantizer: Quantizer, cell: Cell, panel: NDArray[np.float32]) -> Encoded:
        """Both encodings, and the better one of each block."""
        spec, scale, dialect = quantizer.spec, quantizer.spec.scale, quantizer.arithmetic
        assert scale is not None
        assert dialect.two is not None
        amax = quantizer.block_amax(cell, panel)
        factors = quantizer.factors(cell, amax)
        both = []
        for found in dialect.two_scales(target_of(spec), amax, factors, quantizer.kernels):
            value = decode(found.codes, scale).astype(np.float32)
            both.append((found.codes, value, quantizer.scales_of(found.codes, found.factor, amax, factors)))
        other = replace(quantizer, stream=quantizer.stream.aside("second encoding"))
        encodings = quantizer.encode(cell, panel, both[0][2]), other.encode(cell, panel, both[1][2])
        criterion = Criterion(metric_of(spec), "scaled" if is_fast(spec) else dialect.two.order)
        group = self._group(quantizer, cell, amax, factors, criterion)
        tile = quantizer.geometry.tile(cell)
        kernels = quantizer.kernels_for(both[0][2])
        codes, fours = kernels.choose(panel, encodings, (both[0][1], both[1][1]), group, tile, spec.element, criterion)
        scale_codes = np.where(fours, both[1][0], both[0][0])
        factor = np.where(fours, both[1][2].factor, both[0][2].factor)
        return Encoded(codes, quantizer.scales_of(scale_codes, factor, amax, factors), extra={"fours": fours})

    @staticmethod
    def _group(
        quantizer: Quantizer, cell: Cell, amax: NDArray[np.float32], factors: TensorFactors, criterion: Criterion
    ) -> tuple[NDArray[np.float32], np.float32]:
        """What brings q s and x together; in the exact order the group's amax, over what that is mapped to."""
        if criterion.order != "exact":
            one = factors.encode if criterion.order == "scaled" else factors.decode
            return np.asarray(one, np.float32), np.float32(1)
        if quantizer.spec.tensor_scale.mode in ("none", "given"):
            return np.asarray(factors.stored, np.float32), np.float32(1)
        return np.asarray(quantizer.group_amax(cell, amax), np.float32), target_of(quantizer.spec).reach


def metric_of(spec: Spec) -> str:
    """The error that is compared: mse, mae or absmax."""
    return next((name for name in METRICS if spec.step("4over6").get(name, False)), "mse")


def is_fast(spec: Spec) -> bool:
    """Whether errors are compared in Transformer Engine's fast mode."""
    return bool(spec.step("4over6").get("fast", False))


def check(spec: Spec) -> None:
    """Raise UsageError where 1.5 times a scale has no meaning, or a library has no such choice."""
    if spec.scale is None or not spec.scale.has_zero or spec.block.kind != "tile":
        raise UsageError(f"{spec.short}: +4over6 chooses between float block scales, e.g. nvfp4+4over6")
    if dialect_named(spec.dialect, spec.dialect_flags).two is None:
        raise UsageError(f"{spec.short}: {spec.dialect} does not choose between scales: drop @{spec.dialect}")
    if is_fast(spec) and (spec.dialect != "te" or spec.scale.name != "e4m3"):
        raise UsageError(
            f"{spec.short}: :fast is Transformer Engine's fast mode over E4M3 scales, e.g. nvfp4+4over6:fast"
        )
    bound = float(spec.step("4over6").get("bound", 256))
    if bound > spec.scale.max:
        raise UsageError(f"{spec.short}: bound={bound:g} exceeds {spec.scale}'s maximum {spec.scale.max:g}")


ESTIMATOR = FourOverSix()
