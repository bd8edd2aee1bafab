"""A bias report as CSV: one row a tensor and estimator, and one a zone; plain numbers, no factors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fp4sim.report.bias_cells import has_zones
from fp4sim.report.cells import tensor_name
from fp4sim.report.csv_table import csv_text

if TYPE_CHECKING:
    from fp4sim.report.bias_model import Bias, BiasResult, Range

_RANGES = ("bias2", "relative_bias", "variance", "mse", "alignment", "misalignment")
_ROUNDING = ("p_value", "compatible_bits")

FIGURES = (
    *("verdict", "draws", "batches", "draws_needed"),
    *(f"{name}{end}" for name in _RANGES for end in ("", "_low", "_high")),
    *("cosine", "floor", "slope"),
)
HEAD = (
    *("row", "tensor", "source", "shape", "dtype", "measured_elements", "estimator", "spec", "zone"),
    *("element_share", "energy_share"),
    *FIGURES,
    *(f"rounding_{name}" for name in _ROUNDING),
    *("sentence", "notes"),
)


def bias_csv(result: BiasResult) -> str:
    """The table as text: ``row`` is tensor or zone, undefined numbers are empty."""
    rows: list[dict[str, object]] = []
    for tensor in result.tensors:
        facts = {
            "tensor": tensor_name(tensor.name),
            "source": tensor.source,
            "shape": "x".join(map(str, tensor.shape)),
            "dtype": tensor.dtype,
            "measured_elements": tensor.measured_elements,
            "notes": "; ".join(tensor.notes),
        }
        for info, bias in zip(result.estimators, tensor.results, strict=True):
            row = {**facts, "estimator": info.short, "spec": info.spec}
            rows.append({**row, "row": "tensor", **figures(bias), **_rounding(bias), "sentence": bias.sentence})
            rows += ({**row, **zone} for zone in _zones(bias))
    return csv_text(HEAD, ([row.get(name) for name in HEAD] for row in rows))


def figures(bias: Bias) -> dict[str, object]:
    """The columns ``FIGURES``."""
    cells: dict[str, object] = {
        name: getattr(bias, name)
        for name in ("verdict", "draws", "batches", "draws_needed", "cosine", "floor", "slope")
    }
    for name in _RANGES:
        cells |= _range(name, getattr(bias, name))
    return cells


def _range(name: str, found: Range | None) -> dict[str, object]:
    return {} if found is None else {name: found.estimate, f"{name}_low": found.low, f"{name}_high": found.high}


def _rounding(bias: Bias) -> dict[str, object]:
    check = bias.rounding
    if check is None:
        return {}
    return {"rounding_p_value": check.p_value, "rounding_compatible_bits": " ".join(map(str, check.compatible_bits))}


def _zones(bias: Bias) -> list[dict[str, object]]:
    if not has_zones(bias):
        return []
    return [
        {
            "row": "zone",
            "zone": zone.zone,
            "element_share": zone.element_share,
            "energy_share": zone.energy_share,
            "verdict": zone.verdict,
            **_range("relative_bias", zone.relative_bias),
            **_range("alignment", zone.alignment),
            "sentence": zone.sentence,
        }
        for zone in bias.zones
    ]
