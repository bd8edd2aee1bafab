"""What differences of specs, reproductions and mutation tests mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fp4sim.report.cells import percent, safe_name
from fp4sim.report.reproduction_model import AGREES, DIFFERS
from fp4sim.report.summary.sentence import Link, Sentence, named, of_all, row_name

if TYPE_CHECKING:
    from fp4sim.report.diff_model import DiffResult
    from fp4sim.report.evidence_model import Evidence
    from fp4sim.report.mutation_model import MutationResult
    from fp4sim.report.reproduction_model import Reproduction


def diff_sentences(result: DiffResult) -> tuple[Sentence, ...]:
    """Which tensors differ, and the cause that was found."""
    touched = [i for i, row in enumerate(result.tensors) if row.codes.differing or row.scales.differing]
    if not result.tensors:
        return ()
    if not touched:
        return (Sentence((f"{result.a} and {result.b} give the same codes and scales everywhere.",)),)
    links = [Link(safe_name(result.tensors[i].name or "x", 60), row_name(i)) for i in touched]
    who, share = of_all(len(touched), len(result.tensors), "tensor"), percent(result.codes.rate)
    text = f"{result.a} and {result.b} differ in {share} % of the codes, on {who}: "
    rows = tuple(link.row for link in links)
    cause = safe_name(result.sentence).rstrip(".")
    return (Sentence((text, *named(links), "."), rows), Sentence((f"{cause[:1].upper()}{cause[1:]}.",), rows))


def reproduction_sentences(result: Reproduction) -> tuple[Sentence, ...]:
    """How many published figures agree, and those that differ."""
    rows = [(row, row_name(i, t)) for t, table in enumerate(result.tables) for i, row in enumerate(table.rows)]
    found = []
    agree = [name for row, name in rows if row.outcome == AGREES]
    judged = [name for row, name in rows if row.outcome in (AGREES, DIFFERS)]
    differ = [Link(safe_name(row.label, 60), name) for row, name in rows if row.outcome == DIFFERS]
    if judged:
        who = of_all(len(agree), len(judged), "published figure")
        verb = "agrees" if len(judged) == 1 else "agree"
        if agree:
            text = f"{who[:1].upper()}{who[1:]} {verb} within 3 standard errors and one unit of the last printed digit."
            found.append(Sentence((text,), tuple(agree)))
    if differ:
        text = "One differs: " if len(differ) == 1 else f"{len(differ):,} differ: "
        found.append(Sentence((text, *named(differ), "."), tuple(link.row for link in differ), warning=True))
    return tuple(found)


def mutation_sentences(result: MutationResult) -> tuple[Sentence, ...]:
    """Which faulty kernels pass."""
    told = len(result.caught) + len(result.missed)
    if not told:
        return ()
    if not result.accepts_correct:
        return (Sentence(("The check refuses the right output, so that it tells nothing apart.",), warning=True),)
    links = [Link(row.name, row_name(i)) for i, row in enumerate(result.rows) if row.status == "missed"]
    if not links:
        return (Sentence((f"The check catches all {told} faulty kernels that can be told from the right one.",)),)
    text = f"The check lets {len(links)} of {told} faulty kernels pass: "
    return (Sentence((text, *named(links), "."), tuple(link.row for link in links), warning=True),)


def evidence_sentences(result: Evidence) -> tuple[Sentence, ...]:
    """How many checks passed on which GPU, which could not run, and those that did not pass."""
    ran = [i for i, check in enumerate(result.checks) if check.status != "skip"]
    if not ran:
        return ()
    passed = [i for i in ran if result.checks[i].status == "pass"]
    gpu = safe_name(result.device.get("name", "the GPU"), 80)
    compared = sum(check.totals.total for check in result.checks)
    who = of_all(len(passed), len(ran), "check")
    found = [
        Sentence((f"On {gpu}, {who} passed; {compared:,} results were compared.",), tuple(row_name(i) for i in passed))
    ]
    idle = [Link(safe_name(check.name, 60), row_name(i)) for i, check in enumerate(result.checks) if i not in ran]
    if result.interrupted:
        found.append(Sentence(("The run was interrupted: not every check had its turn.",), warning=True))
    if idle:
        text = f"{of_all(len(idle), len(result.checks), 'check')} could not run there: "
        text = text[:1].upper() + text[1:]
        found.append(Sentence((text, *named(idle), "."), tuple(link.row for link in idle)))
    wrong = [Link(safe_name(result.checks[i].name, 60), row_name(i)) for i in ran if i not in passed]
    if wrong:
        found.append(Sentence(("Not passed: ", *named(wrong), "."), tuple(link.row for link in wrong), warning=True))
    return tuple(found)
