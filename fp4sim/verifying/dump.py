"""A kernel's dump: named cases, each an input and what the kernel made of it. Read from files, or built from arrays."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.errors import NothingComparedError, UnreadableError
from fp4sim.io.files import shown
from fp4sim.panels import is_float, widen
from fp4sim.verifying.gemm_dump import Gemm, GemmRole, gemm_of, parse_gemm_key
from fp4sim.verifying.keys import Role, names_of, parse_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


_OUTPUTS: tuple[Role, ...] = ("codes", "block_scale", "tensor_scale", "divisor", "dequantized")


@dataclass(frozen=True, eq=False)
class Case:
    """One input and a kernel's output, the arrays as they were dumped.

    ``codes``: one array a draw (empty: not dumped). ``divides``: the tensor scale is a divisor; ``inverse``: which may be the
    rounded inverse of the multiplier as well. ``notes``: for the report. See
    :mod:`fp4sim.verifying.keys` for the names in files and :mod:`fp4sim.verifying.buffers` for shapes and dtypes.
    """

    name: str
    x: NDArray[Any]
    codes: tuple[NDArray[Any], ...] = ()
    block_scale: NDArray[Any] | None = None
    tensor_scale: NDArray[Any] | None = None
    divides: bool = False
    dequantized: NDArray[Any] | None = None
    gemm: Gemm | None = None
    inverse: bool = False
    notes: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The case for messages."""
        return f"case '{shown(self.name, 80)}'" if self.name else "the dump"


@dataclass(frozen=True)
class Dump:
    """The cases of one dump, ``path`` as it was given, and the arrays in it whose names say nothing."""

    cases: tuple[Case, ...]
    path: str = ""
    ignored: tuple[str, ...] = ()


def read_dump(path: str | os.PathLike[str]) -> Dump:
    """Read a dump: .safetensors, .npz, a JSON manifest of raw .bin files, or a folder of .npy files or such a manifest.

    Raises UnreadableError for what is missing, damaged or does not belong together, NothingComparedError for a dump
    without any output of a kernel.
    """
    text = os.fspath(path)
    arrays = read_arrays(Path(text))
    return dump_of(arrays, text)


def dump_of(arrays: dict[str, NDArray[Any]], path: str = "") -> Dump:
    """The cases of named arrays. Raises as :func:`read_dump`."""
    where = shown(path) if path else "the dump"
    found: dict[str, dict[Role, dict[int, str]]] = {}
    products: dict[str, dict[GemmRole, str]] = {}
    ignored = []
    for name in arrays:
        key = parse_key(name)
        if key is None:
            of_gemm = parse_gemm_key(name)
            if of_gemm is None:
                ignored.append(name)
            elif products.setdefault(of_gemm[0], {}).setdefault(of_gemm[1], name) != name:
                both = f"'{shown(products[of_gemm[0]][of_gemm[1]], 80)}' and '{shown(name, 80)}'"
                raise UnreadableError(f"{where}: {both} are both {of_gemm[1]}: keep one of them")
            continue
        draws = found.setdefault(key.case, {}).setdefault(key.role, {})
        draw = -1 if key.draw is None else key.draw
        if draw in draws:
            raise UnreadableError(
                f"{where}: '{shown(draws[draw], 80)}' and '{shown(name, 80)}' are both {key.role}: keep one of them"
            )
        draws[draw] = name
    for case in [case for case, roles in products.items() if "y" not in roles or case not in found]:
        ignored += products.pop(case).values()  # operands of nothing
    if not found:
        raise UnreadableError(f"{where}: holds no array of a known name; name the input {names_of('x')}")
    if not products and not any(role in roles for roles in found.values() for role in _OUTPUTS):
        raise NothingComparedError(
            f"{where}: holds inputs but no output of a kernel to compare; name the codes {names_of('codes')}"
        )
    cases = tuple(_case(name, roles, products.get(name, {}), arrays, where) for name, roles in sorted(found.items()))
    return Dump(cases, path, tuple(ignored))


def _case(
    name: str,
    roles: dict[Role, dict[int, str]],
    product: dict[GemmRole, str],
    arrays: dict[str, NDArray[Any]],
    where: str,
) -> Case:
    who = f"{where}: case '{shown(name, 80)}'" if name else where
    if "x" not in roles:
        raise UnreadableError(
            f"{who}: has no input; name it {names_of('x')}, or give a checkpoint's floats with --against"
        )
    if "tensor_scale" in roles and "divisor" in roles:
        raise UnreadableError(f"{who}: has a tensor scale and a divisor; keep one of them")

    def one(role: Role) -> NDArray[Any] | None:
        draws = roles.get(role)
        if draws is None:
            return None
        if len(draws) > 1:
            both = " and ".join(f"'{shown(found, 80)}'" for found in [*draws.values()][:2])
            raise UnreadableError(f"{who}: {both} are both {role}: draws are compared by their codes")
        found = next(iter(draws.values()))
        if filled:
            refuse_nan(arrays[found], f"{who}: '{shown(found, 80)}'")
        return arrays[found]

    x = input_of(arrays[next(iter(roles["x"].values()))], who)
    filled = refuse_nan(x, f"{who}: the input")
    for key, found in product.items():
        if filled and key in ("y", "w"):
            refuse_nan(arrays[found], f"{who}: '{shown(found, 80)}'")
    tensor_scale = one("tensor_scale")
    divisor = one("divisor")
    return Case(
        name,
        x,
        tuple(arrays[name] for _, name in sorted(roles.get("codes", {}).items())),
        one("block_scale"),
        divisor if tensor_scale is None else tensor_scale,
        divisor is not None,
        one("dequantized"),
        gemm_of({role: arrays[found] for role, found in product.items()}, who),
    )


def input_of(x: NDArray[Any], who: str) -> NDArray[Any]:
    """The input checked; 16-bit integers and raw pairs of bytes are the bits of bfloat16. Raises UnreadableError."""
    if x.dtype in (np.dtype(np.uint16), np.dtype("V2")):
        import ml_dtypes

        x = x.view(ml_dtypes.bfloat16)
    if not is_float(x.dtype.name):
        raise UnreadableError(f"{who}: the input has dtype {x.dtype.name}: dump float32, bfloat16 or float16")
    if not x.ndim or not x.size:
        raise UnreadableError(f"{who}: the input has shape {x.shape}: nothing in it to quantize")
    return x


def refuse_nan(array: NDArray[Any], who: str) -> bool:
    """Raise UnreadableError for an array of NaN alone: it was never filled. Returns whether all of it is finite.

    Outputs are asked only where the input is finite: a NaN in the input may well fill a tensor scale.
    """
    if not array.size or not is_float(array.dtype.name) or array.dtype.name.startswith("float4"):
        return True
    with np.errstate(invalid="ignore"):
        values = widen(array)
        if np.isnan(values.reshape(-1)[:1]).all() and np.isnan(values).all():
            raise UnreadableError(f"{who}: each of its {array.size:,} values is NaN: it was not filled")
        return bool(np.isfinite(values).all())


def is_known(name: str) -> bool:
    """Whether an array's name says what it is."""
    return parse_key(name) is not None or parse_gemm_key(name) is not None


def read_arrays(path: Path, known: Callable[[str], bool] = is_known) -> dict[str, NDArray[Any]]:
    """Every array of a file or folder by name; those of a file that are not ``known`` are empty, for they are not read."""
    from fp4sim.verifying import raw

    if path.suffix.lower() == ".json":
        return raw.read_manifest(path)
    try:
        is_folder = path.is_dir()
    except (OSError, ValueError):  # left to the reader, which says what is wrong with the path
        is_folder = False
    if is_folder:
        return _folder(path)
    from fp4sim.io.source import open_source

    with open_source(path) as source:
        return {
            tensor.info.name: tensor.read_all() if known(tensor.info.name) else np.zeros(0)
            for tensor in source.tensors()
        }


def _folder(path: Path) -> dict[str, NDArray[Any]]:
    from fp4sim.io.npy import NpySource
    from fp4sim.verifying import raw

    manifest = path / raw.MANIFEST
    if manifest.exists():
        return raw.read_manifest(manifest)
    files = sorted(path.glob("*.npy"))
    if not files:
        raise UnreadableError(
            f"{shown(str(path))}: a folder without .npy files and without {raw.MANIFEST}; a checkpoint needs --against FLOATS"
        )
    arrays = {}
    for file in files:
        with NpySource(file) as source:
            arrays[file.stem] = source.tensors()[0].read_all()
    return arrays
