"""What ``fp4sim dialects`` says: the arithmetics of libraries, and one of them in full."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from fp4sim.dialects.registry import available, dialect_named
from fp4sim.errors import UsageError
from fp4sim.spec_names import DIALECT_ROWS

if TYPE_CHECKING:
    from fp4sim.dialects.base import Convention

SCHEMA = "fp4sim.dialects/1"


@dataclass(frozen=True)
class DialectRow:
    """A dialect: how it is named in specs, and its convention."""

    name: str
    flags: tuple[str, ...]
    computes: tuple[str, ...]
    convention: Convention

    def to_dict(self) -> dict[str, Any]:
        """Strict-JSON data."""
        return asdict(self)


def list_dialects() -> tuple[DialectRow, ...]:
    """Every dialect."""
    return tuple(describe_dialect(name) for name in available())


def describe_dialect(name: str) -> DialectRow:
    """One dialect, case folded, by its name with or without a variant's. Raises UsageError naming those there are."""
    name, *flags = name.strip().lower().removeprefix("@").split(":")
    if name not in available():
        raise UsageError(f"unknown dialect {name!r}: there is {' '.join(available())}")
    row = DIALECT_ROWS[name]
    for flag in flags:
        if flag not in row.flags:
            raise UsageError(f"{name} has no variant {flag!r}: there is {' '.join(row.flags) or 'none'}")
    computes = ["casts"]
    if not row.cast_only:
        computes = ["float scales"] if row.float_scales else []
        computes += [f"e8m0 ({' '.join(row.pow2_rules)})"] if row.pow2_rules else []
    return DialectRow(name, row.flags, tuple(computes), dialect_named(name).convention)
