"""Shared by the tests of checkpoints: the command line in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner

from fp4sim.cli.app import app


@pytest.fixture
def run() -> Callable[..., Any]:
    """Run the command line; gives exit_code, stdout and stderr."""

    def call(*args: object, env: dict[str, str] | None = None):
        return CliRunner().invoke(app, [str(arg) for arg in args], env=env)

    return call


@pytest.fixture
def run_json(run) -> Callable[..., Any]:
    """Run with --json and read stdout as strict JSON; exit code 1 of a lint that found something is as good as 0."""

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    def call(*args: object):
        result = run(*args, "--json")
        assert result.exit_code in (0, 1), result.stderr
        return json.loads(result.stdout, parse_constant=refuse)

    return call
