"""Products by parts of K on the GPU: a chain a part, joined in float32, then the epilogue; and epilogues of factors a row.

A part's sum joins what is before it in the epilogue of its own chain, fl(sum * 1 + before), to nearest even. A NaN that the GPU
makes has the bits 0x7fffffff.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fp4sim.kernels.cuda import load
from fp4sim.kernels.cuda.gemm import Path, multiply
from fp4sim.kernels.cuda.gemm_launch import OUTS, Epilogue, Rule, launch, tail

if TYPE_CHECKING:
    from collections.abc import Sequence

_COLUMNS = 1024  # as in the source
_STEP = 64  # elements


def multiply_parts(
    a: tuple[Any, Any],
    b: tuple[Any, Any],
    rule: Rule,
    parts: Sequence[slice],
    *,
    backward: bool = False,
    start: Any = None,
    epilogue: Epilogue | None = None,
    path: Path = "proven",
) -> Any:
    """As :func:`fp4sim.kernels.cuda.gemm.multiply`, with K in ``parts``, slices of steps.

    ``backward``: sums are joined from the last part on. ``start``: where the first part's chain begins.
    """
    finish = epilogue or Epilogue()
    if len(parts) == 1 and finish.scales is None:
        return multiply(a, b, rule, start=start, epilogue=finish, path=path)
    sums = None
    for part in reversed(parts) if backward else parts:
        left, right = (_part(*operand, part, rule.block) for operand in (a, b))
        begun = start if part.start == 0 else None
        sums = multiply(left, right, rule, start=begun, epilogue=Epilogue(c=sums), path=path)
    return sums if finish.is_plain else finished(sums, finish)


def finished(sums: Any, finish: Epilogue) -> Any:
    """The epilogue of float32 sums (M, N)."""
    (m, n), scales = sums.shape, finish.scales or (0, 0)
    with load.device_errors():
        out = load.get_cupy().empty((m, n), OUTS[finish.out])
        if out.size:
            launch("gemm_finish", m * -(-n // _COLUMNS), 256, (sums, *scales, *tail(replace(finish, scales=None), out)))
        return out


def _part(codes: Any, scales: Any, steps: slice, block: int) -> tuple[Any, Any]:
    """Some steps of an operand."""
    cupy = load.get_cupy()
    ends = [(steps.start * _STEP // unit, steps.stop * _STEP // unit) for unit in (2, block)]
    pieces = (array[:, first:last] for array, (first, last) in zip((codes, scales), ends, strict=True))
    left, right = (cupy.ascontiguousarray(piece) for piece in pieces)
    return left, right
