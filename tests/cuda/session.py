"""Everything that is to be run on a GPU, most telling first, each part in its own process and under its own limit.

``python -m tests.cuda.session [--seconds 570] [--out FOLDER] [--only PART]``. What a part prints is shown as it comes and kept
in ``FOLDER/PART.txt``; a part that needs what is not installed is left out with the reason. Exit codes: 0 all that ran is
right, 1 a part failed or ran out of time, 4 no GPU.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from fp4sim.errors import DeviceError, ExitCode
from fp4sim.kernels.cuda.load import get_cupy

ROOT = Path(__file__).parents[2]
SANITIZER = "compute-sanitizer"
_LEAST_SECONDS = 5.0  # with less no part is begun

Verdict = Literal["ok", "FAILED", "OUT OF TIME", "left out"]


@dataclass(frozen=True)
class Part:
    """A command, without the interpreter if it begins with ``-m`` or a script, and the seconds that it may take.

    ``needs``: a module or program that must be there.
    """

    name: str
    command: tuple[str, ...]
    seconds: float
    needs: str = ""


@dataclass(frozen=True)
class Done:
    """How a part ended; ``note``: why it was left out, or its last line."""

    part: Part
    verdict: Verdict
    seconds: float = 0.0
    note: str = field(default="")


def parts(out: Path) -> tuple[Part, ...]:
    """All of them, in order."""
    sanitize = (SANITIZER, "--error-exitcode", "9", "--tool")
    kernels = (sys.executable, "-m", "tests.cuda.sanitize")
    crosscheck = ("-m", "fp4sim.crosscheck")
    return (
        Part("crosscheck-quick", (*crosscheck, "--quick", "-o", str(out / "evidence-quick.json")), 60),
        Part("checks", ("-m", "tests.cuda.gpu_checks"), 210),
        Part("crosscheck", (*crosscheck, "--fit-mma", "-o", str(out / "evidence.json")), 200),
        Part("products", ("-m", "tests.cuda.gemm_checks"), 60),
        Part("pytest", ("-m", "pytest", "-q", "-m", "gpu", "tests/cuda", "-k", "not as_on_the_cpu"), 150, "pytest"),
        Part("racecheck", (*sanitize, "racecheck", *kernels, "--no-search"), 150, SANITIZER),
        Part("memcheck", (*sanitize, "memcheck", *kernels), 150, SANITIZER),
        Part("quantize", ("benchmarks/cuda_quantize.py", "--no-peers", "--repeats", "30"), 60),
        Part("stats", ("benchmarks/cuda_stats.py", "--calls"), 90),
        Part("gemm", ("benchmarks/cuda_gemm.py",), 90),
    )


def run_all(chosen: Sequence[Part], out: Path, seconds: float) -> list[Done]:
    """One part after the other until the time is spent."""
    end, done = time.monotonic() + seconds, []
    for part in chosen:
        left = end - time.monotonic()
        if part.needs and find_spec(part.needs) is None and shutil.which(part.needs) is None:
            done.append(Done(part, "left out", note=f"{part.needs} is not installed"))
        elif left < _LEAST_SECONDS:
            done.append(Done(part, "left out", note="the time is spent"))
        else:
            print(f"== {part.name}, at most {min(part.seconds, left):.0f} s", flush=True)
            done.append(run_part(part, out / f"{part.name}.txt", min(part.seconds, left)))
    return done


def run_part(part: Part, log: Path, seconds: float) -> Done:
    """Run it, show and keep its output, and end it and all that it started when its time is up."""
    start, last, overdue = time.monotonic(), "", threading.Event()
    command = [sys.executable] * (part.command[0].startswith("-") or part.command[0].endswith(".py")) + [*part.command]
    search = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": search, "PYTHONUNBUFFERED": "1"}
    with (
        log.open("w") as kept,
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        ) as process,
    ):

        def stop() -> None:
            overdue.set()
            os.killpg(process.pid, signal.SIGKILL)

        timer = threading.Timer(seconds, stop)
        timer.start()
        try:
            for line in process.stdout or ():
                print(line, end="", flush=True)
                kept.write(line)
                last = line.strip() or last
            code = process.wait()
        finally:
            timer.cancel()
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    verdict: Verdict = "OUT OF TIME" if overdue.is_set() else "FAILED" if code else "ok"
    return Done(part, verdict, time.monotonic() - start, last)


def summary(done: Sequence[Done]) -> str:
    """A line for each part."""
    return "".join(f"{one.verdict:<12}{one.part.name:<18}{one.seconds:>6.1f} s  {one.note[:100]}\n" for one in done)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser("python -m tests.cuda.session", description=__doc__)
    parser.add_argument("--seconds", type=float, default=570.0, help="for all parts together")
    parser.add_argument("--out", type=Path, default=Path("gpu-session"), help="the folder of logs and evidence")
    parser.add_argument("--only", action="append", metavar="PART", default=[])
    options = parser.parse_args(arguments)
    every = parts(options.out.resolve())
    names = [part.name for part in every]
    if not set(options.only) <= set(names):
        parser.error(f"--only: there are {', '.join(names)}")
    try:
        get_cupy()
    except DeviceError as error:
        print(error, file=sys.stderr)
        return int(ExitCode.DEVICE)
    options.out.mkdir(parents=True, exist_ok=True)
    done = run_all([part for part in every if part.name in (options.only or names)], options.out, options.seconds)
    text = summary(done)
    (options.out / "summary.txt").write_text(text)
    print(text, end="", flush=True)
    return int(any(one.verdict in ("FAILED", "OUT OF TIME") for one in done))


if __name__ == "__main__":
    sys.exit(main())
