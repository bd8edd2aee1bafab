"""Verdicts, differences and reproductions as CSV: one row a line of their tables, plain numbers, text made harmless."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fp4sim.report.cells import tensor_name
from fp4sim.report.csv_table import csv_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fp4sim.report.diff_model import DiffResult
    from fp4sim.report.golden_model import GoldenResult
    from fp4sim.report.mutation_model import MutationResult
    from fp4sim.report.reproduction_model import Reproduction
    from fp4sim.report.verify_model import VerifyResult

_VERIFY = ("case", "shape", "dtype", "spec", "ok", "part", "wrong", "total", "causes")


def verify_csv(result: VerifyResult) -> str:
    """A row a case and part; a GEMM output is the part ``gemm``."""
    return csv_text(_VERIFY, _verify_rows(result))


def golden_csv(result: GoldenResult) -> str:
    """As :func:`verify_csv`, over all specs."""
    return csv_text(_VERIFY, [row for one in result.results for row in _verify_rows(one)])


def _verify_rows(result: VerifyResult) -> Iterator[list[object]]:
    for case in result.cases:
        counts = [(part, count.wrong, count.total) for part, count in case.counts.items()]
        counts += [("gemm", case.gemm.outside, case.gemm.total)] if case.gemm else []
        causes = " ".join(finding.cause for finding in case.findings)
        shape = "x".join(map(str, case.shape))
        for part, wrong, total in counts or [("", 0, 0)]:
            yield [case.name, shape, case.dtype, result.spec, case.ok, part, wrong, total, causes]


def diff_csv(result: DiffResult) -> str:
    """A row a tensor, then the totals."""
    head = ("row", "tensor", "source", "shape", "dtype", "a", "b")
    parts = ("scales", "codes", "values")
    columns = tuple(f"{part}_{what}" for part in parts for what in ("differing", "total"))
    rows: list[list[object]] = []
    for tensor in result.tensors:
        shape = "x".join(map(str, tensor.shape))
        facts: list[object] = ["tensor", tensor_name(tensor.name), tensor.source, shape, tensor.dtype]
        counts = [getattr(tensor, part) for part in parts]
        rows.append([*facts, result.a, result.b, *(n for count in counts for n in (count.differing, count.total))])
    counts = [getattr(result, part) for part in parts]
    totals = [number for count in counts for number in (count.differing, count.total)]
    return csv_text((*head, *columns), [*rows, ["total", "", "", "", "", result.a, result.b, *totals]])


def reproduction_csv(result: Reproduction) -> str:
    """A row a figure."""
    names = ("label", "definition", "spec", "published", "measured", "value", "standard_error", "tolerance")
    more = ("draws", "elements", "outcome", "reason")
    rows = [
        [table.name, section.title, *(getattr(row, name) for name in (*names, *more))]
        for table in result.tables
        for section in table.sections
        for row in section.rows
    ]
    return csv_text(("table", "section", *names, *more), rows)


def mutation_csv(result: MutationResult) -> str:
    """A row a faulty kernel."""
    rows = [[row.name, row.status, row.about, row.detail, result.spec, result.check] for row in result.rows]
    return csv_text(("kernel", "status", "about", "detail", "spec", "check"), rows)
