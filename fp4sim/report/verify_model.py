"""The result of ``verify``: plain frozen records that stand on nothing. Shares of mismatches are counts, never rates."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from fp4sim.report.result import Result

VERIFY_SCHEMA = "fp4sim.verify/1"


@dataclass(frozen=True)
class Count:
    """How many of ``total`` compared items differ."""

    wrong: int
    total: int

    def __add__(self, other: Count) -> Count:
        return Count(self.wrong + other.wrong, self.total + other.total)


@dataclass(frozen=True)
class Closeness:
    """torch.testing's three figures of the decoded values. None: nothing to take them of, or not finite."""

    mismatched: int
    elements: int
    absolute: float | None
    absolute_at: tuple[int, ...] | None
    relative: float | None
    relative_at: tuple[int, ...] | None


@dataclass(frozen=True)
class WorstBlock:
    """A block with many differing codes: its first element's index, amax, and scale codes."""

    index: tuple[int, ...]
    codes_wrong: int
    amax: float | None
    scale_expected: int | None
    scale_found: int | None


@dataclass(frozen=True)
class CodeMap:
    """How many codes are wrong in each of at most 24 × 32 bins of the tensor as a matrix, the quantized axis last.

    Bin (i, j) has the rows r with r * bins // rows = i, and the columns likewise.
    """

    rows: int
    columns: int
    cells: tuple[tuple[int, ...], ...]

    def share(self, row: int, column: int) -> int:
        """How many elements bin (row, column) has."""
        return _span(self.rows, len(self.cells), row) * _span(self.columns, len(self.cells[0]), column)


def _span(length: int, bins: int, index: int) -> int:
    """How many of 0 … length - 1 fall into a bin."""
    return -(-(index + 1) * length // bins) + (index * -length // bins)


@dataclass(frozen=True)
class Finding:
    """An explanation. ``cause``: a stable name such as ``scale.truncated`` or ``unknown``; ``part``: what it explains.

    ``explained`` of ``mismatches`` items are reproduced exactly by it; ``also``: other causes that reproduce as many.
    """

    cause: str
    part: str
    sentence: str
    explained: int
    mismatches: int
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class Candidate:
    """A dialect tried by ``--identify``: what would differ if the kernel followed it. ``counts`` by part."""

    spec: str
    counts: dict[str, Count]

    @property
    def exact(self) -> bool:
        """Whether nothing differs."""
        return all(count.wrong == 0 for count in self.counts.values())

    @property
    def rate(self) -> tuple[float, int]:
        """What candidates are ranked by: the share of differing codes and scales, then whether tensor scales differ."""
        parts = [count for part, count in self.counts.items() if part != "tensor_scale"]
        share = sum(count.wrong / count.total for count in parts if count.total)
        return share, sum(count.wrong for part, count in self.counts.items() if part == "tensor_scale")


@dataclass(frozen=True)
class Alarm:
    """Something a stochastic kernel must not do, or does otherwise than told. ``failed``: it makes the case fail."""

    name: str
    sentence: str
    failed: bool = True


@dataclass(frozen=True)
class StochasticResult:
    """What the draws of a stochastic kernel show. ``p_value`` of the frequencies; ``bits``: numbers of bits that fit."""

    draws: int
    tested: int
    p_value: float | None
    bits: tuple[int, ...]
    range_matched: bool | None
    alarms: tuple[Alarm, ...] = ()


@dataclass(frozen=True)
class GemmModel:
    """A model of a matrix unit, in an order of steps: how many words of the output differ from what it gives."""

    name: str
    differing: int
    compared: int


@dataclass(frozen=True)
class GemmOutside:
    """An element that no order of a model's steps gives: its index in y, its value, and the least and largest possible."""

    index: tuple[int, ...]
    found: float | str
    low: float | str
    high: float | str


@dataclass(frozen=True)
class GemmResult:
    """A GEMM output. ``shape``: M, N, K. ``outside`` of ``total`` elements are not possible, and make the case fail.

    ``method`` is what that was judged by. ``"enclosure"``: what any order of accumulation under ``model`` could give;
    ``equal`` elements are bit for bit what its plain chain gives, ``beyond`` are the first of those outside. ``"bound"``: the
    error bound of FP32 accumulation alone, because it was asked for or because of ``reason``.
    ``beyond_bound``: elements outside that bound; ``worst``: the largest error in units of it (None: not finite), ``error``:
    that error, ``worst_at``: its index. ``models``: others that were held against the output. ``operands``: where they come
    from.
    """

    shape: tuple[int, ...]
    dtype: str
    method: str
    outside: int
    total: int
    beyond_bound: int
    worst: float | None
    error: float | None
    worst_at: tuple[int, ...]
    operands: str
    model: str | None = None
    equal: int | None = None
    beyond: tuple[GemmOutside, ...] = ()
    models: tuple[GemmModel, ...] = ()
    reason: str = ""

    @property
    def obeyed(self) -> tuple[str, ...]:
        """The models that give every word that was compared."""
        return tuple(one.name for one in self.models if not one.differing)


@dataclass(frozen=True)
class CaseResult:
    """One case. ``counts`` by part: codes, scales, tensor_scale, dequantized, padding (only what was dumped).

    ``scale_deltas``: how many scale codes differ by so many steps; ``code_causes``: differing codes by cause.
    ``code_map``: where they are. ``tie_distances``: those that do not follow from the kernel's own scale either; how many
    lie exactly halfway between two codes under it, then by their distance from that, in 25 equal bins up to half a gap
    (that of what is beyond the largest code).
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    counts: dict[str, Count]
    close: Closeness
    scale_deltas: dict[str, int] = field(default_factory=dict)
    code_causes: dict[str, int] = field(default_factory=dict)
    worst: tuple[WorstBlock, ...] = ()
    findings: tuple[Finding, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    stochastic: StochasticResult | None = None
    gemm: GemmResult | None = None
    notes: tuple[str, ...] = ()
    code_map: CodeMap | None = None
    tie_distances: tuple[int, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every compared bit is right, every element of a GEMM output possible, and no alarm says otherwise."""
        alarmed = self.stochastic is not None and any(alarm.failed for alarm in self.stochastic.alarms)
        beyond = self.gemm is not None and self.gemm.outside > 0
        return not alarmed and not beyond and all(count.wrong == 0 for count in self.counts.values())


@dataclass(frozen=True)
class VerifyResult(Result):
    """What ``verify`` found. ``to_dict`` is its JSON; as text it is the terminal's report.

    ``ignored``: arrays of a dump whose names say nothing; ``unmatched``: weights of a checkpoint that were not compared.
    """

    spec: str
    short: str
    source: str
    cases: tuple[CaseResult, ...]
    repro: str
    settings: dict[str, Any]
    ignored: tuple[str, ...] = ()
    unmatched: tuple[str, ...] = ()
    schema: ClassVar[str] = VERIFY_SCHEMA

    @property
    def ok(self) -> bool:
        """Whether every case is."""
        return all(case.ok for case in self.cases)

    @property
    def totals(self) -> dict[str, Count]:
        """Counts over all cases by part."""
        totals: dict[str, Count] = {}
        for case in self.cases:
            for part, count in case.counts.items():
                totals[part] = totals.get(part, Count(0, 0)) + count
        return totals

    @property
    def gemm(self) -> Count | None:
        """Elements of GEMM outputs that are not possible, over all cases; None where there are no GEMM outputs."""
        found = [Count(case.gemm.outside, case.gemm.total) for case in self.cases if case.gemm is not None]
        return sum(found[1:], found[0]) if found else None

    def to_dict(self) -> dict[str, Any]:
        """Strict-JSON data."""
        data = super().to_dict()
        for case, row in zip(self.cases, data["cases"], strict=True):
            row["ok"] = case.ok
        return {"schema": self.schema, "ok": self.ok, **data}

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        from fp4sim.report.verify_text import verify_text

        return verify_text(self)
