"""The result of ``fp4sim bias``: how an estimator's draws scatter and where their mean lies. It stands on nothing else.

All figures are relative to the tensor: errors over |x|, squared errors over |x|². Undefined numbers are None, with the
reason under ``undefined`` by field name.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from fp4sim.report.model import FormatInfo, Skipped

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
class BiasResult:
    """What ``bias`` found. ``to_dict`` is its JSON."""

    estimators: tuple[FormatInfo, ...]
    tensors: tuple[TensorBias, ...]
    skipped: tuple[Skipped, ...]
    sources: tuple[str, ...]
    settings: dict[str, Any]
    version: str
    bits_version: int
    schema: str = BIAS_SCHEMA

    def to_dict(self) -> dict[str, Any]:
        """Strict-JSON data."""
        return asdict(self)
