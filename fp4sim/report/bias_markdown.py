"""A bias report as Markdown: GitHub tables that hold whatever the tensors are called."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fp4sim.report.bias_cells import (
    CAPTION,
    estimate_text,
    has_zones,
    interval_text,
    margin_text,
    rounding_text,
    statement,
)
from fp4sim.report.bias_model import Range
from fp4sim.report.cells import percent, settings_text, shape_text
from fp4sim.report.markdown import code, escaped, skipped_list, table

if TYPE_CHECKING:
    from fp4sim.report.bias_model import Bias, BiasResult

_NUMBERS = ("mse ↓", "variance ↓", "relative bias ↓", "95 % interval", "1 − align", "misalign")
_MARKS = {"biased": "**biased**"}


def bias_markdown(result: BiasResult) -> str:
    """Figures and verdicts, what they say, zones, what was skipped and what was run."""
    parts = [
        f"### Bias of {', '.join(code(info.short) for info in result.estimators)}",
        _figures(result),
        escaped(f"{CAPTION} ±: half of the 95 % interval. ↓: lower is better."),
        _statements(result),
        _zones(result),
        _rounding(result),
        skipped_list(result.skipped),
        _legend(result),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _figures(result: BiasResult) -> str:
    rows = []
    for tensor in result.tensors:
        for info, bias in zip(result.estimators, tensor.results, strict=True):
            facts = [code(result.label(tensor)), shape_text(tensor.shape), code(info.short)]
            rows.append([*facts, _MARKS.get(bias.verdict, bias.verdict), *_numbers(bias)])
    return table(["Tensor", "Shape", "Estimator", "Verdict", *_NUMBERS], 4, rows)


def _numbers(bias: Bias) -> list[str]:
    """The columns of ``_NUMBERS``: what other renderers show, and how sure it is."""
    align = bias.alignment
    off = align and Range(1 - align.estimate, *(None if end is None else 1 - end for end in (align.high, align.low)))
    errors = [margin_text(bias.mse), margin_text(bias.variance)]
    size = [estimate_text(bias.relative_bias), interval_text(bias.relative_bias)]
    return [*errors, *size, margin_text(off), margin_text(bias.misalignment)]


def _statements(result: BiasResult) -> str:
    # the largest bias names a tensor, whose name may hold Markdown
    infos = enumerate(result.estimators)
    return "\n".join(f"- {code(info.short)}: {escaped(statement(result, i))}" for i, info in infos)


def _zones(result: BiasResult) -> str:
    rows = []
    for tensor in result.tensors:
        for info, bias in zip(result.estimators, tensor.results, strict=True):
            for zone in bias.zones if has_zones(bias) else ():
                shares = [percent(zone.element_share), percent(zone.energy_share)]
                estimate = estimate_text(zone.relative_bias)
                facts = [
                    code(result.label(tensor)),
                    code(info.short),
                    zone.zone,
                    _MARKS.get(zone.verdict, zone.verdict),
                ]
                rows.append([*facts, *shares, estimate, interval_text(zone.relative_bias)])
    if not rows:
        return ""
    head = ["Tensor", "Estimator", "Block scale", "Verdict", "elements %", "energy %", "bias", "95 % interval"]
    return "By the block's scale; biases ×1e−3, relative to the zone's own norm:\n\n" + table(head, 4, rows)


def _rounding(result: BiasResult) -> str:
    lines = []
    for tensor in result.tensors:
        for info, bias in zip(result.estimators, tensor.results, strict=True):
            if bias.rounding is not None:
                lines.append(f"- {code(result.label(tensor))}, {code(info.short)}: {rounding_text(bias.rounding)}")
    title = "Does stochastic rounding go up as often as the exact position says? Chi-square:\n\n"
    return title + "\n".join(lines) if lines else ""


def _legend(result: BiasResult) -> str:
    lines = []
    for info in result.estimators:
        notes = "".join(f"; {escaped(note)}" for note in info.notes)
        lines.append(f"- {code(info.short)} is {code(info.spec)}, {info.bits_per_element:g} bits per element{notes}")
    done = dict.fromkeys(note for tensor in result.tensors for note in tensor.notes)
    lines += [f"- {escaped(note)}" for note in done]
    sources = ", ".join(code(source) for source in result.sources)
    made = f"fp4sim {result.version}, bits version {result.bits_version}, {settings_text(result.settings)}"
    return "\n".join(lines) + f"\n\n{sources}; {made}"
