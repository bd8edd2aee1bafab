"""Which operation makes two specs differ: found by giving ``a`` one of ``b``'s after the other, and comparing again.

A dialect is data, so each of its fields can be exchanged alone; so can the parts of a spec. The smallest set of exchanges
that leaves no difference is the cause.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import combinations
from operator import add
from typing import TYPE_CHECKING, Any

from fp4sim.dialects.registry import dialect_of
from fp4sim.report.diff_model import Count, Operation
from fp4sim.spec import scale_name

if TYPE_CHECKING:
    from fp4sim.dialects.dialect import Dialect, ElementRule, ZeroBlock
    from fp4sim.spec import Spec

State = tuple["Spec", "Dialect"]
MOST_TOGETHER = 3


@dataclass(frozen=True)
class Move:
    """One exchange: its name, what either side does, and the change of the side that starts as ``a``."""

    name: str
    a: str
    b: str
    apply: Callable[[Spec, Dialect], State]


@dataclass(frozen=True)
class Run:
    """A tensor's differing cells: what an arithmetic leaves different from ``b``; how many elements they hold."""

    left: Callable[[Spec, Dialect], Count]
    elements: int


@dataclass(frozen=True)
class Cause:
    """The operations that explain all, in words, and what was tried."""

    names: tuple[str, ...]
    sentence: str
    tried: tuple[Operation, ...] = ()
    elements: int = 0


def moves_between(a: Spec, b: Spec) -> list[Move]:
    """Everything in which two specs and their dialects differ, in the order of the computation."""
    return [move for move in (*_spec_moves(a, b), *_dialect_moves(a, b)) if move is not None]


def cause_of(a: Spec, b: Spec, runs: Sequence[Run], moves: Sequence[Move]) -> Cause:
    """Try each exchange alone, then together, until no difference is left."""
    if not runs:
        return Cause((), f"{a.short} and {b.short} agree in every scale and code")
    elements = sum(run.elements for run in runs)

    def left(chosen: Sequence[Move]) -> Count:
        spec, dialect = replace(a, dialect="te", dialect_flags=()), dialect_of(a)
        for move in chosen:
            spec, dialect = move.apply(spec, dialect)
        return reduce(add, (run.left(spec, dialect) for run in runs))

    alone = [left((move,)) for move in moves]
    tried = tuple(Operation(move.name, move.a, move.b, count) for move, count in zip(moves, alone, strict=True))
    chosen: Sequence[Move] | None = next(
        ((move,) for move, count in zip(moves, alone, strict=True) if not count.differing), None
    )
    for size in range(2, min(MOST_TOGETHER, len(moves) - 1) + 1):
        if chosen is None:
            chosen = next((some for some in combinations(moves, size) if not left(some).differing), None)
    if chosen is None:
        chosen = moves
    names = tuple(move.name for move in chosen)
    return Cause(names, _sentence(a, b, chosen), tried, elements)


def _sentence(a: Spec, b: Spec, moves: Sequence[Move]) -> str:
    """What was found, in one sentence."""
    parts = "; ".join(f"{move.name} ({move.a} in {a.short}, {move.b} in {b.short})" for move in moves)
    return f"every difference comes from {'the ' if len(moves) == 1 else ''}{parts}"


def _spec_moves(a: Spec, b: Spec) -> list[Move | None]:
    return [
        _spec_move("scale encoding", a, b, lambda s: s.scale and scale_name(s.scale), "scale"),
        _spec_move("scale rule", a, b, lambda s: s.rule, "rule"),
        _spec_move("tensor scale", a, b, lambda s: str(s.tensor_scale), "tensor_scale"),
        _spec_move("steps", a, b, lambda s: "".join(map(str, s.steps)) or "+rn", "steps"),
    ]


def _spec_move(name: str, a: Spec, b: Spec, text: Callable[[Spec], Any], key: str) -> Move | None:
    wanted: Any = getattr(b, key)
    if getattr(a, key) == wanted:
        return None
    return Move(name, str(text(a)), str(text(b)), lambda spec, dialect: (replace(spec, **{key: wanted}), dialect))


def _dialect_moves(a: Spec, b: Spec) -> list[Move | None]:
    one, other = dialect_of(a), dialect_of(b)
    pow2 = a.scale is not None and not a.scale.has_zero
    if pow2:
        return [
            _move("power-of-two scale", one, other, "power", lambda d: d.power.text),
            *_element_moves(a, b, one, other),
        ]
    if a.scale is None:
        return _element_moves(a, b, one, other)
    return [
        _move("levels", one, other, "one_level", lambda d: "one level" if d.one_level else "two levels"),
        _move("tensor factor", one, other, "tensor", lambda d: d.tensor.text),
        _move("scale arithmetic", one, other, "scale", lambda d: d.scale.text),
        _move("clamp floor of block scales", one, other, "floor", _floor),
        _move("cast of block scales", one, other, "scale_cast", lambda d: "its own" if d.scale_cast else "to nearest"),
        _move("zero policy", one, other, "zero", lambda d: zero_text(d.zero)),
        _move("scaling of elements", one, other, "factor", lambda d: d.factor.text),
        *_element_moves(a, b, one, other),
    ]


def _move(name: str, one: Dialect, other: Dialect, key: str, text: Callable[[Dialect], str]) -> Move | None:
    wanted: Any = getattr(other, key)
    if getattr(one, key) == wanted:
        return None
    return Move(name, text(one), text(other), lambda spec, dialect: (spec, replace(dialect, **{key: wanted})))


def _element_moves(a: Spec, b: Spec, one: Dialect, other: Dialect) -> list[Move | None]:
    mine, theirs = one.element_rule(a.element, a.scale), other.element_rule(b.element, b.scale)
    texts: dict[str, tuple[str, Callable[[ElementRule], str]]] = {
        "nearest": (
            "ties",
            lambda rule: {"rn": "to even", "rna": "away", "rnz": "to zero"}.get(str(rule.nearest), "up"),
        ),
        "policy": ("signed zeros and NaN", lambda rule: f"−0 {rule.policy.negative_zero}, NaN {rule.policy.nan}"),
        "flush": ("subnormal elements", lambda rule: "flushed" if rule.flush else "kept"),
    }
    moves: list[Move | None] = []
    for key, (name, text) in texts.items():
        wanted: Any = getattr(theirs, key)
        if getattr(mine, key) != wanted:
            moves.append(Move(name, text(mine), text(theirs), _element_change(key, wanted)))
    return moves


def _element_change(key: str, wanted: Any) -> Callable[[Spec, Dialect], State]:
    def apply(spec: Spec, dialect: Dialect) -> State:
        rule = replace(dialect.element_rule(spec.element, spec.scale), **{key: wanted})
        return spec, replace(dialect, element=rule, power_element=None, wide_policy=None)

    return apply


def _floor(dialect: Dialect) -> str:
    return {"none": "none", "normal": "the smallest normal", "smallest": "the smallest"}[dialect.floor]


def zero_text(zero: ZeroBlock) -> str:
    """A zero policy in words."""
    parts = [f"scale {zero.wanted:g} before the cast"] if zero.wanted is not None else []
    parts += [f"scale {zero.scale:g}"] if zero.scale is not None else []
    silent = {"never": "", "scale": "multiplier 0 under a zero scale", "amax": "multiplier 0 for a zero block"}
    return ", ".join([*parts, *filter(None, [silent[zero.silent]])]) or "as the formula gives"
