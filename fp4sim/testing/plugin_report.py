"""What ``--fp4sim-report`` writes: the numbers of every test that asked the oracle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fp4sim import BITS_VERSION, __version__
from fp4sim.report.json_text import strict_json
from fp4sim.report.markdown import code, escaped, table

if TYPE_CHECKING:
    from collections.abc import Sequence

SCHEMA = "fp4sim.pytest/1"


def report_text(rows: Sequence[dict[str, Any]], suffix: str) -> str:
    """JSON or a Markdown table."""
    ordered = sorted(rows, key=lambda row: str(row["test"]))
    if suffix == ".json":
        head = {"schema": SCHEMA, "version": __version__, "BITS_VERSION": BITS_VERSION}
        return strict_json({**head, "tests": ordered})
    cells = [[code(row["test"]), row["outcome"], escaped(_numbers(row["numbers"]))] for row in ordered]
    return table(["Test", "outcome", "differing / compared"], 3, cells) + "\n"


def _numbers(numbers: dict[str, Any]) -> str:
    """Each part's mismatches over what was compared, with spec and cause as they are."""
    texts = []
    for name, value in numbers.items():
        if name.endswith("_mismatched"):
            total = numbers.get(name.replace("_mismatched", "_compared"), 0)
            texts.append(f"{name.removeprefix('fp4sim.').removesuffix('_mismatched')} {value:,}/{total:,}")
        elif not name.endswith("_compared"):
            texts.append(str(value))
    return ", ".join(texts)
