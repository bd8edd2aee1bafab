"""The bias of an element's rounding, exactly, by the place of the element between two codes. It stands on nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

ROUNDING_SCHEMA = "fp4sim.rounding/1"


@dataclass(frozen=True)
class RoundingCurve:
    """One format, whose elements are ``bits`` random bits rounded.

    ``gap``: E[q] − z in units of the gap between the two largest codes, at equal steps from the lower one over the first
    ``RoundingResult.span`` of it; what follows repeats that.
    ``top``: the same at ``places``, scaled elements z from the second largest code up to ``reach``, the largest to which
    the scale rule maps a block's amax. Both over all random bits, which are equally likely.
    """

    short: str
    bits: int
    gap: tuple[float, ...]
    places: tuple[float, ...]
    top: tuple[float, ...]
    reach: float


@dataclass(frozen=True)
class RoundingResult:
    """What ``rounding_bias`` found. ``span``: the share of a gap that ``RoundingCurve.gap`` covers."""

    curves: tuple[RoundingCurve, ...]
    span: float = 1.0
    schema: ClassVar[str] = ROUNDING_SCHEMA
