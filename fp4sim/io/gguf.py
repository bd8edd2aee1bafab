"""Reader of .gguf files: plain tensors as they are; MXFP4 and NVFP4 as raw blocks that fp4sim.checkpoints decodes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from fp4sim.errors import UnreadableError
from fp4sim.io.dtypes import decode
from fp4sim.io.files import PositionedFile, shown
from fp4sim.io.gguf_header import GgufEntry, GgufHeader, read_header
from fp4sim.io.source import Source, Tensor, TensorInfo

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np


@dataclass(frozen=True)
class BlockType:
    """A ggml_type: ``elements`` of a block and the ``size`` of a block in bytes; ``dtype`` of types that are plain."""

    name: str
    elements: int
    size: int
    dtype: str | None = None


# numbers, names and block sizes: ggml/include/ggml.h and ggml-common.h of llama.cpp, and its Python package gguf 0.19
BLOCK_TYPES: dict[int, BlockType] = {
    0: BlockType("F32", 1, 4, "float32"),
    1: BlockType("F16", 1, 2, "float16"),
    24: BlockType("I8", 1, 1, "int8"),
    25: BlockType("I16", 1, 2, "int16"),
    26: BlockType("I32", 1, 4, "int32"),
    27: BlockType("I64", 1, 8, "int64"),
    28: BlockType("F64", 1, 8, "float64"),
    30: BlockType("BF16", 1, 2, "bfloat16"),
    39: BlockType("MXFP4", 32, 17),
    40: BlockType("NVFP4", 64, 36),
    2: BlockType("Q4_0", 32, 18),
    3: BlockType("Q4_1", 32, 20),
    6: BlockType("Q5_0", 32, 22),
    7: BlockType("Q5_1", 32, 24),
    8: BlockType("Q8_0", 32, 34),
    10: BlockType("Q2_K", 256, 84),
    11: BlockType("Q3_K", 256, 110),
    12: BlockType("Q4_K", 256, 144),
    13: BlockType("Q5_K", 256, 176),
    14: BlockType("Q6_K", 256, 210),
    16: BlockType("IQ2_XXS", 256, 66),
    17: BlockType("IQ2_XS", 256, 74),
    18: BlockType("IQ3_XXS", 256, 98),
    19: BlockType("IQ1_S", 256, 50),
    20: BlockType("IQ4_NL", 32, 18),
    21: BlockType("IQ3_S", 256, 110),
    22: BlockType("IQ2_S", 256, 82),
    23: BlockType("IQ4_XS", 256, 136),
    29: BlockType("IQ1_M", 256, 56),
    34: BlockType("TQ1_0", 256, 54),
    35: BlockType("TQ2_0", 256, 66),
}


class GgufTensor(Tensor):
    """A tensor of a GGUF file; ``kind`` is its block type. Only plain ones can be read as elements."""

    def __init__(self, file: PositionedFile, entry: GgufEntry, kind: BlockType, offset: int) -> None:
        super().__init__(TensorInfo(entry.name, entry.shape, kind.dtype or f"gguf {kind.name}"))
        self.kind = kind
        self._file = file
        self._offset = offset

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return self.info.size // self.kind.elements

    def read_blocks(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        """Blocks [start, stop) as bytes, shape (blocks, bytes of a block). Raises UnreadableError."""
        size = self.kind.size
        return self._file.read(self._offset + start * size, (stop - start) * size).reshape(-1, size)

    def _read(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        if self.kind.dtype is None:
            self._refuse()
        size = self.kind.size
        return decode(self._file.read(self._offset + start * size, (stop - start) * size), self.kind.dtype)

    def _refuse(self) -> NoReturn:
        raise UnreadableError(
            f"{self._file.label}: tensor '{shown(self.info.name, 80)}': {self.kind.name} blocks are not elements; "
            "exclude it or convert it"
        )


class GgufSource(Source):
    """A .gguf file: its tensors in file order, and its scalar ``metadata`` as text."""

    def __init__(self, path: Path) -> None:
        """Open ``path`` and check its header; raises UnreadableError naming what is wrong."""
        self._file = PositionedFile(path)
        super().__init__(self._file.label)
        try:
            header = read_header(self._file)
            self._tensors: list[Tensor] = [self._tensor(entry, header) for entry in header.entries]
            self._check_overlap(header)
        except BaseException:
            self._file.close()
            raise
        self.metadata = {key: str(value) for key, value in header.metadata.items()}

    def _tensor(self, entry: GgufEntry, header: GgufHeader) -> Tensor:
        where = f"{self.label}: tensor '{shown(entry.name, 80)}'"
        kind = BLOCK_TYPES.get(entry.kind, BlockType(f"type {entry.kind}", 1, 0))
        if entry.shape[-1] % kind.elements:
            raise UnreadableError(f"{where}: rows of {entry.shape[-1]} are not whole {kind.name} blocks")
        offset = header.data_offset + entry.offset
        end = offset + math.prod(entry.shape) // kind.elements * kind.size
        if end > self._file.size:
            raise UnreadableError(
                f"{where}: truncated: ends at byte {end} of a file of {self._file.size}; get a complete copy"
            )
        return GgufTensor(self._file, entry, kind, offset)

    def _check_overlap(self, header: GgufHeader) -> None:
        end, last = 0, ""
        for entry in sorted(header.entries, key=lambda entry: entry.offset):
            if entry.offset < end:
                raise UnreadableError(
                    f"{self.label}: tensor '{shown(entry.name, 80)}': its bytes overlap those of '{shown(last, 80)}'"
                )
            kind = BLOCK_TYPES.get(entry.kind)
            size = 0 if kind is None else math.prod(entry.shape) // kind.elements * kind.size
            end, last = entry.offset + size, entry.name

    def tensors(self) -> list[Tensor]:
        """The tensors in file order."""
        return list(self._tensors)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
