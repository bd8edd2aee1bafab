"""``python -m fp4sim.kernels.cuda.build_check``: compile every source for every target that it is meant for, and look for
its instructions in the disassembly. Needs NVRTC (PyPI's cuda-bindings and nvidia-cuda-nvrtc) or nvcc, and nvdisasm; no GPU.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from fp4sim.errors import DeviceError, Fp4simError
from fp4sim.kernels.cuda.compile import OPTIONS
from fp4sim.kernels.cuda.disassembly import disassemble, missing_instructions
from fp4sim.kernels.cuda.headers import include_options, needs_toolkit
from fp4sim.kernels.cuda.nvrtc import find_nvrtc
from fp4sim.kernels.cuda.sources import read_source, source_folder
from fp4sim.kernels.cuda.targets import CI_TARGETS, machine_patterns, refusal, source_of


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
    names = sorted(path.name for path in source_folder().glob("*.cu"))
    jobs = [(name, target, defines) for name in names for target in targets for defines in source_of(name).builds]
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        return list(pool.map(lambda job: _check(*job, compiler=chosen), jobs))


def _compiler() -> str:
    """What fp4sim itself compiles with, if it is there. Raises DeviceError where there is no compiler at all."""
    try:
        find_nvrtc(None)
    except DeviceError:
        if shutil.which("nvcc"):
            return "nvcc"
        raise
    return "nvrtc"


def machine_code(source: str, target: str, compiler: str, defines: tuple[str, ...] = ()) -> bytes:
    """Machine code of a source, never from the cache. Raises DeviceError."""
    macros = tuple(f"-D{define}" for define in defines)
    options = (*OPTIONS, *macros, *(include_options() if needs_toolkit(source) else ()))
    if compiler == "nvrtc":
        return find_nvrtc(None).run(read_source(source), source, (*options, f"--gpu-architecture={target}"))
    with tempfile.TemporaryDirectory(prefix="fp4sim-") as folder:
        cubin = Path(folder) / "code.cubin"
        command = ["nvcc", *options, f"-arch={target}", "-cubin", "-o", str(cubin), str(source_folder() / source)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode:
            lines = [line for line in run.stderr.splitlines() if "error" in line] or ["no message"]
            raise DeviceError(f"nvcc: {lines[0]}")
        return cubin.read_bytes()


def _check(source: str, target: str, defines: tuple[str, ...], *, compiler: str) -> Build:
    left_out = refusal(source, target)
    if left_out:
        return Build(source, target, defines, left_out=left_out)
    try:
        code = machine_code(source, target, compiler, defines)
        wanted = machine_patterns(source, target)  # nothing to look for: no need to disassemble
        missing = missing_instructions(source, target, disassemble(code)) if wanted else ()
    except Fp4simError as error:
        return Build(source, target, defines, problem=str(error))
    return Build(source, target, defines, problem=f"not in the machine code: {', '.join(missing)}" if missing else "")


def main() -> int:
    """Print a line for each build; 1 if one has a problem."""
    try:
        builds = check_builds(compiler=sys.argv[1] if len(sys.argv) > 1 else "")
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


if __name__ == "__main__":
    sys.exit(main())
