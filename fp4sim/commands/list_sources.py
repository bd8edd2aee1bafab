"""What ``fp4sim sources`` lists: the synthetic tensors and the kinds of files that are read."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from fp4sim.io.generators import GENERATORS
from fp4sim.io.source import SUFFIXES

SCHEMA = "fp4sim.sources/1"

_KINDS = {
    ".npy": "one array; bfloat16 as ml_dtypes saves it",
    ".npz": "several arrays",
    ".safetensors": "a checkpoint",
    ".safetensors.index.json": "a sharded checkpoint, or give its folder",
    ".gguf": "a checkpoint of llama.cpp: plain tensors, MXFP4 and NVFP4",
    ".pt": "a PyTorch checkpoint of plain tensors; needs fp4sim[torch]",
    ".pth": "the same",
}


@dataclass(frozen=True)
class Generator:
    """A synthetic tensor: its default shape, its parameters as (name, default, low, high), whether the suite has it."""

    name: str
    description: str
    shape: tuple[int, int]
    parameters: tuple[tuple[str, float, float, float], ...]
    in_suite: bool


@dataclass(frozen=True)
class SourceList:
    """Synthetic generators, and what is read by suffix."""

    synthetic: tuple[Generator, ...]
    files: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Strict-JSON data."""
        return {"schema": SCHEMA, **asdict(self)}


def list_sources() -> SourceList:
    """Everything that can be compared or quantized."""
    generators = (
        Generator(
            row.name,
            row.description,
            row.shape,
            tuple((p.name, p.default, p.low, p.high) for p in row.params),
            row.in_suite,
        )
        for row in GENERATORS
    )
    return SourceList(tuple(generators), {suffix: _KINDS[suffix] for suffix in SUFFIXES})
