"""Every check that a device can run, one after the other, to one evidence record."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from fp4sim.crosscheck.check import Check, Effort, SkipCheckError
from fp4sim.errors import Fp4simError, NothingComparedError, UsageError
from fp4sim.io.files import shown
from fp4sim.kernels.cuda.sources import source_folder
from fp4sim.kernels.cuda.targets import refusal, target_for
from fp4sim.report.evidence_model import CheckResult, Evidence, Status
from fp4sim.statistic import by_definition

if TYPE_CHECKING:
    from fp4sim.crosscheck.device import Device

Progress = Callable[[str, int, int], None]  # a check's name, its number, how many there are


def run_checks(device: Device, checks: Sequence[Check], effort: Effort, progress: Progress | None = None) -> Evidence:
    """Run checks in order; one that breaks off is an ``error`` and does not stop the rest.

    An interrupt does: that check and the rest are skipped, and the evidence says so. Raises NothingComparedError where every
    check was skipped, KeyboardInterrupt where none had ended.
    """
    from fp4sim import BITS_VERSION, __version__

    results: list[CheckResult] = []
    interrupted = False
    try:
        for number, check in enumerate(checks):
            if progress is not None:
                progress(check.name, number, len(checks))
            results.append(run_check(device, check, effort))
    except KeyboardInterrupt:
        if all(result.status == "skip" for result in results):
            raise
        interrupted = True
        left = checks[len(results) :]
        results += [CheckResult(check.name, check.title, "skip", reason="interrupted") for check in left]
    if all(result.status == "skip" for result in results):
        reasons = "; ".join(dict.fromkeys(result.reason for result in results))
        raise NothingComparedError(f"every check was skipped: {reasons}")
    facts = {"name": "unknown"} | device.info.facts
    settings: dict[str, Any] = {"effort": effort.name, "checks": [check.name for check in checks]}
    if interrupted:
        settings["interrupted"] = True
    return Evidence(
        datetime.now(UTC).date().isoformat(),
        facts,
        device.info.software,
        source_digests(),
        settings,
        tuple(results),
        __version__,
        BITS_VERSION,
    )


def run_check(device: Device, check: Check, effort: Effort) -> CheckResult:
    """One check, timed."""
    reason = why_not(device, check)
    if reason:
        return CheckResult(check.name, check.title, "skip", reason=reason)
    start = time.perf_counter()
    try:
        with nullcontext() if effort.compiled else by_definition():
            found = check.run(device, effort)
    except SkipCheckError as error:
        return CheckResult(check.name, check.title, "skip", reason=_line(error))
    except Exception as error:  # whatever it is, the checks that follow may be the only ones that this GPU ever runs
        kind = "" if isinstance(error, Fp4simError) else f"{type(error).__name__}: "
        seconds = round(time.perf_counter() - start, 3)
        return CheckResult(check.name, check.title, "error", reason=kind + _line(error), seconds=seconds)
    if not found.compared:
        return CheckResult(check.name, check.title, "skip", reason=found.answer or "it found nothing to compare")
    status: Status = "fail" if any(count.wrong for count in found.counts.values()) else "pass"
    seconds = round(time.perf_counter() - start, 3)
    return CheckResult(
        check.name,
        check.title,
        status,
        found.counts,
        answer=found.answer,
        diagnosis=found.diagnosis,
        raw=found.raw,
        seconds=seconds,
    )


def why_not(device: Device, check: Check) -> str:
    """Why a check cannot run on a device, by the table of targets and what is installed; empty if it can."""
    capability = device.info.capability
    for source in check.sources:
        if not (source_folder() / source).is_file():
            return f"{source} is not in this version"
        reason = refusal(source, target_for(source, capability))
        if reason:
            return reason
    if capability < check.least:
        return f"needs compute capability {check.least[0]}.{check.least[1]}, this is {capability[0]}.{capability[1]}"
    if check.package and find_spec(check.package) is None:
        return f"{check.package} is not installed"
    return ""


def chosen(checks: Sequence[Check], only: Sequence[str], requested: Sequence[str]) -> list[Check]:
    """The checks to run: those of ``only``, else all that are not on request, and the requested ones. Raises UsageError."""
    names = [check.name for check in checks]
    for name in (*only, *requested):
        if name not in names:
            raise UsageError(f"no check '{shown(name, 40)}'; there are {', '.join(names)}")
    if only:
        return [check for check in checks if check.name in (*only, *requested)]
    return [check for check in checks if not check.on_request or check.name in requested]


def source_digests() -> dict[str, str]:
    """SHA-256 of every CUDA source and header."""
    folder = source_folder()
    files = sorted([*folder.glob("*.cu"), *folder.glob("*.cuh")])
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _line(error: BaseException) -> str:
    return shown((str(error).strip() or type(error).__name__).splitlines()[0], 300)
