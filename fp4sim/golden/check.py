"""Holds a kernel's output on a pack, or on a stream, to what fp4sim computes: one ``verify`` a spec."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from fp4sim.errors import NothingComparedError, UnreadableError
from fp4sim.golden.actual import case_with, read_actual
from fp4sim.golden.stream import StreamReader
from fp4sim.io.files import shown
from fp4sim.report.golden_model import GoldenResult
from fp4sim.verifying.check import Options, verify_dump
from fp4sim.verifying.dump import Dump
from fp4sim.verifying.keys import parse_key

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import BinaryIO

    from fp4sim.golden.reader import Pack
    from fp4sim.spec import Spec
    from fp4sim.verifying.dump import Case


def check_pack(
    pack: Pack,
    actual: str | os.PathLike[str] | None = None,
    *,
    layout: str = "auto",
    threads: int | None = None,
    repro: Sequence[str] = (),
) -> GoldenResult:
    """Compare a kernel's output on every case of a pack; without ``actual``, the pack's own expected arrays.

    ``repro``: the command that led here, where that is not ``golden check``.

    Raises as :func:`fp4sim.golden.actual.read_actual`.
    """
    cases = read_actual(pack, actual)
    specs = [case.spec for case in pack.cases]
    words = repro or ["fp4sim", "golden", "check", pack.path, *([] if actual is None else [os.fspath(actual)])]
    return _check(list(zip(specs, cases, strict=True)), pack.path, shlex.join(words), pack.seed, layout, threads)


def check_stream(stream: BinaryIO, *, layout: str = "auto", threads: int | None = None) -> GoldenResult:
    """Compare what a kernel added to a stream. Raises UnreadableError for a stream that is cut off or malformed."""
    reader = StreamReader(stream)
    cases: list[tuple[Spec, Case]] = []
    silent = []
    for one in reader:
        outputs = {
            name: array
            for name, array in one.arrays.items()
            if (key := parse_key(name)) is not None and key.role != "x" and not key.case
        }
        if outputs:
            cases.append((one.spec, case_with(one.name, one.arrays["x"], outputs)))
        else:
            silent.append(one.name)
    if not cases:
        raise NothingComparedError("the stream holds no output of a kernel, e.g. 'array codes uint8 ...'")
    if silent:
        raise UnreadableError(f"the stream: no output for case '{shown(silent[0], 80)}'")
    specs = ",".join(dict.fromkeys(spec.short for spec, _ in cases))
    command = f"fp4sim golden make --stream --format {specs} --seed {reader.seed} | KERNEL | fp4sim golden check -"
    return _check(cases, "stream", command, reader.seed, layout, threads)


def _check(
    cases: Sequence[tuple[Spec, Case]], source: str, command: str, seed: int, layout: str, threads: int | None
) -> GoldenResult:
    from fp4sim import BITS_VERSION, __version__

    options = Options(layout=layout, seed=seed, threads=threads)
    results = []
    for spec in dict.fromkeys(spec for spec, _ in cases):
        dump = Dump(tuple(case for other, case in cases if other == spec), source)
        results.append(replace(verify_dump(dump, spec, options), repro=command))
    return GoldenResult(source, tuple(results), version=__version__, bits_version=BITS_VERSION)
