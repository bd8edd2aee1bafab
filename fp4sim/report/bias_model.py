"""The result of ``fp4sim bias``: how an estimator's draws scatter and where their mean lies. It stands on nothing else.

All figures are relative to the tensor: errors over |x|, squared errors over |x|². Undefined numbers are None, with the
reason under ``undefined`` by field name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from fp4sim.report.model import UNNAMED, FormatInfo, Skipped
from fp4sim.report.result import Result

BIAS_SCHEMA = "fp4sim.bias/1"
ZONES = ("normal", "subnormal", "zero")


@dataclass(frozen=True)
class Range:
    """An estimate with its 95 % interval; the ends are None where there are too few batches."""

    estimate: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class CurvePoint:
    """||mean of N draws − x||² / ||x||², averaged over ``groups`` disjoint groups of N."""

    draws: int
    error: float
    standard_error: float | None
    groups: int


@dataclass(frozen=True)
class RoundingCheck:
    """Does stochastic rounding go up as often as the exact position of an element between two codes says? Chi-square.

    ``bits``: random bits by the spec. ``elements`` were tested over all draws. ``p_value``: None where there was nothing to
    test, a ``reason`` then, and where a certain outcome was missed (0). ``compatible_bits``: numbers of random bits that
    the counts do not rule out, of 1 to 16 and 32.
    """

    bits: int
    elements: int
    statistic: float | None
    degrees: int
    p_value: float | None
    compatible_bits: tuple[int, ...]
    reason: str | None = None


@dataclass(frozen=True)
class ZoneBias:
    """The bias within the elements whose block scale is normal, subnormal or zero, relative to the zone's own norm."""

    zone: str
    element_share: float
    energy_share: float
    relative_bias: Range | None
    alignment: Range | None
    verdict: str
    sentence: str


@dataclass(frozen=True)
class Bias:
    """One tensor (or gradient) under one estimator (or recipe).

    ``relative_bias``: ||E x_hat − x|| / ||x||, ``bias2`` its square, unbiased (corrected for the variance of the mean).
    ``variance``: E||x_hat − E x_hat||² / ||x||² of one draw. ``mse``: their sum. ``alignment``: <E x_hat, x> / <x, x>.
    ``misalignment``: 1 − mean over groups of <x, x_hat> / <x, x>, Quartet's 1 − E[1/S]. ``cosine``: of a draw with x, by
    alignment and mse. ``floor`` and ``slope``: the fit floor + slope/N to ``curve``. ``draws_needed``: for a verdict.
    ``rounding``: of ``+sr`` where the position of an element between two codes does not change from draw to draw.
    """

    draws: int
    batches: int
    bias2: Range | None
    relative_bias: Range | None
    variance: Range | None
    mse: Range | None
    alignment: Range | None
    misalignment: Range | None
    cosine: float | None
    verdict: str
    sentence: str
    draws_needed: int | None
    curve: tuple[CurvePoint, ...]
    floor: float | None
    slope: float | None
    zones: tuple[ZoneBias, ...] = ()
    rounding: RoundingCheck | None = None
    undefined: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TensorBias:
    """One tensor under every estimator, in the order of ``BiasResult.estimators``."""

    name: str
    source: str
    shape: tuple[int, ...]
    dtype: str
    elements: int
    measured_elements: int
    results: tuple[Bias, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class BiasResult(Result):
    """What ``bias`` found. ``to_dict`` is its JSON."""

    estimators: tuple[FormatInfo, ...]
    tensors: tuple[TensorBias, ...]
    skipped: tuple[Skipped, ...]
    sources: tuple[str, ...]
    settings: dict[str, Any]
    schema: ClassVar[str] = BIAS_SCHEMA

    def label(self, tensor: TensorBias) -> str:
        """The name to show: with its source where another tensor has the same name."""
        twins = sum(other.name == tensor.name for other in self.tensors) if len(self.sources) > 1 else 1
        name = tensor.name or UNNAMED
        return name if twins == 1 else f"{tensor.source}: {name}"

    def _repr_html_(self) -> str:
        from fp4sim.report.bias_html import bias_table

        return bias_table(self)

    def __str__(self) -> str:
        from fp4sim.report.bias_markdown import bias_markdown

        return bias_markdown(self)
