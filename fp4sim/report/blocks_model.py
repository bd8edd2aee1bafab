"""Errors by block: what figures of scales, places and elements within blocks are drawn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from fp4sim.report.block_records import TensorBlocks
from fp4sim.report.model import UNNAMED, FormatInfo, Skipped

BLOCKS_SCHEMA = "fp4sim.blocks/1"


@dataclass(frozen=True)
class BlocksResult:
    """What ``block_errors`` found. ``left_out``: tensors that were not read because enough were."""

    formats: tuple[FormatInfo, ...]
    tensors: tuple[TensorBlocks, ...]
    skipped: tuple[Skipped, ...]
    sources: tuple[str, ...]
    settings: dict[str, Any]
    left_out: int = 0
    schema: ClassVar[str] = BLOCKS_SCHEMA

    def label(self, tensor: TensorBlocks) -> str:
        """The name to show: with its source where another tensor has the same name."""
        twins = sum(other.name == tensor.name for other in self.tensors) if len(self.sources) > 1 else 1
        name = tensor.name or UNNAMED
        return name if twins == 1 else f"{tensor.source}: {name}"
