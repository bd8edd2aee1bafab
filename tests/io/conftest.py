"""Shared by the tests of fp4sim.io: a scratch folder, and files written byte by byte."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def scratch(tmp_path_factory) -> Path:
    """A folder that hypothesis examples may share: every example overwrites its own file."""
    return tmp_path_factory.mktemp("io")


@pytest.fixture
def raw_safetensors(tmp_path) -> Callable[..., Path]:
    """Write a safetensors file with any header (an object, or bytes as they are) and data."""

    def write(header: object, data: bytes = b"", *, length: int | None = None, name: str = "t.safetensors") -> Path:
        raw = header if isinstance(header, bytes) else json.dumps(header).encode()
        path = tmp_path / name
        path.write_bytes((len(raw) if length is None else length).to_bytes(8, "little") + raw + data)
        return path

    return write
