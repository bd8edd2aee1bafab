"""What ``fp4sim crosscheck`` does, without typer and rich, which GPU hosts often lack."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from fp4sim.crosscheck.check import FULL, QUICK
from fp4sim.errors import UnreadableError, UsageError
from fp4sim.io.files import shown, unreadable
from fp4sim.io.strict_json import parse_object
from fp4sim.io.target import check_writable
from fp4sim.io.writer import write_atomically
from fp4sim.report.evidence_model import Evidence, evidence_of
from fp4sim.report.json_text import strict_json

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from fp4sim.crosscheck.run import Progress

_LARGEST = 1 << 26


def crosscheck(
    only: Sequence[str] = (), *, quick: bool = False, fit_mma: bool = False, progress: Progress | None = None
) -> Evidence:
    """Run the checks on the GPU that is present. Raises DeviceError without one, UsageError for unknown checks.

    An interrupt (Ctrl-C) ends the run: what was found until then is returned, marked as interrupted.
    """
    from fp4sim.crosscheck.registry import FIT, all_checks
    from fp4sim.crosscheck.run import chosen, run_checks

    checks = chosen(all_checks(), only, (FIT,) if fit_mma else ())
    from fp4sim.crosscheck.cuda_device import CudaDevice

    device = CudaDevice()
    device.compile_ahead(checks)
    return run_checks(device, checks, QUICK if quick else FULL, progress)


def read_evidence(path: str | os.PathLike[str]) -> Evidence:
    """An evidence file. Raises UnreadableError."""
    where = shown(str(path))
    try:
        if Path(path).stat().st_size > _LARGEST:
            raise UnreadableError(f"{where}: more than {_LARGEST >> 20} MiB, which is no evidence file")
        raw = Path(path).read_bytes()
    except OSError as error:
        raise unreadable(Path(path), error) from None
    return evidence_of(parse_object(raw, where), where)


def write_evidence(evidence: Evidence, path: Path) -> None:
    """Write the file, whole or not at all. Raises UsageError."""
    with write_atomically(path, "w") as file:
        file.write(strict_json(evidence.to_dict()))


def check_output(path: Path | None) -> None:
    """Refuse what could not be written in the end, before the work starts. Raises UsageError."""
    if path is None:
        return
    if path.suffix.lower() != ".json":
        raise UsageError(f"cannot write {shown(str(path))}: the suffix of evidence is .json")
    check_writable(path)


def default_output(evidence: Evidence) -> Path:
    """``evidence-<GPU>.json`` in the current folder."""
    slug = re.sub(r"[^a-z0-9]+", "-", evidence.device["name"].lower()).strip("-")
    return Path(f"evidence-{slug or 'gpu'}.json")
