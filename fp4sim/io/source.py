"""What a reader offers: a source of named tensors, listed cheaply and read in ranges."""

from __future__ import annotations

import fnmatch
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from fp4sim.errors import UnreadableError, UsageError
from fp4sim.io.files import regular_file_size, shown

SUFFIXES = (".npy", ".npz", ".safetensors", ".safetensors.index.json", ".gguf", ".pt", ".pth")


@dataclass(frozen=True)
class TensorInfo:
    """What is known of a tensor before it is read; ``dtype`` is a numpy or ml_dtypes dtype name."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


class Tensor(ABC):
    """One tensor, not yet read. Reads are safe from several threads; what they return is not to be written to.

    ``load_whole``: reading it in pieces gains nothing (it is in memory) or costs much (a compressed stream).
    ``on_gpu``: it lies there, and reading copies it to the host.
    ``note``: what was done to the stored elements before they are read, for reports to repeat.
    """

    load_whole = False
    on_gpu = False
    note = ""

    def __init__(self, info: TensorInfo) -> None:
        self.info = info

    def read(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        """Elements [start, stop) in row-major order: 1-D, of the tensor's own dtype.

        Raises UsageError for a range outside the tensor, UnreadableError where the file does not hold it.
        """
        if not 0 <= start <= stop <= self.info.size:
            name = shown(self.info.name)
            raise UsageError(f"tensor '{name}': range [{start}, {stop}) is outside its {self.info.size} elements")
        return self._read(start, stop)

    def read_all(self) -> np.ndarray[Any, Any]:
        """The whole tensor in its shape and dtype; raises UnreadableError as ``read`` does."""
        return self._read(0, self.info.size).reshape(self.info.shape)

    def place(self) -> AbstractContextManager[None]:
        """The context in which work on the tensor is done: a GPU's, for one that lies there."""
        return nullcontext()

    @abstractmethod
    def _read(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        """``read`` with the range already checked."""


class ArrayTensor(Tensor):
    """A tensor that is already a numpy array; reads are read-only views of it where its layout allows."""

    load_whole = True

    def __init__(self, name: str, array: np.ndarray[Any, Any]) -> None:
        super().__init__(TensorInfo(name, tuple(array.shape), array.dtype.name))
        self._array = array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))

    def read_all(self) -> np.ndarray[Any, Any]:
        """The array itself, as a read-only view."""
        view = self._array.view()
        view.flags.writeable = False
        return view

    def _read(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        if not self._array.flags.c_contiguous:
            return self._array.flat[start:stop]
        view = self._array.reshape(-1)[start:stop]
        view.flags.writeable = False
        return view


@contextmanager
def naming(label: str, among: int) -> Iterator[None]:
    """Inside, an unreadable tensor's error names the source that it is of, where there are several."""
    try:
        yield
    except UnreadableError as error:
        if among == 1 or label in str(error):
            raise
        raise UnreadableError(f"{shown(label)}: {error}") from None


class Source(ABC):
    """Something that holds tensors. Use it as a context manager, or call ``close``."""

    def __init__(self, label: str) -> None:
        self.label = label

    @abstractmethod
    def tensors(self) -> list[Tensor]:
        """All tensors in file order, from headers alone."""

    def close(self) -> None:
        """Release the file, if there is one; tensors of this source cannot be read afterwards."""
        return

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class ListSource(Source):
    """A source over tensors that need no file."""

    def __init__(self, label: str, tensors: Sequence[Tensor]) -> None:
        super().__init__(label)
        self._tensors = list(tensors)

    def tensors(self) -> list[Tensor]:
        """The tensors in the order given."""
        return list(self._tensors)


def select(tensors: Sequence[Tensor], include: Sequence[str] = (), exclude: Sequence[str] = ()) -> list[Tensor]:
    """Tensors whose name matches any ``include`` glob (all, when none is given) and no ``exclude`` glob.

    Globs are those of ``fnmatch``, case-sensitive; the order is kept.
    """

    def matches(name: str, globs: Sequence[str]) -> bool:
        return any(fnmatch.fnmatchcase(name, glob) for glob in globs)

    return [
        tensor
        for tensor in tensors
        if (not include or matches(tensor.info.name, include)) and not matches(tensor.info.name, exclude)
    ]


def open_source(spec: str | os.PathLike[str], *, dtype: str | None = None) -> Source:
    """Open a file, a folder of safetensors shards, or a ``synthetic[:...]`` name.

    ``dtype`` reinterprets raw unsigned integers (uint16 as bfloat16, uint8 as float8_e4m3fn, ...).
    Raises UnreadableError for what is missing or damaged, UsageError for an unknown synthetic name or a dtype
    that does not fit, MissingExtraError for .pt without torch.
    """
    from fp4sim.io.reinterpret import reinterpreted

    source = _open(spec)
    if dtype is None:
        return source
    try:
        return reinterpreted(source, dtype)
    except BaseException:
        source.close()
        raise


def _open(spec: str | os.PathLike[str]) -> Source:
    from fp4sim.io import gguf, npy, npz, safetensors, sharded, synthetic, torch_pt

    text = os.fspath(spec)
    if isinstance(spec, str) and (text == "synthetic" or text.startswith("synthetic:")):
        return synthetic.open_synthetic(text)
    if not text:
        raise UsageError("an empty path names no file")
    path = Path(text)
    name = path.name.lower()
    try:
        is_folder = path.is_dir()
    except (OSError, ValueError):  # left to the reader, which says what is wrong with the path
        is_folder = False
    if is_folder:
        return sharded.open_folder(path)
    if name.endswith(".safetensors.index.json"):
        return sharded.open_index(path)
    if name.endswith(".safetensors"):
        return safetensors.SafetensorsSource(path)
    if name.endswith(".npy"):
        return npy.NpySource(path)
    if name.endswith(".npz"):
        return npz.NpzSource(path)
    if name.endswith(".gguf"):
        return gguf.GgufSource(path)
    if name.endswith((".pt", ".pth")):
        return torch_pt.TorchSource(path)
    regular_file_size(path)  # a missing file is missing before it is of an unknown kind
    raise UnreadableError(
        f"{shown(text)}: not a known suffix; read are {', '.join(SUFFIXES)}, a folder of .safetensors, or synthetic"
    )
