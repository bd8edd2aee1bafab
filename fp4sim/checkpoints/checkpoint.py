"""An opened checkpoint: the quantized weights in it, by layout, and everything else."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING

from fp4sim.checkpoints import compressed_tensors, gguf, gpt_oss, modelopt, native_f4
from fp4sim.checkpoints.config import Config, read_config
from fp4sim.checkpoints.weight import DecodedTensor, FaultyTensor, Found, Layout, QuantizedWeight, join
from fp4sim.io.source import Source, Tensor, open_source

if TYPE_CHECKING:
    from collections.abc import Mapping

LAYOUTS: tuple[Layout, ...] = (
    compressed_tensors.LAYOUT,
    gpt_oss.LAYOUT,
    native_f4.LAYOUT,
    modelopt.LAYOUT,
    gguf.LAYOUT,
)
BY_NAME = {layout.name: layout for layout in LAYOUTS}


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A source with its configuration, and what each layout found in it. Use it as a context manager."""

    source: Source
    config: Config
    by_layout: Mapping[str, Found]

    @cached_property
    def found(self) -> Found:
        """The findings of all layouts."""
        return join(list(self.by_layout.values()))

    @cached_property
    def others(self) -> list[Tensor]:
        """Tensors that belong to no quantized weight."""
        return [tensor for tensor in self.source.tensors() if tensor.info.name not in self.found.names]

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.source.close()


def examine(source: Source, config: Config) -> Checkpoint:
    """Let every layout look for its weights among the tensors that none before has taken."""
    left = {tensor.info.name: tensor for tensor in source.tensors()}
    by_layout: dict[str, Found] = {}
    for layout in LAYOUTS:
        found = layout.find(left, config)
        if found.weights or found.faults:
            by_layout[layout.name] = found
            left = {name: tensor for name, tensor in left.items() if name not in found.names}
    return Checkpoint(source, config, by_layout)


def open_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Open a file or folder and find its quantized weights, from headers alone. Raises as ``open_source`` does."""
    source = open_source(path)
    try:
        text = os.fspath(path)
        config = Config() if text.partition(":")[0] == "synthetic" else read_config(text)
        return examine(source, config)
    except BaseException:
        source.close()
        raise


class DecodedSource(Source):
    """A source whose quantized weights appear once each, under the weight's name, as the float32 values they stand for."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint.source.label)
        self._checkpoint = checkpoint

    def tensors(self) -> list[Tensor]:
        """Other tensors as they are and the decoded weights, each where its codes were."""
        found = self._checkpoint.found
        by_part: dict[str, Tensor] = {}
        for weight in found.weights:
            by_part[next(iter(weight.parts.values()))] = DecodedTensor(weight)
        listed: list[Tensor] = []
        for tensor in self._checkpoint.source.tensors():
            name = tensor.info.name
            if name in by_part:
                listed.append(by_part[name])
            elif name not in found.names:
                listed.append(tensor)
        return [*listed, *(FaultyTensor(fault, self.label) for fault in found.faults)]

    def close(self) -> None:
        """Close the file."""
        self._checkpoint.source.close()


def open_tensors(spec: str | os.PathLike[str], *, dtype: str | None = None) -> Source:
    """``open_source``, with the quantized weights of checkpoints dequantized; ``dtype`` switches that off.

    Raises as ``open_source`` does.
    """
    if dtype is not None:
        return open_source(spec, dtype=dtype)
    source = open_source(spec)
    try:
        checkpoint = examine(source, Config())
    except BaseException:
        source.close()
        raise
    return DecodedSource(checkpoint) if checkpoint.by_layout else source


def counts(weights: tuple[QuantizedWeight, ...]) -> Counter[tuple[str, str]]:
    """Weights by layout and format."""
    return Counter((weight.layout, weight.format) for weight in weights)
