"""The dialects this version computes, by name."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from fp4sim.errors import UsageError
from fp4sim.spec_names import DIALECTS

if TYPE_CHECKING:
    from fp4sim.dialects.base import Dialect
    from fp4sim.spec import Spec

_MODULES = {"te": "fp4sim.dialects.te", "quartet2": "fp4sim.dialects.quartet2"}


def available() -> tuple[str, ...]:
    """Names of the dialects that compute here; the other names parse and say that they are not there."""
    return tuple(_MODULES)


def dialect_of(spec: Spec) -> Dialect:
    """The dialect of a spec. Raises UsageError naming those there are."""
    module = _MODULES.get(spec.dialect)
    if module is None:
        known = " ".join(row.name for row in DIALECTS if row.available)
        raise UsageError(f"{spec.short}: dialect {spec.dialect!r} is not in this version; there is: {known}")
    return cast("Dialect", import_module(module).DIALECT)
