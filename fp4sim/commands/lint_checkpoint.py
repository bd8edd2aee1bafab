"""What ``fp4sim lint`` does: a checkpoint in, findings out."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fp4sim.checkpoints.checkpoint import counts, open_checkpoint
from fp4sim.checkpoints.findings import SEVERITIES, at_least
from fp4sim.checkpoints.lint import lint
from fp4sim.commands.inspect_checkpoint import refuse_unquantized

if TYPE_CHECKING:
    from fp4sim.checkpoints.findings import Finding, Severity

SCHEMA = "fp4sim.lint/1"


@dataclass(frozen=True)
class LintResult:
    """Findings, the gravest first, and what was looked at: weights by layout and format."""

    path: str
    checked: dict[str, int]
    elements: int
    findings: tuple[Finding, ...]

    @property
    def severities(self) -> dict[str, int]:
        """How many findings there are of each severity."""
        counted = Counter(finding.severity for finding in self.findings)
        return {severity: counted[severity] for severity in SEVERITIES}

    def fails(self, limit: Severity) -> bool:
        """Whether a finding is as grave as ``limit``."""
        return any(at_least(finding.severity, limit) for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Strict-JSON data."""
        return {
            "schema": SCHEMA,
            "path": self.path,
            "checked": self.checked,
            "elements": self.elements,
            "severities": self.severities,
            "findings": [finding.to_dict() for finding in self.findings],
        }


def lint_checkpoint(path: str | os.PathLike[str], threads: int | None = None) -> LintResult:
    """Read every code and scale. Raises UnreadableError; NothingComparedError where nothing is quantized."""
    with open_checkpoint(path) as checkpoint:
        refuse_unquantized(checkpoint)
        weights = checkpoint.found.weights
        return LintResult(
            path=checkpoint.source.label,
            checked={f"{layout} {name}": count for (layout, name), count in counts(weights).items()},
            elements=sum(weight.rows * weight.length for weight in weights),
            findings=tuple(lint(checkpoint, threads)),
        )
