"""Shared by the tests of the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from typer.testing import CliRunner

from fp4sim.cli.app import app
from fp4sim.io.writer import write_safetensors


@pytest.fixture
def run() -> Callable[..., Any]:
    """Run the command line in this process; gives exit_code, stdout and stderr."""

    def call(*args: object, env: dict[str, str] | None = None):
        return CliRunner().invoke(app, [str(arg) for arg in args], env=env)

    return call


@pytest.fixture
def run_json(run) -> Callable[..., Any]:
    """Run, and read stdout as strict JSON."""

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    def call(*args: object):
        result = run(*args)
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout, parse_constant=refuse)

    return call


@pytest.fixture
def process() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command line in a process of its own."""

    def call(*args: object, **env: str):
        command = [sys.executable, "-c", "from fp4sim.cli.main import main; main()", *map(str, args)]
        return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **env}, timeout=120)

    return call


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    return {
        "w.bf16": (rng.standard_normal((24, 48)) * 0.02).astype(ml_dtypes.bfloat16),
        "w.fp32": rng.standard_normal((3, 5, 40)).astype(np.float32),
        "norm": np.ones(48, np.float32),
        "ids": np.arange(6, dtype=np.int64).reshape(2, 3),
    }


@pytest.fixture
def checkpoint(tmp_path, arrays) -> Path:
    """Two float matrices, a vector and integers."""
    path = tmp_path / "model.safetensors"
    write_safetensors(path, arrays, {"format": "pt"})
    return path
