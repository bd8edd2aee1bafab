"""Named models: what silicon is reported to do, ideals to hold it against, and the rivals that probes tell apart.

Each rival differs from ``blackwell`` (or ``mxf8f6f4``) in what its row says. Sources: public reports of exact matches
on silicon for ``blackwell`` (K = 64 steps of mxf4 and mxf4nvf4) and for ``mxf8f6f4`` and ``f8f6f4`` with E2M1 operands
(K = 32 steps, one product a group; where there are no scales all bytes are 127); raw outputs of a B200 for ``dense``.
``ue5m3-report`` and ``mma-sim-2026-01`` are published models that silicon has refuted.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from fp4sim.errors import UsageError
from fp4sim.mma.model import MmaModel

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

BLACKWELL = MmaModel("blackwell")
MXF8F6F4 = MmaModel("mxf8f6f4", step=32, group=1, fraction=25, floor=-133)
DENSE = MmaModel("dense", step="all", group=1, fraction=25, floor=-133)
EXACT = MmaModel("exact", step="all", fraction=None, floor=None, result="rne")
FP32_RN = MmaModel("fp32-rn", step="block", fraction=None, floor=None, c_place="after", dot="rne", result="rne")

_AFTER: dict[str, Any] = {"c_place": "after"}
_EXACT: dict[str, Any] = {"fraction": None, "floor": None}
_AFTER_EXACT = _AFTER | _EXACT

# What each of the 50 models of the K = 64 probes changes of `blackwell`, in the order of the probe file.
PROBE_CHANGES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("hw_F35", {}),
    ("mmasim_c785138", {"anchoring": "scales", "floor": -126}),
    ("ue5m3_report(64 exact RNE, RZ add)", _AFTER_EXACT | {"dot": "rne"}),
    *((f"F{bits}", {"fraction": bits}) for bits in (24, 25, 26, 28, 33, 34, 36, 37)),
    ("F36_groups_only", {"fraction": 36, "c_fraction": 35}),
    ("F34_groups_only", {"fraction": 34, "c_fraction": 35}),
    ("F36_C_only", {"c_fraction": 36}),
    ("F34_C_only", {"c_fraction": 34}),
    ("F37_C_only", {"c_fraction": 37}),
    ("group32", {"group": 32}),
    ("group64", {"group": 64}),
    ("group16_evenodd(MX)", {"order": "even-odd"}),
    ("align_RNE", {"align": "rne"}),
    ("align_floor", {"align": "floor"}),
    ("out_RNE", {"result": "rne"}),
    ("out_RNA", {"result": "rna"}),
    ("C_after:F35 dot RZ,RZ", _AFTER),
    ("C_after:F35 dot RNE,RZ", _AFTER | {"dot": "rne"}),
    ("C_after:F35 dot RNE,RNE", _AFTER | {"dot": "rne", "result": "rne"}),
    ("C_after:F35 dot RZ,RNE", _AFTER | {"result": "rne"}),
    ("exact64 RZ, RZ add", _AFTER_EXACT),
    ("exact64 RNE, RNE add", _AFTER_EXACT | {"dot": "rne", "result": "rne"}),
    ("exact fused RZ", _EXACT),
    ("exact fused RNE", _EXACT | {"result": "rne"}),
    ("F25 C_after RZ,RZ", _AFTER | {"fraction": 25}),
    ("value_anchor_F35", {"anchor": "value"}),
    ("value_anchor_F42_C36", {"anchor": "value", "fraction": 42, "c_fraction": 36}),
    ("value_anchor_F34_C28", {"anchor": "value", "fraction": 34, "c_fraction": 28}),
    ("zero scale keeps exponent -6 and anchors", {"anchoring": "any-scale"}),
    ("zero-product groups anchor", {"anchoring": "scales"}),
    ("only nonzero dots anchor", {"anchoring": "dots"}),
    ("floor-126", {"floor": -126}),
    ("floor-138", {"floor": -138}),
    ("floor-140", {"floor": -140}),
    ("floorNone", {"floor": None}),
    ("subnormal UE4M3 renormalised", {"subnormal_scale": "normalised"}),
    ("UE4M3 sign applied", {"signed_scale": True}),
    ("C subnormal flushed", {"subnormal_c": "flushed"}),
    ("output subnormal flushed", {"flush_result": True}),
    ("-0 kept on underflow", {"negative_zero": True}),
    ("C subnormal renormalised", {"subnormal_c": "normalised"}),
    ("two chained K=32 steps", {"step": 32}),
    ("four chained K=16 steps", {"step": 16}),
)

# The same for the 14 models of the mxf8f6f4 probes and the instance `mxf8f6f4`.
MXF8F6F4_CHANGES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("hw gs32 F25 native", {}),
    ("normalised exponents", {"elements": "normalised"}),
    ("F24", {"fraction": 24}),
    ("F26", {"fraction": 26}),
    ("F35", {"fraction": 35}),
    ("two steps of 16", {"step": 16}),
    ("four steps of 8", {"step": 8}),
    ("align RNE", {"align": "rne"}),
    ("out RNE", {"result": "rne"}),
    ("floor -126", {"floor": -126}),
    ("floor -139", {"floor": -139}),
    ("no floor", {"floor": None}),
    ("C after RZ,RZ", _AFTER),
    ("C after RNE,RZ", _AFTER | {"dot": "rne"}),
)


def _variants(base: MmaModel, prefix: str, changes: Iterable[tuple[str, dict[str, Any]]]) -> dict[str, MmaModel]:
    return {f"{prefix}{name}": replace(base, name=f"{prefix}{name}", **change) for name, change in changes}


PROBE_MODELS: Mapping[str, MmaModel] = MappingProxyType(_variants(BLACKWELL, "probe:", PROBE_CHANGES))
MXF8F6F4_PROBE_MODELS: Mapping[str, MmaModel] = MappingProxyType(_variants(MXF8F6F4, "mxf8f6f4:", MXF8F6F4_CHANGES))

_NAMED = {
    model.name: model
    for model in (
        BLACKWELL,
        EXACT,
        FP32_RN,
        replace(PROBE_MODELS["probe:mmasim_c785138"], name="mma-sim-2026-01"),
        replace(PROBE_MODELS["probe:ue5m3_report(64 exact RNE, RZ add)"], name="ue5m3-report"),
        MXF8F6F4,
        replace(MXF8F6F4, name="f8f6f4"),
        DENSE,
    )
}


def model_named(model: str | MmaModel) -> MmaModel:
    """The model of a name; a model is returned as it is. Raises UsageError for an unknown name."""
    if isinstance(model, MmaModel):
        return model
    for table in (_NAMED, PROBE_MODELS, MXF8F6F4_PROBE_MODELS):
        if model in table:
            return table[model]
    known = ", ".join(_NAMED)
    raise UsageError(f"unknown model {model!r}: known are {known}, and the probes' rivals under probe: and mxf8f6f4:")


def model_names() -> tuple[str, ...]:
    """Every name that :func:`model_named` knows, the instances first."""
    return (*_NAMED, *PROBE_MODELS, *MXF8F6F4_PROBE_MODELS)
