"""The dialects this version computes, by name."""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, cast

from fp4sim.errors import UsageError
from fp4sim.spec_names import DIALECT_ROWS, DIALECTS

if TYPE_CHECKING:
    from fp4sim.dialects.dialect import Dialect
    from fp4sim.spec import Spec

_MODULES = {row.name: f"fp4sim.dialects.{row.name.replace('-', '_')}" for row in DIALECTS if row.available}


def available() -> tuple[str, ...]:
    """Names of the dialects that compute here; the other names parse and say that they are not there."""
    return tuple(_MODULES)


def dialect_named(name: str, flags: tuple[str, ...] = ()) -> Dialect:
    """A dialect by its name, in a variant. Raises UsageError naming those there are."""
    if name not in _MODULES:
        raise UsageError(f"dialect {name!r} is not in this version; there is: {_known()}")
    return _load(_MODULES[name], flags)


def dialect_of(spec: Spec) -> Dialect:
    """The dialect of a spec. Raises UsageError naming those there are, or what this one computes."""
    if spec.dialect not in _MODULES:
        raise UsageError(f"{spec.short}: dialect {spec.dialect!r} is not in this version; there is: {_known()}")
    check_fit(spec)
    return _load(_MODULES[spec.dialect], spec.dialect_flags)


@lru_cache(maxsize=1024)
def check_fit(spec: Spec) -> None:
    """Raise UsageError where a library has nothing that a spec's scales could mean."""
    row, scale, mode = DIALECT_ROWS[spec.dialect], spec.scale, spec.tensor_scale.mode
    if scale is None:
        return
    who = f"{spec.short}: {spec.dialect}"
    if not scale.has_zero and spec.rule not in row.pow2_rules:
        fits = f"the rule {' '.join(row.pow2_rules)} alone" if row.pow2_rules else "no power-of-two scales"
        raise UsageError(f"{who} has {fits}")
    if scale.has_zero and not row.float_scales:
        raise UsageError(f"{who} has power-of-two scales alone, e.g. e2m1/row@e8m0@{spec.dialect}")
    if scale.has_zero and row.one_level and mode != "none":
        raise UsageError(f"{who} has no tensor scale: leave out @{spec.tensor_scale}")
    if "onelevel" in spec.dialect_flags and mode not in ("none", "tensor"):
        raise UsageError(f"{who}:onelevel has no tensor scale: leave out @{spec.tensor_scale}")


def _known() -> str:
    return " ".join(row.name for row in DIALECTS if row.available)


@lru_cache(maxsize=64)
def _load(module: str, flags: tuple[str, ...]) -> Dialect:
    loaded = import_module(module)
    return cast("Dialect", loaded.variant(flags) if flags else loaded.DIALECT)
