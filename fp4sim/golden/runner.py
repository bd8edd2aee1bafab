"""Runs a kernel on a pack: one process a case, or one for the pack. See docs/golden.md for what it is told.

Environment: FP4SIM_MANIFEST (the pack's manifest.json), FP4SIM_OUT (an existing folder for the outputs); one process a
case besides: FP4SIM_CASE, FP4SIM_SPEC, FP4SIM_X (x.bin), FP4SIM_DTYPE, FP4SIM_SHAPE (as 32,256), FP4SIM_ROWS and
FP4SIM_COLS. The words {manifest} {out} {case} {spec} {x} {dtype} {rows} {cols} in the command are replaced by the same.
"""

from __future__ import annotations

import math
import os
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from fp4sim.errors import DeviceError, UsageError
from fp4sim.golden.writer import MANIFEST
from fp4sim.io.files import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fp4sim.golden.reader import Pack

_TAIL = 2000  # bytes of a failed kernel's output that its last line is looked for in


@dataclass(frozen=True)
class Start:
    """One start of the kernel: what it is for, and what it is told."""

    label: str
    facts: dict[str, str]

    def environment(self) -> dict[str, str]:
        """The process's environment."""
        return {**os.environ, **{f"FP4SIM_{name.upper()}": value for name, value in self.facts.items()}}

    def command(self, words: Sequence[str]) -> list[str]:
        """The command with its placeholders filled."""
        filled = []
        for word in words:
            for name, value in self.facts.items():
                word = word.replace("{" + name + "}", value)
            filled.append(word)
        return filled


def run_kernel(pack: Pack, command: Sequence[str], out: Path, *, once: bool = False, timeout: float = 60.0) -> int:
    """Run a kernel on every case; returns the number of starts.

    Raises UsageError for a command that cannot be started, DeviceError for one that fails or takes longer than ``timeout``
    seconds.
    """
    if not command:
        raise UsageError("no kernel to run: put its command after --, e.g. fp4sim golden run DIR -- ./mykernel")
    count = 0
    for start in _starts(pack, out, once=once):
        _run(start, command, timeout)
        count += 1
    return count


def _starts(pack: Pack, out: Path, *, once: bool) -> Iterator[Start]:
    common = {"manifest": str((Path(pack.path) / MANIFEST).resolve())}
    for case in pack.cases:  # existing folders spare a kernel in C the making of them
        (out / case.name).mkdir(parents=True, exist_ok=True)
    if once:
        yield Start("the pack", {**common, "out": str(out.resolve())})
        return
    for case in pack.cases:
        x = case.arrays["x"]
        facts = {
            "out": str((out / case.name).resolve()),
            "case": case.name,
            "spec": str(case.spec),
            "x": str(x.path.resolve()),
            "dtype": x.dtype,
            "shape": ",".join(map(str, x.shape)),
            "rows": str(math.prod(x.shape[:-1])),
            "cols": str(x.shape[-1]),
        }
        yield Start(f"case '{shown(case.name, 80)}'", {**common, **facts})


def _run(start: Start, words: Sequence[str], timeout: float) -> None:
    command = start.command(words)
    with tempfile.TemporaryFile() as log:
        try:
            process = subprocess.Popen(
                command,
                env=start.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            reason = error.strerror.lower() if isinstance(error, OSError) and error.strerror else str(error)
            raise UsageError(f"cannot start '{shown(command[0], 80)}': {reason}") from None
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise DeviceError(f"{start.label}: the kernel still ran after {timeout:g} s and was stopped") from None
        finally:
            _stop(process)
        if code:
            raise DeviceError(f"{start.label}: the kernel {_ending(code)}{_last_line(log)}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the kernel and what it started, where it still runs; the session is its own."""
    if process.poll() is None:
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()


def _ending(code: int) -> str:
    if code > 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


def _last_line(log: IO[bytes]) -> str:
    """The last line that the kernel printed, for the message."""
    log.seek(max(0, log.seek(0, os.SEEK_END) - _TAIL))
    lines = [line.strip() for line in log.read().decode("utf-8", "replace").splitlines() if line.strip()]
    return f": {shown(lines[-1], 200)}" if lines else ""
