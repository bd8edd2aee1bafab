"""Verdicts where GitHub Actions shows them: annotations on the run, and Markdown in the step's summary."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from fp4sim.report.cells import count_of, safe_name
from fp4sim.report.golden_text import results_markdown
from fp4sim.report.junit import summary

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fp4sim.report.verify_model import VerifyResult

LIMIT = 10  # GitHub shows about ten a step
_TITLE_LIMIT = 120
_TEXT_LIMIT = 600


def error_lines(results: Sequence[VerifyResult], limit: int = LIMIT) -> str:
    """One ``::error`` line a wrong case, at most ``limit``, the last of them counting the rest; empty where all is right."""
    wrong = [(result, case) for result in results for case in result.cases if not case.ok]
    shown = wrong if len(wrong) <= limit else wrong[: limit - 1]
    lines = []
    for result, case in shown:
        title = safe_name(f"{result.short}: {case.name}" if case.name else result.short, _TITLE_LIMIT)
        lines.append(f"::error title={_property(title)}::{_data(safe_name(summary(case), _TEXT_LIMIT))}\n")
    if len(wrong) > len(shown):
        lines.append(f"::error title=fp4sim::and {count_of(len(wrong) - len(shown), 'more wrong case')}\n")
    return "".join(lines)


def tell_github(results: Sequence[VerifyResult], environment: Mapping[str, str] | None = None) -> None:
    """Inside GitHub Actions, print annotations (to stderr: stdout may be JSON) and append to the step's summary."""
    known = os.environ if environment is None else environment
    if known.get("GITHUB_ACTIONS") != "true":
        return
    sys.stderr.write(error_lines(results))
    sys.stderr.flush()
    path = known.get("GITHUB_STEP_SUMMARY")
    if path:
        try:
            with open(path, "a", encoding="utf-8", newline="\n") as file:
                file.write(results_markdown(results))
        except OSError as error:
            sys.stderr.write(f"::warning title=fp4sim::{_data(f'no step summary: {error.strerror}')}\n")


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
