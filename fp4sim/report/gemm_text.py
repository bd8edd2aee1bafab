"""A verified GEMM output as text: how many elements are bit for bit a model's, possible in another order, or neither."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fp4sim.report.cells import count_of, safe_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fp4sim.report.verify_model import GemmResult

_INDENT = "  "


def gemm_verdict(found: Sequence[GemmResult]) -> str:
    """What holds of outputs that are all possible; empty where there are none."""
    if not found:
        return ""
    total = sum(one.total for one in found)
    by_bound = sum(one.total for one in found if one.method == "bound")
    equal = sum(one.equal or 0 for one in found)
    parts = []
    if equal:
        parts.append(f"{equal:,} bit for bit {found[0].model or next(one.model for one in found if one.model)}")
    if total - by_bound - equal:
        parts.append(f"{total - by_bound - equal:,} inside what any order of its steps could give")
    if by_bound:
        parts.append(f"{by_bound:,} within the bound of FP32 accumulation, not bit for bit")
    return f"{count_of(total, 'GEMM output')}: {', '.join(parts)}"


def gemm_lines(found: GemmResult) -> Iterator[str]:
    """A GEMM output: what was found, what of it is not possible, and which models it obeys."""
    rows, cols, depth = found.shape
    head = f"GEMM output, M {rows:,}, N {cols:,}, K {depth:,}, {found.dtype}"
    worst = "not finite" if found.worst is None else f"{found.worst:.3g} of the bound"
    error = "" if found.error is None else f" ({found.error:.4g})"
    if found.method == "bound":
        yield (
            f"{head}: {found.outside:,} of {found.total:,} outside the bound of FP32 accumulation; the worst error is"
            f" {worst}{error}, at {found.worst_at}"
        )
        yield f"{_INDENT}a bound, not bit equality, on the float64 product of the decoded operands: {found.operands}"
        if found.reason:
            yield f"{_INDENT}not compared bit for bit: {safe_name(found.reason)}"
        return
    equal = found.equal or 0
    between = found.total - equal - found.outside
    yield (
        f"{head}: {equal:,} of {found.total:,} bit for bit {found.model}, {between:,} more inside what any order of its steps"
        f" could give, {found.outside:,} outside"
    )
    for one in found.beyond:
        yield f"{_INDENT}at {one.index}: found {_value(one.found)}, possible {_possible(one.low, one.high)}"
    if found.outside > len(found.beyond):
        yield f"{_INDENT}and {found.outside - len(found.beyond):,} more"
    if found.outside:
        yield (
            f"{_INDENT}of FP32 accumulation in general {found.beyond_bound:,} are outside the bound; the worst error is"
            f" {worst}{error}, at {found.worst_at}"
        )
    yield f"{_INDENT}{found.operands}"
    yield from _models(found)


def _models(found: GemmResult) -> Iterator[str]:
    obeyed, others = found.obeyed, [one for one in found.models if one.differing]
    tried = min((one.compared for one in found.models), default=found.total)
    where = "" if tried == found.total else f" (but for the first, on {tried:,} elements of evenly spaced rows)"
    yield f"{_INDENT}Models that it obeys{where}: {', '.join(obeyed) or 'none of those tried'}"
    if others:
        listed = ", ".join(f"{one.name} ({one.differing:,} differ)" for one in others)
        yield f"{_INDENT}not {listed}"


def _possible(low: float | str, high: float | str) -> str:
    return _value(low) if low == high else f"{_value(low)} to {_value(high)}"


def _value(value: float | str) -> str:
    """A float32 so that it reads back."""
    return value if isinstance(value, str) else f"{value:.9g}"
