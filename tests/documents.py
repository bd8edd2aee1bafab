"""Documents of the command line without what may differ from run to run."""

from __future__ import annotations

import json
import re
from typing import Any

_RUN_SECTION = re.compile(r'<section id="run">.*?</section>', re.DOTALL)


def without_run(text: str) -> dict[str, Any]:
    """The data of a JSON document without its run block, which must be there."""
    data = json.loads(text)
    del data["run"]
    return data


def page_without_run(text: str) -> str:
    """An HTML page without its run section, which must be there once."""
    rest, count = _RUN_SECTION.subn("", text)
    assert count == 1
    return rest
