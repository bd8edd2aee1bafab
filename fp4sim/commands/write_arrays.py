"""Arrays to a file by its suffix: .safetensors, .npz, or .npy for a single one."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.errors import UsageError
from fp4sim.io.files import shown
from fp4sim.io.writer import write_atomically, write_safetensors

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from numpy.typing import NDArray

ARRAY_SUFFIXES = (".safetensors", ".npz", ".npy")
_NEVER = (1980, 1, 1, 0, 0, 0)  # the earliest time that zip knows: equal input gives equal bytes


def write_arrays(
    path: str | os.PathLike[str], arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str] | None = None
) -> None:
    """Write ``arrays`` atomically; ``metadata`` goes where the format has a place for it.

    Raises UsageError for what the format cannot hold: several tensors in .npy, ml_dtypes types in numpy's formats.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".safetensors":
        write_safetensors(path, arrays, metadata)
        return
    for name, array in arrays.items():
        if array.dtype.isbuiltin != 1:  # ml_dtypes register theirs as 2
            raise UsageError(
                f"tensor '{shown(name, 80)}': numpy files have no {array.dtype.name}; write .safetensors or another --dtype"
            )
    if suffix == ".npz":
        _write_npz(path, arrays)
        return
    if len(arrays) != 1:
        raise UsageError(f".npy holds one tensor, here are {len(arrays)}; write .safetensors or .npz")
    with write_atomically(path) as file:
        np.save(file, next(iter(arrays.values())), allow_pickle=False)


def _write_npz(path: str | os.PathLike[str], arrays: Mapping[str, NDArray[Any]]) -> None:
    # np.savez takes names as keywords, of which one called "file" would be lost
    with write_atomically(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            if not name or "\0" in name:
                raise UsageError(f"tensor '{shown(name, 80)}': its name cannot stand in .npz; write .safetensors")
            with archive.open(zipfile.ZipInfo(f"{name}.npy", _NEVER), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
