"""What ``crosscheck`` found on a GPU: plain frozen records that stand on nothing, and their JSON.

An evidence file names the GPU and the software, never a host, a user or a path.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from fp4sim.errors import UnreadableError
from fp4sim.report.verify_model import Count

EVIDENCE_SCHEMA = "fp4sim.evidence/1"

Status = Literal["pass", "fail", "skip", "error"]
STATUSES: tuple[Status, ...] = ("pass", "fail", "skip", "error")


@dataclass(frozen=True)
class CheckResult:
    """One check's outcome.

    ``counts``: what was compared, by part. ``reason``: why it was skipped, or the error. ``answer``: to a question that only
    hardware answers. ``diagnosis``: lines on what differs. ``raw``: the device's own words, as hex.
    """

    name: str
    title: str
    status: Status
    counts: dict[str, Count] = field(default_factory=dict)
    reason: str = ""
    answer: str = ""
    diagnosis: tuple[str, ...] = ()
    raw: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def totals(self) -> Count:
        """Over all parts."""
        return sum(self.counts.values(), Count(0, 0))


@dataclass(frozen=True)
class Evidence:
    """All of a run. ``device``, ``software``: names and versions; ``sources``: sha256 by file of cuda/."""

    date: str
    device: dict[str, str]
    software: dict[str, str]
    sources: dict[str, str]
    settings: dict[str, Any]
    checks: tuple[CheckResult, ...]
    version: str
    bits_version: int
    schema: str = EVIDENCE_SCHEMA

    @property
    def interrupted(self) -> bool:
        """Whether the run was ended before all its checks."""
        return bool(self.settings.get("interrupted", False))

    @property
    def ok(self) -> bool:
        """Whether no check failed or broke off, and all had their turn."""
        return not self.interrupted and all(check.status in ("pass", "skip") for check in self.checks)

    @property
    def verdict(self) -> Literal["OK", "FAILED", "INCOMPLETE"]:
        """In a word; what failed goes before what is missing."""
        if self.counted("fail") or self.counted("error"):
            return "FAILED"
        return "INCOMPLETE" if self.interrupted else "OK"

    def counted(self, status: Status) -> int:
        """How many checks ended so."""
        return sum(check.status == status for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """Strict-JSON data."""
        body = asdict(self)
        head = {key: body.pop(key) for key in ("schema", "version", "bits_version", "date")}
        return {**head, "ok": self.ok, **body}


def evidence_of(data: dict[str, Any], where: str) -> Evidence:
    """The record behind :meth:`Evidence.to_dict`'s data. Raises UnreadableError for anything else."""
    if data.get("schema") != EVIDENCE_SCHEMA:
        raise UnreadableError(f"{where}: not an evidence file of schema {EVIDENCE_SCHEMA}")
    try:
        checks = tuple(_check(entry) for entry in data["checks"])
        return Evidence(
            str(data["date"]),
            _texts(data["device"]),
            _texts(data["software"]),
            _texts(data["sources"]),
            {str(key): value for key, value in data["settings"].items()},
            checks,
            str(data["version"]),
            int(data["bits_version"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnreadableError(f"{where}: damaged evidence, {type(error).__name__} at {error}") from None


def _check(entry: dict[str, Any]) -> CheckResult:
    status = entry["status"]
    if status not in STATUSES:
        raise ValueError(f"status {status!r}")
    return CheckResult(
        str(entry["name"]),
        str(entry["title"]),
        status,
        {str(part): Count(int(count["wrong"]), int(count["total"])) for part, count in entry["counts"].items()},
        str(entry["reason"]),
        str(entry["answer"]),
        tuple(map(str, entry["diagnosis"])),
        _texts(entry["raw"]),
        float(entry["seconds"]),
    )


def _texts(data: dict[str, Any]) -> dict[str, str]:
    return {str(key): str(value) for key, value in data.items()}
