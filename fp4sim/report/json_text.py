"""Results as strict JSON text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fp4sim.report.model import CompareResult


def strict_json(data: Any) -> str:
    """JSON in plain ASCII with a final newline. Raises ValueError for NaN and Infinity, which JSON does not have."""
    return json.dumps(data, allow_nan=False, indent=2) + "\n"


def compare_json(result: CompareResult) -> str:
    """A comparison as JSON; undefined numbers are null, with the reason under ``undefined``."""
    return strict_json(result.to_dict())
