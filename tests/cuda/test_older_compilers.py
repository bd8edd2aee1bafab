"""Every source, once, with a compiler of one's choice; and which older ones CI chooses."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

from fp4sim.errors import DeviceError
from fp4sim.kernels.cuda import build_check
from fp4sim.kernels.cuda.build_check import Build, check_nvrtc
from fp4sim.kernels.cuda.nvrtc import Nvrtc
from fp4sim.kernels.cuda.sources import source_folder
from fp4sim.kernels.cuda.targets import one_target, source_of

ROOT = Path(__file__).parents[2]
REFUSED = "gemm.cu"


class Refusing:
    """A compiler that refuses one source."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, tuple[str, ...]]] = []

    def __call__(self, source: str, name: str, options: Sequence[str]) -> bytes:
        self.seen.append((name, tuple(options)))
        if name == REFUSED:
            raise DeviceError("NVRTC cannot compile it")
        return b"machine code"


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> Refusing:
    monkeypatch.setattr(build_check, "include_options", lambda major: ())
    return Refusing()


def test_a_target_that_is_enough() -> None:
    wanted = {
        "panel.cu": "sm_90",
        "nvidia_casts.cu": "sm_90",
        "gemm.cu": "sm_90a",
        "blackwell_convert.cu": "sm_100a",
        "blackwell_mma.cu": "sm_120a",
    }
    assert {name: one_target(name) for name in wanted} == wanted


def test_every_source_is_compiled_once_with_each_set_of_macros(refusing: Refusing) -> None:
    builds = check_nvrtc(Nvrtc("a file", (12, 9), refusing))
    names = sorted(path.name for path in source_folder().glob("*.cu"))
    assert builds == [
        Build(name, one_target(name), macros, "NVRTC cannot compile it" if name == REFUSED else "")
        for name in names
        for macros in source_of(name).builds
    ]
    assert len(refusing.seen) == len(builds)
    for build in builds:
        wanted = {f"--gpu-architecture={build.target}", "--fmad=false", *(f"-D{macro}" for macro in build.defines)}
        assert any(name == build.source and wanted <= set(options) for name, options in refusing.seen)


def test_a_refusal_is_a_failure(
    refusing: Refusing, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["build_check", "--library", "libnvrtc.so.12"])
    monkeypatch.setattr(build_check, "load_nvrtc", lambda path: Nvrtc(str(path), (12, 9), refusing))
    assert build_check.main() == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith(", libnvrtc.so.12")
    assert "gemm.cu sm_90a NVRTC cannot compile it" in lines
    assert lines[-1].startswith("1 of ")


def test_a_file_that_is_no_library_takes_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["build_check", "--library", str(tmp_path / "nothing.so")])
    assert build_check.main() == DeviceError("").exit_code
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_ci_compiles_with_the_releases_that_the_extras_ask_for_at_least() -> None:
    script = (ROOT / ".ci" / "compile_cuda").read_text(encoding="utf-8")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    least = {
        tuple(dependency.split(">="))
        for extra in ("cuda", "cuda12")
        for dependency in extras[extra]
        if "nvrtc" in dependency
    }
    assert len(least) == 2
    assert set(re.findall(r"(nvidia-cuda-nvrtc\S*)==(\d+\.\d+)\.\d+", script)) == least
