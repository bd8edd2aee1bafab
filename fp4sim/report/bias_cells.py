"""How the numbers of a bias report are written, and what each estimator's line says."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from fp4sim.report.cells import UNDEFINED, count_of, number_text, tensor_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fp4sim.report.bias_model import Bias, BiasResult, Range, RoundingCheck, TensorBias

VERDICTS = {"biased": "bold red", "unbiased": "bold green", "undecided": "yellow"}
NUMBERS = ("mse", "variance", "relative bias", "95 % interval", "1 − align", "misalign")
CAPTION = (
    "All ×1e−3. mse, variance of a draw: of |x|². Bias: |E x̂ − x| of |x|. align: <E x̂, x> / <x, x>."
    " misalign: its mean over groups, from 1."
)
_DECIMALS = 3
_NAME_LIMIT = 60


def thousandths(value: float | None) -> str:
    """A number ×1e3 with three decimals, or as many significant digits where that would show 0 or be too long."""
    if value is None:
        return UNDEFINED
    scaled = 1e3 * value
    text = f"{scaled:.{_DECIMALS}f}"
    if scaled and float(text) == 0:
        return f"{scaled:.1e}"
    return f"{abs(scaled):.{_DECIMALS}f}" if scaled == 0 else text if len(text) < 10 else f"{scaled:.2e}"


def interval_text(found: Range | None) -> str:
    """The ends of an interval ×1e3; a dash where there is none."""
    if found is None or found.low is None or found.high is None:
        return UNDEFINED
    if found.low == found.high:
        return "exact"
    return f"{thousandths(found.low)} … {thousandths(found.high)}"


def numbers_of(bias: Bias) -> tuple[str, ...]:
    """The texts of the columns ``NUMBERS``."""
    aligned = None if bias.alignment is None else 1 - bias.alignment.estimate
    return (
        estimate_text(bias.mse),
        estimate_text(bias.variance),
        estimate_text(bias.relative_bias),
        interval_text(bias.relative_bias),
        thousandths(aligned),
        estimate_text(bias.misalignment),
    )


def estimate_text(found: Range | None) -> str:
    """An estimate ×1e3; a dash where there is none."""
    return thousandths(None if found is None else found.estimate)


def margin_text(found: Range | None) -> str:
    """An estimate ×1e3 ± half of its 95 % interval, which for these figures is symmetric; alone where there is none."""
    text = estimate_text(found)
    if found is None or found.low is None or found.high is None or found.low == found.high:
        return text
    return f"{text} ± {thousandths((found.high - found.low) / 2)}"


def has_zones(bias: Bias) -> bool:
    """Whether there is more to tell than of normal scales."""
    return len(bias.zones) > 1 or any(zone.zone != "normal" for zone in bias.zones)


def statement(result: BiasResult, index: int) -> str:
    """What the draws say about an estimator, on one line: of one tensor its sentence, of several the counts and the worst."""
    rows = [tensor.results[index] for tensor in result.tensors]
    if len(rows) == 1:
        return row_statement(rows[0])
    counts = Counter(row.verdict for row in rows)
    shares = ", ".join(f"{name} {counts[name]:,}" for name in VERDICTS if counts[name])
    text = f"of {count_of(len(rows), 'tensor')}: {shares}"
    pairs = zip(rows, result.tensors, strict=True)
    known = [(row.relative_bias.estimate, tensor) for row, tensor in pairs if row.relative_bias]
    if counts["biased"] and known:
        worst, tensor = max(known, key=lambda pair: pair[0])
        text += f"; the largest relative bias is {worst:.3g}, of {tensor_name(result.label(tensor), _NAME_LIMIT)}"
    needed = [row.draws_needed for row in rows if row.draws_needed]
    return text + (f"; about {max(needed):,} draws would decide all" if needed else "")


def row_statement(bias: Bias, of: str = "x") -> str:
    """The verdict's sentence, and for a biased estimator what more draws leave, relative to |``of``|."""
    return bias.sentence + _floor(bias, of)


def cosine_text(cosine: float | None) -> str:
    """A cosine with enough decimals not to read as 1 where it is not."""
    return UNDEFINED if cosine is None else number_text("cosine", cosine)


def _floor(bias: Bias, of: str) -> str:
    """What is sure: the square of the interval's lower end. The estimate itself may lie far above the true floor."""
    if bias.verdict != "biased" or bias.relative_bias is None or not bias.relative_bias.low:
        return ""
    if bias.variance is not None and bias.variance.estimate == 0:
        return "; every draw is the same"
    least = bias.relative_bias.low**2
    return f"; no number of draws brings the error of their mean below {least:.3g} of |{of}|²"


def rounding_text(check: RoundingCheck) -> str:
    """The chi-square test of stochastic rounding in words."""
    fits = _bits(check.compatible_bits)
    if check.p_value is None:
        return f"not testable: {check.reason}"
    missed = f" ({check.reason})" if check.reason else ""
    tested = (
        f"p = {check.p_value:.3g} at {count_of(check.bits, 'random bit')}, over {count_of(check.elements, 'element')}"
    )
    return f"{tested}{missed}; the counts fit {fits}"


def _bits(numbers: Sequence[int]) -> str:
    """Numbers of random bits as ranges: 1, 8–16, 32."""
    if not numbers:
        return "no number of random bits"
    last = numbers[-1]
    run = [number for number in numbers if number != 32]
    if last == 32 and run and run[-1] == 16 and run == list(range(run[0], 17)):
        return f"{run[0]} or more random bits"
    return f"{', '.join(map(str, numbers))} random bits"


def levels_of(tensors: Sequence[TensorBias]) -> tuple[int, ...]:
    """The numbers of draws at which there are points of the concentration curve."""
    return tuple(sorted({point.draws for tensor in tensors for bias in tensor.results for point in bias.curve}))
