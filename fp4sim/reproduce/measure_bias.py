"""Rows of a :class:`BiasPlan`: verdicts on claims of unbiasedness, overall and by zone of the block scale."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from fp4sim.commands.bias import BiasSettings, draw_statistics
from fp4sim.commands.bias_rows import bias_of
from fp4sim.grammar import parse
from fp4sim.report.reproduction_model import AGREES, DIFFERS, MEASURED
from fp4sim.reproduce.data import tensors
from fp4sim.reproduce.model import Measurement
from fp4sim.stats.bias import Verdict

if TYPE_CHECKING:
    from fp4sim.report.bias_model import Bias, Range, ZoneBias
    from fp4sim.reproduce.model import BiasPlan, ReproduceSettings, Row

Progress = Callable[[str, int], None]

_ADVICE = {
    Verdict.BIASED.value: "averaging does not help beyond its floor: not for gradients that rely on an unbiased mean",
    Verdict.UNBIASED.value: "averages to x within the margin on such data",
    Verdict.UNDECIDED.value: "these draws do not tell: more are needed",
}
_LOST = "elements whose block scale is zero are lost in every draw, whatever the total says"


def measure_bias(
    plan: BiasPlan, rows: Sequence[Row], settings: ReproduceSettings, progress: Progress | None = None
) -> list[Measurement]:
    """One measurement a row; ``value`` is the relative bias."""
    found = []
    for row in rows:
        tensor = tensors(row.data or plan.data, settings.seed)[0]
        draws = draws_of(plan, row, settings)
        margin = plan.quick_margin if settings.quick else row.margin or plan.margin
        how = BiasSettings(draws=draws, seed=settings.seed, margin=margin, threads=settings.threads)
        bias = bias_of(draw_statistics(tensor, parse(row.spec), how, progress=progress), margin)
        found.append(_measurement(row, bias, tensor.info.size, margin))
    return found


def draws_of(plan: BiasPlan, row: Row, settings: ReproduceSettings) -> int:
    """Draws of a row."""
    draws = row.draws or plan.draws
    return min(draws, plan.quick_draws) if settings.quick else draws


def work_of_bias(plan: BiasPlan, rows: Sequence[Row], settings: ReproduceSettings) -> int:
    """Elements to be quantized."""
    sizes = ((row.data or plan.data, draws_of(plan, row, settings)) for row in rows)
    return sum(data.rows * data.columns * draws for data, draws in sizes)


def _measurement(row: Row, bias: Bias, elements: int, margin: float) -> Measurement:
    outcome = DIFFERS
    if bias.verdict == Verdict.UNDECIDED.value or not row.published:
        outcome = MEASURED
    elif bias.verdict == row.published:
        outcome = AGREES
    notes = (
        f"relative bias {_interval(bias.relative_bias)} (margin {margin:.0e})" + _along(bias),
        *_zones(bias),
        advice(bias),
    )
    value = None if bias.relative_bias is None else bias.relative_bias.estimate
    return Measurement(value, None, None, bias.draws, elements, _verdict(bias), notes, outcome)


def _verdict(bias: Bias) -> str:
    """The verdict with the relative bias, or the largest that is possible."""
    found = bias.relative_bias
    if found is None:
        return bias.verdict
    if bias.verdict == Verdict.BIASED.value or found.high is None:
        return f"{bias.verdict} {found.estimate:.2g}"
    return f"{bias.verdict} <{found.high:.1e}"


def advice(bias: Bias) -> str:
    """What a user should conclude."""
    said = _ADVICE[bias.verdict]
    return f"{said}; {_LOST}" if any(zone.zone == "zero" for zone in _seen(bias)) else said


def _along(bias: Bias) -> str:
    return f", floor of the error {_interval(bias.bias2)}, misalignment {_interval(bias.misalignment)}"


def _zones(bias: Bias) -> list[str]:
    zones = _seen(bias)
    return [_zone(zone) for zone in zones] if len(zones) > 1 else []


def _seen(bias: Bias) -> list[ZoneBias]:
    """Zones that hold anything: blocks of zeros have a scale of zero and lose nothing."""
    return [zone for zone in bias.zones if zone.energy_share > 0]


def _zone(zone: ZoneBias) -> str:
    energy = 100 * zone.energy_share
    shares = f"{100 * zone.element_share:.3g} % of elements, {energy:{'.0f' if energy > 99 else '.2g'}} % of energy"
    return f"scale {zone.zone} ({shares}): {zone.verdict}, relative bias {_interval(zone.relative_bias)}"


def _interval(found: Range | None) -> str:
    if found is None:
        return "undefined"
    if found.low is None or found.high is None:
        return f"{found.estimate:.3g}"
    if found.low == found.high:
        return f"{found.estimate:.3g} (no scatter)"
    return f"{found.low:.2g} … {found.high:.2g}"
