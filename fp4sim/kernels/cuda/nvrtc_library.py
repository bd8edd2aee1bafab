"""NVRTC by ctypes, from a file: a release other than the one that a binding brings, to see whether it takes the sources.

The functions are those of nvrtc.h (NVIDIA's NVRTC documentation, "User Interface").
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fp4sim.errors import DeviceError
from fp4sim.kernels.cuda.nvrtc import Nvrtc, refused
from fp4sim.kernels.cuda.sources import headers


def load_nvrtc(path: Path) -> Nvrtc:
    """The compiler that is the library ``path``, e.g. ``libnvrtc.so.13`` or ``nvrtc64_130_0.dll``.

    Raises:
        DeviceError: the file is not there or is not NVRTC, or the library of built-in functions is not beside it.
    """
    place = Path(os.path.realpath(path))  # unlike Path.resolve it raises nothing of links in a circle
    library = _Library(path, _load(place))
    version = library.version()
    builtins = place.with_name(builtins_name(place.name, version))
    if not builtins.is_file():
        raise DeviceError(f"NVRTC {version[0]}.{version[1]} needs {builtins.name} in its own folder, {place.parent}")
    # NVRTC opens it by its name alone and takes what is loaded under it: no search path is needed, but two patch levels of
    # one release in one process would share it.
    _load(builtins)
    return Nvrtc(str(path), version, library.run)


def builtins_name(name: str, version: tuple[int, int]) -> str:
    """The file of built-in functions that goes with a library's file, as NVIDIA's wheels name it."""
    major, minor = version
    if name.endswith(".dll"):
        return f"nvrtc-builtins64_{major}{minor}.dll"
    return f"libnvrtc-builtins{'.alt' if '.alt.' in name else ''}.so.{major}.{minor}"


def _load(path: Path) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise DeviceError(f"{path} cannot be loaded as a library: {error}") from None


@dataclass(frozen=True)
class _Library:
    path: Path
    handle: ctypes.CDLL

    def version(self) -> tuple[int, int]:
        major, minor = ctypes.c_int(), ctypes.c_int()
        self.call("nvrtcVersion", ctypes.byref(major), ctypes.byref(minor))
        return major.value, minor.value

    def function(self, name: str) -> Callable[..., int]:
        found: Callable[..., int] | None = getattr(self.handle, name, None)
        if found is None:
            raise DeviceError(f"{self.path} is not NVRTC 11.1 or later: it has no function {name}")
        return found

    def call(self, function: str, *args: Any) -> None:
        error = self.function(function)(*args)
        if error != 0:
            raise DeviceError(f"NVRTC: {function} failed (error {error})")

    def run(self, source: str, name: str, options: Sequence[str]) -> bytes:
        included, program = headers(), ctypes.c_void_p()
        count, texts, names = len(included), _strings(included.values()), _strings(included)
        self.call("nvrtcCreateProgram", ctypes.byref(program), source.encode(), name.encode(), count, texts, names)
        try:
            if self.function("nvrtcCompileProgram")(program, len(options), _strings(options)) != 0:
                raise refused(name, self._read(program, "ProgramLog").decode(errors="replace"))
            return self._read(program, "CUBIN")
        finally:
            self.function("nvrtcDestroyProgram")(ctypes.byref(program))

    def _read(self, program: ctypes.c_void_p, what: str) -> bytes:
        size = ctypes.c_size_t()
        self.call(f"nvrtcGet{what}Size", program, ctypes.byref(size))
        content = ctypes.create_string_buffer(size.value)
        self.call(f"nvrtcGet{what}", program, content)
        return content.raw


def _strings(texts: Iterable[str]) -> ctypes.Array[ctypes.c_char_p]:
    encoded = [text.encode() for text in texts]
    return (ctypes.c_char_p * len(encoded))(*encoded)
