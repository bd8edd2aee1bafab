"""What a failing assertion says: the lines everybody knows, then what FP4 adds, the cause, and how to repeat it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fp4sim.report.verify_model import VerifyResult

_HEAD = "Quantized tensors are not equal!"


def failure_message(result: VerifyResult, msg: str = "") -> str:
    """The message for a kernel's output that is not right: the report of ``fp4sim verify``."""
    from fp4sim.report.verify_text import verify_text

    return "\n".join([*([msg] if msg else []), _HEAD, "", verify_text(result).rstrip("\n")])


def unequal_message(problems: Sequence[str], msg: str = "") -> str:
    """The message for two quantized tensors that differ."""
    return "\n".join([*([msg] if msg else []), _HEAD, "", *problems])
