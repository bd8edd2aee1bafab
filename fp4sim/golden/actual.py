"""Reads what a kernel made of a pack: a folder with one folder a case, or one file with the arrays of all cases.

A case's folder holds ``codes``, ``block_scale``, ``tensor_scale`` (or ``divisor``) and ``dequantized``, any of them, as .bin
(raw, little-endian) or .npy; other names that ``fp4sim verify`` knows are read too. Of a .bin and a .npy the .bin counts.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.errors import NothingComparedError, UnreadableError
from fp4sim.io.dtypes import decode
from fp4sim.io.files import PositionedFile, shown, unreadable
from fp4sim.verifying.dump import Case
from fp4sim.verifying.keys import Role, names_of, parse_key

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.golden.reader import Pack, PackCase

_SUFFIXES = (".bin", ".npy")


def read_actual(pack: Pack, path: str | os.PathLike[str] | None) -> tuple[Case, ...]:
    """The kernel's output for every case of a pack, in order; the pack's own expected arrays for ``path`` None.

    Raises UnreadableError for a case without output and for what cannot be read, NothingComparedError where there is no
    output at all.
    """
    if path is None:
        found = {case.name: _expected(case) for case in pack.cases}
    elif Path(path).is_dir():
        found = {case.name: _folder(Path(path) / case.name, case) for case in pack.cases}
    else:
        found = _file(pack, Path(path))
    if not any(found.values()):
        raise NothingComparedError(
            f"{shown(os.fspath(path or pack.path))}: no output for any of {len(pack.cases)} cases, e.g."
            f" {shown(pack.cases[0].name, 80)}/codes.bin"
        )
    for case in pack.cases:
        if not found.get(case.name):
            where = shown(os.fspath(path or pack.path))
            raise UnreadableError(
                f"{where}: no output for case '{shown(case.name, 80)}'; name the codes {names_of('codes')}"
            )
    return tuple(case_with(case.name, case.arrays["x"].load(), found[case.name]) for case in pack.cases)


def case_with(name: str, x: NDArray[Any], outputs: dict[str, NDArray[Any]]) -> Case:
    """A case for verify, of its input and a kernel's named outputs. Raises UnreadableError for two of the same.

    Unlike in a dump, an output of NaN alone is no sign that nothing was written: NaN may be right for the input.
    """
    found: dict[Role, NDArray[Any]] = {}
    for key, array in outputs.items():
        parsed = parse_key(key)
        assert parsed is not None
        if parsed.role in found:
            raise UnreadableError(f"case '{shown(name, 80)}': two arrays are {parsed.role}: keep one of them")
        found[parsed.role] = array
    if "tensor_scale" in found and "divisor" in found:
        raise UnreadableError(f"case '{shown(name, 80)}': has a tensor scale and a divisor; keep one of them")
    return Case(
        name,
        x,
        (found["codes"],) if "codes" in found else (),
        found.get("block_scale"),
        found.get("divisor", found.get("tensor_scale")),
        "divisor" in found,
        found.get("dequantized"),
    )


def _expected(case: PackCase) -> dict[str, NDArray[Any]]:
    roles = {name: parse_key(name) for name in case.arrays}
    return {name: case.arrays[name].load() for name, key in roles.items() if key is not None and key.role != "x"}


def _folder(folder: Path, case: PackCase) -> dict[str, NDArray[Any]]:
    try:
        files = sorted(folder.iterdir()) if folder.is_dir() else []
    except OSError as error:
        raise unreadable(folder, error) from None
    found: dict[str, NDArray[Any]] = {}
    for suffix in reversed(_SUFFIXES):
        for file in files:
            key = parse_key(file.stem)
            if file.suffix == suffix and key is not None and key.role != "x" and not key.case:
                found[file.stem] = _raw(file, key.role, case) if suffix == ".bin" else _npy(file)
    return found


def _npy(file: Path) -> NDArray[Any]:
    from fp4sim.io.npy import NpySource

    with NpySource(file) as source:
        array = source.tensors()[0].read_all()
    return _as_bf16(array) if array.dtype == np.uint16 else array


def _as_bf16(array: NDArray[Any]) -> NDArray[Any]:
    import ml_dtypes

    return array.view(ml_dtypes.bfloat16)


def _raw(path: Path, role: Role, case: PackCase) -> NDArray[Any]:
    """A raw array: flat, of the only dtype that its role can have; values are float32 or bf16 by the file's size."""
    file = PositionedFile(path)
    try:
        dtype = raw_dtype(role, case, file.size)
        if file.size % np.dtype(dtype if dtype != "bfloat16" else "uint16").itemsize:
            raise UnreadableError(f"{file.label}: {file.size} bytes are no whole number of {dtype} elements")
        return decode(file.read(0, file.size), dtype)
    finally:
        file.close()


def raw_dtype(role: Role, case: PackCase, size: int) -> str:
    """The dtype of raw bytes by what they are."""
    spec = case.spec
    if role == "codes":
        return spec.element.code_dtype.name
    if role == "block_scale":
        return spec.scale.code_dtype.name if spec.scale is not None else "uint8"
    if role == "dequantized" and size == 2 * math.prod(case.arrays["x"].shape):
        return "bfloat16"
    return "float32"


def _file(pack: Pack, path: Path) -> dict[str, dict[str, NDArray[Any]]]:
    """Every case's arrays from one .safetensors or .npz file with names such as ``<case>.codes``."""
    from fp4sim.io.source import open_source

    names = {case.name for case in pack.cases}
    found: dict[str, dict[str, NDArray[Any]]] = {name: {} for name in names}
    with open_source(path) as source:
        for tensor in source.tensors():
            key = parse_key(tensor.info.name)
            if key is not None and key.case in names and key.role != "x":
                found[key.case][tensor.info.name[len(key.case) + 1 :]] = tensor.read_all()
    return found
