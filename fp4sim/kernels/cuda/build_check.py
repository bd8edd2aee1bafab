"""``python -m fp4sim.kernels.cuda.build_check``: compile every source for every target that it is meant for, and look for
its instructions in the disassembly. Needs NVRTC (PyPI's cuda-bindings and nvidia-cuda-nvrtc) or nvcc, and nvdisasm; no GPU.

With ``--library libnvrtc.so.13``: compile every source for one target with that NVRTC, and look at nothing.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from fp4sim.errors import DeviceError, Fp4simError
from fp4sim.kernels.cuda.compile import OPTIONS
from fp4sim.kernels.cuda.disassembly import disassemble, missing_instructions
from fp4sim.kernels.cuda.headers import include_options, needs_toolkit
from fp4sim.kernels.cuda.nvrtc import Nvrtc, find_nvrtc, release_of
from fp4sim.kernels.cuda.nvrtc_library import load_nvrtc
from fp4sim.kernels.cuda.sources import read_source, source_folder
from fp4sim.kernels.cuda.targets import CI_TARGETS, machine_patterns, one_target, refusal, source_of


@dataclass(frozen=True)
class Build:
    """One source for one target and set of macros: what went wrong, if anything, and why it was left out, if it was."""

    source: str
    target: str
    defines: tuple[str, ...] = ()
    problem: str = ""
    left_out: str = ""


def check_builds(targets: tuple[str, ...] = CI_TARGETS, compiler: str = "") -> list[Build]:
    """Compile and look, two at a time. ``compiler``: ``nvrtc``, ``nvcc``, or empty for whichever is there."""
    chosen = compiler or _compiler()
    jobs = [Build(name, target, macros) for name in _names() for target in targets for macros in source_of(name).builds]
    return _at_once(lambda job: _check(job, chosen), jobs)


def check_nvrtc(nvrtc: Nvrtc) -> list[Build]:
    """Whether a compiler takes every source, each for one target; its machine code is not looked at."""
    jobs = [Build(name, one_target(name), macros) for name in _names() for macros in source_of(name).builds]
    return _at_once(lambda job: _compile(job, nvrtc), jobs)


def _names() -> list[str]:
    return sorted(path.name for path in source_folder().glob("*.cu"))


def _at_once(check: Callable[[Build], Build], jobs: Iterable[Build]) -> list[Build]:
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        return list(pool.map(check, jobs))


def _compiler() -> str:
    """What fp4sim itself compiles with, if it is there. Raises DeviceError where there is no compiler at all."""
    try:
        find_nvrtc(None)
    except DeviceError:
        if shutil.which("nvcc"):
            return "nvcc"
        raise
    return "nvrtc"


def machine_code(source: str, target: str, compiler: str | Nvrtc, defines: tuple[str, ...] = ()) -> bytes:
    """Machine code of a source, never from the cache. ``compiler``: ``nvrtc``, ``nvcc``, or an NVRTC. Raises DeviceError."""
    macros = tuple(f"-D{define}" for define in defines)
    nvrtc = None if compiler == "nvcc" else compiler if isinstance(compiler, Nvrtc) else find_nvrtc(None)
    headers = include_options(nvrtc.version[0] if nvrtc else None) if needs_toolkit(source) else ()
    options = (*OPTIONS, *macros, *headers)
    if nvrtc:
        return nvrtc.run(read_source(source), source, (*options, f"--gpu-architecture={target}"))
    with tempfile.TemporaryDirectory(prefix="fp4sim-") as folder:
        cubin = Path(folder) / "code.cubin"
        command = ["nvcc", *options, f"-arch={target}", "-cubin", "-o", str(cubin), str(source_folder() / source)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode:
            lines = [line for line in run.stderr.splitlines() if "error" in line] or ["no message"]
            raise DeviceError(f"nvcc: {lines[0]}")
        return cubin.read_bytes()


def _check(job: Build, compiler: str) -> Build:
    left_out = refusal(job.source, job.target)
    if left_out:
        return replace(job, left_out=left_out)
    try:
        code = machine_code(job.source, job.target, compiler, job.defines)
        wanted = machine_patterns(job.source, job.target)  # nothing to look for: no need to disassemble
        missing = missing_instructions(job.source, job.target, disassemble(code)) if wanted else ()
    except Fp4simError as error:
        return replace(job, problem=str(error))
    return replace(job, problem=f"not in the machine code: {', '.join(missing)}" if missing else "")


def _compile(job: Build, nvrtc: Nvrtc) -> Build:
    try:
        machine_code(job.source, job.target, nvrtc, job.defines)
    except DeviceError as error:
        return replace(job, problem=str(error))
    return job


def main() -> int:
    """Print a line for each build; 1 if one has a problem."""
    parser = argparse.ArgumentParser(prog="python -m fp4sim.kernels.cuda.build_check")
    which = parser.add_mutually_exclusive_group()
    choices, left_out = ("", "nvrtc", "nvcc"), "left out: whichever is there"
    which.add_argument("compiler", nargs="?", default="", choices=choices, help=left_out)
    which.add_argument(
        "--library", type=Path, help="the file of an NVRTC: compile every source with it, for one target"
    )
    given = parser.parse_args()
    try:
        builds = _with_library(given.library) if given.library else check_builds(compiler=given.compiler)
    except DeviceError as error:
        print(error)
        return int(error.exit_code)
    for build in builds:
        print(" ".join([build.source, build.target, *build.defines, build.problem or build.left_out or "ok"]))
    bad = sum(bool(build.problem) for build in builds)
    if bad or not builds:
        print(f"{bad} of {len(builds)} builds failed" if builds else "no CUDA sources were found")
        return 1
    return 0


def _with_library(path: Path) -> list[Build]:
    nvrtc = load_nvrtc(path)
    print(f"NVRTC {release_of(nvrtc, 'sm_120a')}, {path}")  # 12.9 tells it in Blackwell's machine code alone
    return check_nvrtc(nvrtc)


if __name__ == "__main__":
    sys.exit(main())
