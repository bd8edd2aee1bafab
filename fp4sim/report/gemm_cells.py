"""What the renderers of ``fp4sim gemm`` share: columns and how their numbers are written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fp4sim.report.cells import INFINITE, UNDEFINED, count_of, percent, safe_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fp4sim.report.gemm_model import GemmErrors, GemmOperand, GemmPart, GemmRow

HEADS = (
    "total\nSNR dB",
    "operands\nSNR dB",
    "accum.\nSNR dB",
    "cast\nSNR dB",
    "rel.\nerror",
    "max err\n/ RMS",
    "exact\nsums %",
    "shrink",
)
CAPTION = (
    "SNR over the float64 product X of the operands as given: |X|² over the squared error. Parts: operands, quantizing"
    " them; accumulation, the unit and the epilogue in float32; cast, the output's dtype. ∞: no error at all. Exact sums:"
    " outputs that equal the sum of their products before the epilogue."
)
SORTS = ("given", "total", "operands", "accumulation", "cast")


def snr_text(part: GemmPart | None) -> str:
    """A part's SNR: ∞ without error, a dash where it is not known."""
    if part is None or part.rel_mse is None:
        return UNDEFINED
    return INFINITE if part.snr_db is None else f"{part.snr_db:z.2f}"


def number_text(value: float | None) -> str:
    """Three significant digits."""
    return UNDEFINED if value is None else f"{value:.3g}"


def numbers_of(row: GemmRow) -> tuple[str, ...]:
    """The columns HEADS."""
    steps = row.steps
    return (
        snr_text(row.total),
        snr_text(row.operands),
        snr_text(row.accumulation),
        snr_text(row.cast),
        number_text(row.total.rel_error),
        number_text(row.total.max_error),
        UNDEFINED if steps is None else percent(steps.exact / steps.total),
        UNDEFINED if steps is None or steps.shrink is None else f"{steps.shrink:.1e}" if steps.shrink else "0",
    )


def statement(row: GemmRow) -> str:
    """What is to say of a row: where accumulation matters, or why there is none."""
    if row.reason:
        return f"{safe_name(row.reason)}; measured are the operands alone"
    extra = "".join(f"; {why}" for why in dict.fromkeys(row.undefined.values()))
    return f"{row.sentence}{extra}"


def split_text(row: GemmRow) -> str:
    """How the parts add up: energies and twice their inner products, in units of |X|²."""
    if row.total.rel_mse is None or not row.cross:
        return ""
    parts = [
        part for part in (row.operands, row.accumulation, row.cast) if part is not None and part.rel_mse is not None
    ]
    energies = " + ".join(f"{part.rel_mse:.6g}" for part in parts)
    crossed = " ".join(f"{'-' if value < 0 else '+'} {abs(value):.3g} ({name})" for name, value in row.cross.items())
    return f"{row.total.rel_mse:.6g} = {energies} {crossed}"


def worst_text(row: GemmRow) -> str:
    """The rows and columns of the product with the largest error relative to their size; of accumulation, where it has any."""
    lossy = row.steps is not None and row.steps.exact < row.steps.total
    parts = (("", "total"), (" of accumulation", "accumulation")) if lossy else (("", "total"),)
    lines = []
    for words, part in parts:
        found = [_worst(name, getattr(profile, part)) for name, profile in (("row", row.rows), ("column", row.cols))]
        if all(found):
            lines.append(f"largest relative error{words}: {', '.join(found)}")
    return "; ".join(lines)


def _worst(name: str, errors: Sequence[float | None]) -> str:
    known = [(value, i) for i, value in enumerate(errors) if value is not None]
    if not known:
        return ""
    value, index = max(known, key=lambda pair: pair[0])
    median = sorted(value for value, _ in known)[len(known) // 2]
    return f"{name} {index:,} with {value:.3g} (median {median:.3g})"


def operand_lines(result: GemmErrors) -> Iterator[str]:
    """The two operands."""
    for letter, operand in (("A", result.a), ("B", result.b)):
        yield f"{letter} = {_operand(operand)}"


def _operand(operand: GemmOperand) -> str:
    rows, length = operand.shape
    notes = "".join(f"; {safe_name(note)}" for note in operand.notes)
    return f"{safe_name(operand.label, 80)}, {rows:,} × {length:,}, {operand.dtype}{notes}"


def title(result: GemmErrors) -> str:
    """What was multiplied."""
    rows, cols, depth = result.shape
    settings = result.settings
    return (
        f"A · Bᵀ, M {rows:,}, N {cols:,}, K {depth:,}: model {settings['model']}, output {settings['out']},"
        f" {count_of(rows * cols, 'output')}"
    )
