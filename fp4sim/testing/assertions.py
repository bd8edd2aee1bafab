"""Assertions of bit equality whose message says what is wrong, where, and why."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.testing.arrays import host_array, named_arrays
from fp4sim.testing.message import failure_message, unequal_message

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.report.verify_model import VerifyResult
    from fp4sim.spec import Spec
    from fp4sim.verifying.keys import Role

DUMP_FOLDER = "FP4SIM_DUMP"


def check_bits(
    actual: Any,
    x: Any,
    spec: str | Spec = "nvfp4",
    *,
    axis: int = -1,
    layout: str = "auto",
    padding: str = "zero",
    seed: int = 0,
    name: str = "",
    explain: bool = True,
    threads: int | None = None,
) -> VerifyResult:
    """Hold a kernel's output to fp4sim's; the result is true where every bit is right.

    Args:
        actual: see :func:`fp4sim.testing.arrays.named_arrays`; numpy, torch, cupy or DLPack, on any device.
        x: what was quantized.
        spec: what the kernel computes.
        axis, layout, padding, seed, threads: as of ``fp4sim verify``.
        name: of the case in the result.
        explain: look for the cause of a mismatch.

    Raises:
        UsageError, SpecError for arguments; UnreadableError for shapes and dtypes that do not fit x.
    """
    from fp4sim.grammar import parse
    from fp4sim.verifying.check import Options, verify_dump
    from fp4sim.verifying.dump import Case, Dump, input_of

    arrays, given = named_arrays(actual), host_array(x)
    parsed = parse(spec) if isinstance(spec, str) else spec
    case = Case(
        name,
        input_of(given, "x"),
        (arrays["codes"],) if "codes" in arrays else (),
        arrays.get("block_scale"),
        arrays.get("divisor", arrays.get("tensor_scale")),
        "divisor" in arrays,
        arrays.get("dequantized"),
    )
    options = Options(axis=axis, layout=layout, padding=padding, seed=seed, explain=explain, threads=threads)
    result = verify_dump(Dump((case,)), parsed, options)
    return result if result.ok else replace(result, repro=_repro(result, {"x": case.x, **arrays}))


def assert_bit_exact(actual: Any, x: Any, spec: str | Spec = "nvfp4", *, msg: str = "", **options: Any) -> None:
    """Raise AssertionError unless a kernel's output of ``x`` has the bits of ``spec``. Arguments as :func:`check_bits`.

    With FP4SIM_DUMP=FOLDER in the environment a failing case is saved there, for ``fp4sim verify``.
    """
    __tracebackhide__ = True
    result = check_bits(actual, x, spec, **options)
    if not result.ok:
        raise AssertionError(failure_message(result, msg))


def assert_quantized_equal(actual: Any, expected: Any, *, msg: str = "") -> None:
    """Raise AssertionError unless two quantized tensors have the same bits, part by part.

    Both in any form that :func:`fp4sim.testing.arrays.named_arrays` reads; both must hold the same parts.
    """
    __tracebackhide__ = True
    found, wanted = named_arrays(actual), named_arrays(expected)
    problems = []
    for role in dict.fromkeys((*wanted, *found)):
        if role not in found or role not in wanted:
            problems.append(f"{role}: only {'expected' if role in wanted else 'actual'} has it")
        else:
            problems += _differences(role, found[role], wanted[role])
    if problems:
        raise AssertionError(unequal_message(problems, msg))


def _differences(role: Role, found: NDArray[Any], wanted: NDArray[Any]) -> list[str]:
    """Lines on how two arrays of raw bits differ; values of NaN are equal whatever their bits."""
    if found.shape != wanted.shape:
        return [f"{role}: shape {found.shape}, expected {wanted.shape}"]
    if found.dtype.itemsize != wanted.dtype.itemsize:
        return [f"{role}: dtype {found.dtype}, expected {wanted.dtype}"]
    bits = np.dtype(f"u{wanted.dtype.itemsize}")
    a, b = np.ascontiguousarray(found), np.ascontiguousarray(wanted)
    wrong = a.view(bits) != b.view(bits)
    if role in ("tensor_scale", "divisor", "dequantized"):
        with np.errstate(invalid="ignore"):
            wrong &= ~((a != a) & (b != b))
    if not wrong.any():
        return []
    at = tuple(int(i) for i in np.unravel_index(int(np.argmax(wrong)), wrong.shape))
    count = int(np.count_nonzero(wrong))
    share = f"Mismatched {role}: {count} / {wrong.size} ({100 * count / wrong.size:.1f}%)"
    as_bits = role in ("codes", "block_scale")
    first = (f"{int(a.view(bits)[at]):#04x}", f"{int(b.view(bits)[at]):#04x}") if as_bits else (a[at], b[at])
    return [f"{share}, first at index {at}: {first[0]}, expected {first[1]}"]


def _repro(result: VerifyResult, arrays: dict[Any, NDArray[Any]]) -> str:
    """The command that repeats a check of arrays in memory: on the file that they were saved to, if they were."""
    command = result.repro.replace(" DUMP ", " FILE ", 1)
    folder = os.environ.get(DUMP_FOLDER)
    if not folder:
        return f"{command}  (run with {DUMP_FOLDER}=FOLDER to save FILE)"
    from fp4sim.errors import UsageError
    from fp4sim.io.writer import write_safetensors

    digest = hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays.values())).hexdigest()
    path = Path(folder) / f"fp4sim-{digest[:12]}.safetensors"
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        write_safetensors(path, {str(name): np.atleast_1d(array) for name, array in arrays.items()})
    except (OSError, UsageError) as error:
        return f"{command}  (not saved: {error})"
    import shlex

    return command.replace(" FILE ", f" {shlex.quote(str(path))} ", 1)
