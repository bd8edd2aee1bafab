"""Where the CUDA C++ sources are: in the package (an installed wheel) or beside it (a checkout, an editable install)."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from fp4sim.errors import DeviceError

_MARK = "codec.cuh"


@lru_cache(maxsize=1)
def source_folder() -> Path:
    """The folder of ``*.cu`` and ``*.cuh``. Raises DeviceError where an installation left it out."""
    package = Path(__file__).resolve().parents[2]
    for folder in (package / "_cuda", package.parent / "cuda"):
        if (folder / _MARK).is_file():
            return folder
    raise DeviceError(f"the CUDA sources are missing from {package}: reinstall fp4sim from its wheel")


def read_source(name: str) -> str:
    """A source file's text, e.g. ``panel.cu``. Raises DeviceError if there is none of that name."""
    try:
        return (source_folder() / name).read_text(encoding="utf-8")
    except OSError:
        raise DeviceError(f"there is no CUDA source {name} in {source_folder()}") from None


def headers() -> dict[str, str]:
    """Every header by name, in a fixed order: what a source may include."""
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(source_folder().glob("*.cuh"))}
