"""The dialects that a dump can be compared with: those of this version that compute the spec's format."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from fp4sim.dialects.registry import available
from fp4sim.errors import Fp4simError
from fp4sim.estimators.pipeline import check_spec
from fp4sim.spec_names import DIALECT_ROWS

if TYPE_CHECKING:
    from fp4sim.spec import Spec


def others(spec: Spec) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """(name with flags, dialect, flags) of each other dialect that computes the format of ``spec``, its own variants first."""
    for found in sorted(variants(spec), key=lambda variant: variant.dialect != spec.dialect):
        if (found.dialect, found.dialect_flags) != (spec.dialect, spec.dialect_flags):
            yield ":".join([found.dialect, *found.dialect_flags]), found.dialect, found.dialect_flags


@lru_cache(maxsize=64)
def variants(spec: Spec) -> tuple[Spec, ...]:
    """``spec`` under every dialect and flag that computes it."""
    found = []
    for name in available():
        row = DIALECT_ROWS[name]
        if row.cast_only and spec.scale is not None:
            continue
        for flags in ((), *((flag,) for flag in row.flags)):
            variant = replace(spec, dialect=name, dialect_flags=flags)
            if _computes(variant):
                found.append(variant)
    return tuple(found)


def _computes(spec: Spec) -> bool:
    """Whether this version computes a spec, tried on a little tensor."""
    import numpy as np

    from fp4sim.io.source import ArrayTensor
    from fp4sim.packing import quantize_tensor

    try:
        check_spec(spec)
        rows = spec.block.rows if spec.block.kind == "tile" else 1
        sample = np.linspace(-3, 3, rows * 128, dtype=np.float32).reshape(rows, 128)
        given = np.float32(1) if spec.tensor_scale.mode == "given" else None
        quantize_tensor(ArrayTensor("", sample), spec, tensor_scale=None if given is None else np.asarray(given))
    except Fp4simError:
        return False
    return True
