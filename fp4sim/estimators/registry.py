"""Which estimator acts where, by step name."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from fp4sim.errors import UsageError
from fp4sim.rounding import Rounding
from fp4sim.transforms import check_rotation

if TYPE_CHECKING:
    from fp4sim.estimators.base import Choice, Correction, Measured
    from fp4sim.geometry import Geometry
    from fp4sim.spec import Spec

# step: (module, attribute)
_CHOICES = {
    "4over6": ("four_over_six", "ESTIMATOR"),
    "minmse": ("minmse", "ESTIMATOR"),
    "quest": ("quest", "ESTIMATOR"),
    "if4": ("if4", "ESTIMATOR"),
}
_CORRECTIONS = {
    "mseden": ("eden", "MSEDEN"),
    "eden": ("eden", "EDEN"),
    "pma": ("pma", "ESTIMATOR"),
    "mxplus": ("mxplus", "ESTIMATOR"),
}
_CHECKED = ("4over6", "minmse", "quest", "if4", "mseden", "eden", "pma", "mxplus", "occ")
_PLAIN = (*(mode.value for mode in Rounding), "h", "rht", "max")  # of the format's own pipeline
_BESIDE = ("occ", "dge")  # around the quantizer; of the backward pass
_ARITHMETIC_OF_TE = ("minmse", "if4", "mxplus")  # 4over6 and quest check their own


def available() -> tuple[str, ...]:
    """Names of the steps that compute here; the other names parse and say that they are not there."""
    return (*_PLAIN, *_CHOICES, *_CORRECTIONS, *_BESIDE)


def choice_of(spec: Spec) -> Choice | None:
    """What replaces the plain scale stage, if anything."""
    if is_posthoc(spec):
        return cast("Choice", _load("posthoc", "ESTIMATOR"))
    if is_rms(spec):
        return cast("Choice", _load("quest_rms", "ESTIMATOR"))
    return next((cast("Choice", _load(*where)) for name, where in _CHOICES.items() if spec.has(name)), None)


def correction_of(spec: Spec) -> Correction | None:
    """What changes the encoding afterwards, if anything."""
    if is_posthoc(spec):
        return None
    return next((cast("Correction", _load(*where)) for name, where in _CORRECTIONS.items() if spec.has(name)), None)


def measured_of(spec: Spec) -> Measured | None:
    """What needs a pass of its own over the tensor, if anything."""
    if is_rms(spec) and spec.block.kind == "tile":
        return cast("Measured", _load("quest_rms", "ESTIMATOR"))
    return cast("Measured", _load("posthoc", "ESTIMATOR")) if is_posthoc(spec) else None


def is_rms(spec: Spec) -> bool:
    """Whether QuEST chooses float scales."""
    return spec.has("quest") and spec.scale is not None and spec.scale.has_zero


def is_posthoc(spec: Spec) -> bool:
    """Whether MS-EDEN aligns its range after the correction."""
    return bool(spec.step("mseden").get("posthoc", False))


def check_estimator(spec: Spec) -> None:
    """Raise UsageError where a step has no meaning for the format it stands behind."""
    check_rotation(spec)
    for name in _CHECKED:
        if spec.has(name):
            module = {**_CHOICES, **_CORRECTIONS}.get(name, (name, ""))[0]
            import_module(f"fp4sim.estimators.{module}").check(spec)
    if is_posthoc(spec):
        import_module("fp4sim.estimators.posthoc").check(spec)
    for name in _ARITHMETIC_OF_TE:
        if spec.has(name) and spec.dialect != "te":
            raise UsageError(f"{spec.short}: +{name} is computed in the default arithmetic alone: drop @{spec.dialect}")


def check_fit(spec: Spec, geometry: Geometry) -> None:
    """Raise UsageError where an estimator's groups do not fit a tensor."""
    if spec.has("mseden") or spec.has("eden"):
        import_module("fp4sim.estimators.eden").check_fit(spec, geometry)
    if is_rms(spec):
        import_module("fp4sim.estimators.quest_rms").check_fit(spec, geometry)


def _load(module: str, attribute: str) -> object:
    return getattr(import_module(f"fp4sim.estimators.{module}"), attribute)
