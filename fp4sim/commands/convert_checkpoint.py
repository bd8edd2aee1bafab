"""What ``fp4sim convert`` does: a float, packed or quantized checkpoint in, a compressed-tensors or ModelOpt folder out."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fp4sim.checkpoints.config import read_config
from fp4sim.checkpoints.write import TARGETS, arrays_of, documents
from fp4sim.commands.convert_source import Selection, read_weights
from fp4sim.errors import NothingComparedError, UsageError
from fp4sim.io.files import shown
from fp4sim.io.target import check_writable
from fp4sim.io.writer import write_atomically, write_safetensors
from fp4sim.panels import is_float

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from fp4sim.checkpoints.write import Arrays, StoredWeight, Target

WEIGHTS_FILE = "model.safetensors"


@dataclass(frozen=True)
class ConvertSummary:
    """What was written: weights by format, tensors copied, files, and bytes of the weights file."""

    format: str
    quantized: int
    copied: int
    files: tuple[str, ...]
    bytes_out: int


def convert_checkpoint(
    path: str | os.PathLike[str], out: str | os.PathLike[str], target: Target, selection: Selection | None = None
) -> ConvertSummary:
    """Write ``out``, a new folder, whole or not at all.

    Raises UsageError for a target that exists or what the layout has no place for, UnreadableError for damaged data,
    NothingComparedError where nothing would be quantized.
    """
    if target not in TARGETS:
        raise UsageError(f"unknown layout {target!r}; convert writes {' and '.join(TARGETS)}")
    folder = _new_folder(Path(out))
    weights, copied = read_weights(path, selection or Selection(), target)
    if not weights:
        raise NothingComparedError(f"nothing to convert in {shown(os.fspath(path))}: no weight was selected")
    formats = {weight.format for weight in weights}
    if len(formats) > 1:
        raise UsageError(f"{shown(os.fspath(path))} holds {' and '.join(sorted(formats))}; convert writes one format")
    arrays = _arrays(weights, copied, target)
    config = read_config(Path(path)).documents.get("config.json", {}) if Path(path).exists() else {}
    files = documents(target, weights[0].format, _ignored(copied), dict(config))
    size = _write(folder, arrays, files)
    return ConvertSummary(weights[0].format, len(weights), len(copied), (WEIGHTS_FILE, *files), size)


def _new_folder(folder: Path) -> Path:
    where = f"cannot write {shown(str(folder))}"
    check_writable(folder, folder=True)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{where}: it exists; name a new folder")
    return folder


def _arrays(weights: Sequence[StoredWeight], copied: Arrays, target: Target) -> Arrays:
    arrays: Arrays = {}
    every: Iterable[tuple[str, NDArray[Any]]] = (pair for one in weights for pair in arrays_of(one, target).items())
    for source in (every, copied.items()):
        for name, array in source:
            if name in arrays:
                raise UsageError(f"the key '{shown(name, 80)}' would be written twice: rename one of its tensors")
            arrays[name] = array
    return arrays


def _ignored(copied: Arrays) -> list[str]:
    """Modules whose matrices stay as they are."""
    matrices = [name for name, array in copied.items() if array.ndim > 1 and is_float(array.dtype.name)]
    return sorted(name.removesuffix(".weight") for name in matrices)


def _write(folder: Path, arrays: Arrays, files: dict[str, dict[str, Any]]) -> int:
    """Fill a temporary folder beside the target, and give it the target's name when it is complete."""
    temporary = folder.with_name(f".{folder.name[:100]}.{secrets.token_hex(6)}.tmp")
    try:
        temporary.mkdir()
        write_safetensors(temporary / WEIGHTS_FILE, arrays, {"format": "pt"})
        for name, document in files.items():
            with write_atomically(temporary / name, "w") as file:
                file.write(json.dumps(document, indent=2, allow_nan=False) + "\n")
        size = (temporary / WEIGHTS_FILE).stat().st_size
        os.replace(temporary, folder)
    except OSError as error:
        raise UsageError(f"cannot write {shown(str(folder))}: {shown(error.strerror or str(error)).lower()}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return size


__all__ = ["ConvertSummary", "Selection", "convert_checkpoint"]
