"""JSON from files nobody vouches for: no duplicate keys, no NaN, no unbounded nesting."""

from __future__ import annotations

import json
from typing import NoReturn

from fp4sim.errors import UnreadableError
from fp4sim.io.files import shown


class _RejectedError(ValueError):
    """What is wrong with a document that the json module itself would accept."""


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result: dict[str, object] = {}
    for key, value in pairs:
        if key in result:
            raise _RejectedError(f"the key '{shown(key, 80)}' occurs twice")
        result[key] = value
    return result


def _no_constant(name: str) -> NoReturn:
    raise _RejectedError(f"{name} is not JSON")


def parse_object(raw: bytes, where: str) -> dict[str, object]:
    """Parse UTF-8 JSON that must be one object.

    ``where`` starts the message ("model.safetensors: header"). Raises UnreadableError for anything else.
    """
    try:
        value = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise UnreadableError(f"{where} is not UTF-8; the file is damaged or of another format") from None
    except _RejectedError as error:
        raise UnreadableError(f"{where} is not valid: {error}") from None
    except RecursionError:
        raise UnreadableError(f"{where} is nested too deeply to be valid") from None
    except ValueError as error:  # JSONDecodeError, and integers beyond Python's digit limit
        raise UnreadableError(f"{where} is not JSON: {shown(str(error), 100)}") from None
    if not isinstance(value, dict):
        raise UnreadableError(f"{where} is not a JSON object")
    return value


def is_text(value: object) -> bool:
    """Whether ``value`` is a string that UTF-8 can encode (JSON escapes can spell lone surrogates)."""
    if not isinstance(value, str):
        return False
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
