"""Reader of .pt and .pth files through torch.load, tensors only and no code from the pickle."""

from __future__ import annotations

import io
import os
import re
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from fp4sim.errors import MissingExtraError, UnreadableError
from fp4sim.io.dtypes import PACKED_FP4, decode, is_readable, numpy_dtype, unpack_fp4
from fp4sim.io.files import regular_file_size, shown
from fp4sim.io.source import Source, Tensor, TensorInfo

# A pickle can refer to one list many times over; nothing real nests this much.
_MAX_NODES = 1_000_000
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_CAUSE = re.compile(r"WeightsUnpickler error: [^\n]*\S|Unsupported [^\n]*")


def _import_torch() -> Any:
    try:
        import torch
    except ImportError:
        raise MissingExtraError.of("torch", "torch", "reading .pt files") from None
    return torch


class TorchTensor(Tensor):
    """One tensor of a checkpoint; elements are views of torch's memory where its strides allow.

    Packed fp4 (two codes per element) is unpacked: the last axis is twice as long as torch says.
    """

    def __init__(self, name: str, tensor: Any, label: str) -> None:
        stored = str(tensor.dtype).removeprefix("torch.")
        shape = tuple(int(dim) for dim in tensor.shape)
        self._packed = stored == PACKED_FP4 and len(shape) > 0
        if self._packed:
            shape, stored = (*shape[:-1], 2 * shape[-1]), "float4_e2m1fn"
        super().__init__(TensorInfo(name, shape, stored))
        self._tensor = tensor.detach()
        self._where = f"{label}: tensor '{shown(name, 80)}'"
        self._lock = threading.Lock()
        self._flat: Any = None

    def _read(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        with self._lock:
            if self._flat is None:
                self._flat = self._bytes()
        itemsize = 1 if self._packed else numpy_dtype(self.info.dtype).itemsize
        if self._packed:
            first = start // 2
            return unpack_fp4(self._flat[first : (stop + 1) // 2])[start - 2 * first : stop - 2 * first]
        raw = self._flat[start * itemsize : stop * itemsize]
        return decode(raw, self.info.dtype, sys.byteorder)

    def _bytes(self) -> np.ndarray[Any, Any]:
        """All elements in row-major order as 1-D uint8: a view of contiguous tensors, else a copy."""
        torch = _import_torch()
        tensor = self._tensor
        if not is_readable(self.info.dtype) or tensor.layout != torch.strided or tensor.is_meta:
            raise UnreadableError(
                f"{self._where}: a {self.info.dtype} tensor of layout {tensor.layout} on {tensor.device} is not read; "
                "save a dense tensor of plain numbers"
            )
        held = tensor.untyped_storage().nbytes()
        if tensor.numel() * tensor.element_size() > held:
            raise UnreadableError(
                f"{self._where}: {tensor.numel()} elements over a storage of {held} bytes (an expanded view); "
                "save tensor.contiguous()"
            )
        try:
            flat = tensor.resolve_neg().contiguous().reshape(-1).view(torch.uint8)
            raw: np.ndarray[Any, Any] = flat.numpy()
        except Exception as error:
            raise UnreadableError(f"{self._where}: {_reason(error)}") from None
        view = raw.view()
        view.flags.writeable = False
        return view


class TorchSource(Source):
    """A checkpoint: its tensors in order, those of nested dicts and lists named by the path joined with dots."""

    def __init__(self, path: Path) -> None:
        """Load ``path``; raises UnreadableError for what torch refuses, MissingExtraError without torch."""
        regular_file_size(path)
        super().__init__(shown(str(path)))
        loaded = _load(_import_torch(), path, self.label)
        self._tensors: list[Tensor] = [
            TorchTensor(name, tensor, self.label) for name, tensor in _flatten(loaded, path.stem, self.label).items()
        ]

    def tensors(self) -> list[Tensor]:
        """The tensors in the order of the checkpoint."""
        return list(self._tensors)

    def close(self) -> None:
        """Let go of the checkpoint."""
        self._tensors = []


class _BoundedReader(io.BufferedReader):
    """A file whose ``read`` never allocates more than the file holds, whatever length a pickle claims."""

    def read(self, size: int | None = -1, /) -> bytes:
        held = max(0, os.fstat(self.fileno()).st_size - self.tell())
        return super().read(held if size is None or size < 0 else min(size, held))


def _load(torch: Any, path: Path, label: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's warnings concern its own deprecations, not the file
        try:
            with _BoundedReader(io.FileIO(path)) as file:
                # only the zip format, torch's own since 1.6, can be mapped
                if file.read(4) == b"PK\x03\x04":
                    return torch.load(str(path), map_location="cpu", weights_only=True, mmap=True)
                file.seek(0)
                return torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # torch documents no set of exceptions
            raise UnreadableError(f"{label}: torch cannot load it: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    text = _ANSI.sub("", str(error)).strip()
    if not isinstance(error, RuntimeError):  # the message of a KeyError or ValueError says little by itself
        text = f"{type(error).__name__}: {text}"
    cause = _CAUSE.search(text)
    return shown(cause[0] if cause else text.splitlines()[0] if text else "no reason given", 160)


def _flatten(loaded: Any, stem: str, label: str) -> dict[str, Any]:
    """Tensors by dotted name, in order; raises UnreadableError for two of one name and for endless nesting."""
    torch = _import_torch()
    found: dict[str, Any] = {}
    pending: list[tuple[str, Any]] = [("", loaded)]
    nodes = 0
    while pending:
        name, value = pending.pop()
        nodes += 1
        if nodes > _MAX_NODES:
            raise UnreadableError(f"{label}: more than {_MAX_NODES} nested values, or a value that holds itself")
        if isinstance(value, torch.Tensor):
            if name in found:
                raise UnreadableError(f"{label}: two tensors have the name '{shown(name, 80)}'")
            found[name or stem] = value
            continue
        if isinstance(value, dict):
            children = list(value.items())
        elif isinstance(value, (list, tuple)):
            children = list(enumerate(value))
        else:
            continue
        if nodes + len(pending) + len(children) > _MAX_NODES:
            raise UnreadableError(f"{label}: more than {_MAX_NODES} nested values, or a value that holds itself")
        prefix = f"{name}." if name else ""
        if len(prefix) > 10_000:
            raise UnreadableError(f"{label}: values nested too deeply, or a value that holds itself")
        pending.extend((f"{prefix}{key}", child) for key, child in reversed(children))
    return found
