"""Packs as folders: raw little-endian .bin and .npy of every array, and manifest.json with their hashes."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim import BITS_VERSION, __version__
from fp4sim.errors import UsageError
from fp4sim.io.files import shown
from fp4sim.io.target import check_writable
from fp4sim.report.json_text import strict_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.golden.cases import GoldenCase

SCHEMA = "fp4sim.golden/1"
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Written:
    """What was made: cases, files and bytes."""

    cases: int
    files: int
    bytes: int


def write_pack(folder: str | os.PathLike[str], cases: Iterable[GoldenCase], seed: int) -> Written:
    """Write a pack, whole or not at all. Raises UsageError where something is there already or nothing can be written."""
    target = Path(folder)
    _check_free(target)
    temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(6)}.tmp")
    try:
        temporary.mkdir()
        written = _fill(temporary, cases, seed)
        os.replace(temporary, target)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if isinstance(error, OSError) and error.errno != errno.ENOSPC:
            raise UsageError(f"cannot write {shown(str(target))}: {(error.strerror or str(error)).lower()}") from None
        raise
    return written


def _check_free(target: Path) -> None:
    check_writable(target, folder=True)
    try:
        taken = target.exists() and (not target.is_dir() or any(target.iterdir()))
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot write {shown(str(target))}: {shown(str(error))}") from None
    if taken:
        raise UsageError(f"cannot write {shown(str(target))}: it is there already; remove it or choose another folder")


def _fill(root: Path, cases: Iterable[GoldenCase], seed: int) -> Written:
    entries, files, size = [], 0, 0
    for case in cases:
        folder = root / case.name
        folder.mkdir(parents=True)
        arrays = {}
        for name, array in case.arrays.items():
            raw, npy = raw_bytes(array), npy_bytes(array)
            (folder / f"{name}.bin").write_bytes(raw)
            (folder / f"{name}.npy").write_bytes(npy)
            arrays[name] = {
                "file": f"{case.name}/{name}.bin",
                "dtype": array.dtype.name,
                "shape": list(array.shape),
                "sha256": hashlib.sha256(raw).hexdigest(),
                "npy": f"{case.name}/{name}.npy",
                "npy_sha256": hashlib.sha256(npy).hexdigest(),
            }
            files, size = files + 2, size + len(raw) + len(npy)
        entries.append(
            {
                "name": case.name,
                "spec": str(case.spec),
                "format": case.spec.short,
                "stimulus": case.stimulus,
                "axis": -1,
                "arrays": arrays,
            }
        )
    manifest = {
        "schema": SCHEMA,
        "generator": f"fp4sim {__version__}",
        "version": __version__,
        "BITS_VERSION": BITS_VERSION,
        "seed": seed,
        "specs": list(dict.fromkeys(str(entry["spec"]) for entry in entries)),
        "stimuli": list(dict.fromkeys(str(entry["stimulus"]) for entry in entries)),
        "cases": entries,
    }
    text = strict_json(manifest)
    (root / MANIFEST).write_text(text, encoding="utf-8", newline="\n")
    return Written(len(entries), files + 1, size + len(text))


def raw_bytes(array: NDArray[Any]) -> bytes:
    """The elements in C order, little-endian."""
    contiguous = np.ascontiguousarray(array)
    if sys.byteorder == "big" and contiguous.itemsize > 1:
        contiguous = contiguous.view(f"u{contiguous.itemsize}").byteswap()
    return contiguous.tobytes()


def npy_bytes(array: NDArray[Any]) -> bytes:
    """A .npy file that every numpy reads: bf16 as the uint16 of its bits."""
    import io

    plain = array.view(np.uint16) if array.dtype.name == "bfloat16" else array
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(plain, order="C"), version=(1, 0), allow_pickle=False)
    return buffer.getvalue()
