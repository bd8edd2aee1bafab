"""Sources to machine code, kept in a cache on disk: a file a source, target and set of options."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from threading import Lock

from fp4sim.kernels.cuda.nvrtc import find_nvrtc, release_of
from fp4sim.kernels.cuda.sources import headers, read_source

# Bits count: no contraction to fused multiply-adds, IEEE division and roots, subnormals kept.
OPTIONS = ("--fmad=false", "--prec-div=true", "--prec-sqrt=true", "--ftz=false", "-std=c++17")
_one_at_a_time = Lock()  # who comes second finds what the first has stored


def compile_source(
    name: str, arch: str, defines: Sequence[str] = (), *, driver_major: int | None = None
) -> tuple[bytes, Path | None]:
    """Machine code of a source and its file in the cache (None where the cache cannot be written).

    Args:
        name: a file of the source folder, e.g. ``panel.cu``.
        arch: the target, e.g. ``sm_90`` or ``sm_100a``.
        defines: macros, e.g. ``("WIDTH=16",)``.
        driver_major: CUDA major version of the driver that is to load the code; None where none is.

    Raises:
        DeviceError: no compiler that fits, or a source that does not compile.
    """
    nvrtc = find_nvrtc(driver_major)
    source = read_source(name)
    options = (*OPTIONS, f"--gpu-architecture={arch}", *(f"-D{define}" for define in defines))
    path = cache_folder() / f"{Path(name).stem}-{arch}-{_key(release_of(nvrtc, arch), source, options)}.cubin"
    with _one_at_a_time:
        with contextlib.suppress(OSError):
            return path.read_bytes(), path
        cubin = nvrtc.run(source, name, options)
        return cubin, path if _store(path, cubin) else None


def cache_folder() -> Path:
    """``$FP4SIM_CACHE_DIR``, else ``fp4sim`` in the user's cache folder."""
    chosen = os.environ.get("FP4SIM_CACHE_DIR")
    if chosen:
        return Path(chosen) / "cubin"
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "fp4sim" / "cubin"


def _key(release: str, source: str, options: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for part in (release, source, *(text for item in headers().items() for text in item), *options):
        digest.update(len(part).to_bytes(8, "little") + part.encode())
    return digest.hexdigest()[:32]


def _store(path: Path, content: bytes) -> bool:
    """Write whole or not at all; False where that cannot be done."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".part")
    except OSError:
        return False
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        return False
    return True


@lru_cache(maxsize=1)
def _own_folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="fp4sim-")


def uncached_file(name: str, cubin: bytes) -> Path:
    """A file of this process for machine code that the cache did not take; removed at exit."""
    path = Path(_own_folder().name) / f"{Path(name).stem}-{hashlib.sha256(cubin).hexdigest()[:16]}.cubin"
    path.write_bytes(cubin)
    return path
