"""What inspect and lint say, in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from fp4sim.report.cells import count_of, safe_name, shape_text
from fp4sim.report.fit import Column, fitted_table

if TYPE_CHECKING:
    from rich.console import Console

    from fp4sim.checkpoints.findings import Finding
    from fp4sim.commands.inspect_checkpoint import Group, Inspection
    from fp4sim.commands.lint_checkpoint import LintResult

_SHOWN = 8
_SHOWN_OF_A_RULE = {"error": 10, "warning": 5, "note": 1}
_STYLES = {"error": "bold red", "warning": "yellow", "note": "dim"}


def print_inspection(console: Console, seen: Inspection, *, verbose: bool = False) -> None:
    """Print each group of weights, what is not quantized, and the evidence; ``verbose``: every weight too."""
    for group in seen.groups:
        _print_group(console, group)
    facts = {
        "not quantized": _names(seen.unquantized, f", and {count_of(seen.others, 'smaller tensor')}"),
        "undecodable": _names(seen.undecodable, "") if seen.undecodable else "",
        "evidence": "\n".join(safe_name(line) for line in seen.evidence),
    }
    _print_facts(console, {key: text for key, text in facts.items() if text})
    if verbose and seen.weights:
        rows = seen.weights
        console.print()
        table, _ = fitted_table(
            [
                Column("weight", [Text(safe_name(row.name)) for row in rows], numeric=False, least=20, cut=True),
                Column("shape", [Text(shape_text(row.shape)) for row in rows]),
                Column("format", [Text(row.format) for row in rows], numeric=False, least=6),
                Column("tensor scale", [Text(row.tensor_scale) for row in rows], numeric=False),
            ],
            console.width,
        )
        console.print(table)


def _print_group(console: Console, group: Group) -> None:
    console.print(Text(f"{group.format} in {group.layout}", style="bold"))
    _print_facts(
        console,
        {
            "layout": group.title,
            "quantized": f"{count_of(group.weights, 'weight')}, {group.elements:,} elements",
            "block": f"{group.block} elements along the last axis",
            "block scale": f"{group.scale}, {group.scale_layout}",
            "tensor scale": group.tensor_scale,
            "value": safe_name(group.value),
            "nibbles": group.nibbles,
            "stated in": group.source,
        },
    )
    console.print()


def _print_facts(console: Console, facts: dict[str, str]) -> None:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, fact in facts.items():
        table.add_row(Text(f"  {name}", style="dim"), Text(fact))
    console.print(table)


def _names(names: tuple[str, ...], rest: str) -> str:
    few = ", ".join(safe_name(name, 60) for name in names[:_SHOWN]) or "no matrix"
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return few + more + rest


def print_lint(console: Console, result: LintResult, *, verbose: bool = False) -> None:
    """Print findings, a few of each rule unless ``verbose``, and what was looked at."""
    for members in _by_rule(result.findings):
        limit = len(members) if verbose else _SHOWN_OF_A_RULE[members[0].severity]
        for finding in members[:limit]:
            _print_finding(console, finding)
        if len(members) > limit:
            rest = f"{len(members) - limit:,} more of {members[0].rule}; --verbose shows all"
            console.print(Text(f"         … {rest}", style="dim"))
    if result.findings:
        console.print()
    counted = ", ".join(count_of(count, name) for name, count in result.severities.items())
    looked = ", ".join(f"{count} {kind}" for kind, count in result.checked.items()) or "no weight that fits together"
    console.print(Text(f"{counted} in {looked} ({result.elements:,} elements)"))


def _by_rule(findings: tuple[Finding, ...]) -> list[list[Finding]]:
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.severity, finding.rule), []).append(finding)
    return list(groups.values())


def _print_finding(console: Console, finding: Finding) -> None:
    head = Text(f"{finding.severity:<8} ", style=_STYLES[finding.severity])
    head.append(f"{finding.rule}  ", style="bold")
    head.append(safe_name(finding.tensor, max(20, console.width - len(head.plain))), style="")
    console.print(head, no_wrap=True, overflow="crop")
    table = Table(box=None, show_header=False, padding=0)
    table.add_column(width=9)
    table.add_column(overflow="fold")
    table.add_row("", Text(f"{_count(finding)}{safe_name(finding.message)}{_index(finding)}"))
    console.print(table)


def _count(finding: Finding) -> str:
    if finding.count is None:
        return ""
    return f"{finding.count:,}: " if finding.total is None else f"{finding.count:,} of {finding.total:,}: "


def _index(finding: Finding) -> str:
    return "" if finding.index is None else f", the first at {list(finding.index)}"
