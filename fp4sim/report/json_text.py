"""Results as strict JSON text."""

from __future__ import annotations

import json
from typing import Any


def strict_json(data: Any) -> str:
    """JSON in plain ASCII with a final newline. Raises ValueError for NaN and Infinity, which JSON does not have."""
    return json.dumps(data, allow_nan=False, indent=2) + "\n"
