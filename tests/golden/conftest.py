"""Shared by the tests of golden packs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fp4sim.cli.app import app

ROOT = Path(__file__).parents[2]
PYTHON_KERNEL = ROOT / "examples" / "golden_kernel.py"
CPP_KERNEL = ROOT / "examples" / "golden_kernel.cpp"
FEW = "ties,specials,padding,gaussian"


@pytest.fixture
def run() -> Callable[..., Any]:
    """Run the command line in this process; gives exit_code, stdout and stderr."""

    def call(*args: object, stdin: bytes | None = None, env: dict[str, str] | None = None):
        return CliRunner().invoke(app, [str(arg) for arg in args], input=stdin, env=env)

    return call


@pytest.fixture(scope="session")
def built_pack(tmp_path_factory) -> Path:
    """A pack of nvfp4 with a few stimuli; not to be changed."""
    path = tmp_path_factory.mktemp("golden") / "pack"
    result = CliRunner().invoke(app, ["golden", "make", str(path), "-f", "nvfp4", "--stimuli", FEW])
    assert result.exit_code == 0, result.stderr
    return path


@pytest.fixture
def pack(built_pack, tmp_path) -> Path:
    """A copy of the pack, to be tampered with."""
    return Path(shutil.copytree(built_pack, tmp_path / "pack"))


@pytest.fixture
def python_kernel(tmp_path) -> Callable[[str], Path]:
    """The example kernel with ``code`` run at its end's place, as a script."""

    def write(code: str) -> Path:
        path = tmp_path / "kernel.py"
        path.write_text(PYTHON_KERNEL.read_text().replace('if __name__ == "__main__":\n    main()', code))
        return path

    return write


@pytest.fixture(scope="session")
def cpp_kernel(tmp_path_factory) -> Callable[..., Path]:
    """Compile the C++ example, with text replaced."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        reason = "needs a C++ compiler"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    folder = tmp_path_factory.mktemp("cpp")

    def build(old: str = "", new: str = "") -> Path:
        text = CPP_KERNEL.read_text()
        assert old in text
        source = folder / f"kernel{abs(hash((old, new)))}.cpp"
        target = source.with_suffix("")
        if not target.exists():
            source.write_text(text.replace(old, new) if old else text)
            flags = ["-O1", "-std=c++17", "-ffp-contract=off", "-Wall", "-Werror"]
            subprocess.run([compiler, *flags, str(source), "-o", str(target)], check=True)
        return target

    return build


def one_line(text: str) -> bool:
    return text.startswith("fp4sim: ") and text.endswith("\n") and text.count("\n") == 1


PYTHON = sys.executable
