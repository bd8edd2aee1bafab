"""The spec string: ``<format>[/<block>][@<scale>]...[+<step>]...``, folded to lower case, blanks stripped.

A part refines what stands before it: an alias brings its whole spec, a scale encoding its default rule and tensor scale.
Every error names the bad token and its column and lists what would fit there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, NoReturn

from fp4sim.errors import SpecError, UsageError
from fp4sim.floats import CASTS, ELEMENTS, SCALES, FloatFormat, element_format, scale_format
from fp4sim.spec import Block, Spec, Step, TensorScale, default_tensor_scale
from fp4sim.spec_names import (
    ALIASES,
    DIALECT_ROWS,
    FLOAT_RULES,
    POW2_RULES,
    RULE_ALIASES,
    STEP_ROWS,
    TENSOR_SCALES,
    Parameter,
    StepName,
    Value,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

_TOKEN = re.compile(r"([@+/])?([^@+/]*)")
_GENERIC_SCALE = re.compile(r"e[0-9]m[0-9]")
_MAX_LENGTH = 400


@dataclass(frozen=True)
class _Token:
    text: str  # without its mark
    mark: str  # "", "/", "@" or "+"
    column: int


@lru_cache(maxsize=1024)
def parse(text: str) -> Spec:
    """Read a spec string, e.g. ``nvfp4``, ``mxfp4@rceil``, ``e1m2/16@e4m3+sr:bits=8``.

    Raises SpecError naming the token, its column (from 1, blanks removed) and what fits there.
    """
    if not isinstance(text, str):
        raise SpecError(f"a spec is a string such as 'nvfp4', not {type(text).__name__}")
    return _Parser("".join(text.lower().split())).spec()


def parse_list(text: str | Sequence[str]) -> list[Spec]:
    """Read specs separated by commas, or a sequence of strings. Duplicates are dropped. Raises SpecError if empty."""
    items = text.split(",") if isinstance(text, str) else [item for entry in text for item in str(entry).split(",")]
    specs = list(dict.fromkeys(parse(item) for item in items if item.strip()))
    if not specs:
        raise SpecError("no format given: name at least one, e.g. nvfp4,mxfp4")
    return specs


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        if len(text) > _MAX_LENGTH:
            raise SpecError(
                f"spec {text[:40]!r}… is {len(text)} characters long: no spec needs more than {_MAX_LENGTH}"
            )
        self.tokens = [_Token(m[2], m[1] or "", m.start() + 1) for m in _TOKEN.finditer(text) if m[0]]

    def fail(self, token: _Token, problem: str, fits: str) -> NoReturn:
        shown = f"{token.mark}{token.text}"
        raise SpecError(f"spec {self.text!r}, column {token.column}: {shown!r} {problem}; fits here: {fits}")

    def spec(self) -> Spec:
        if not self.tokens or self.tokens[0].mark:
            raise SpecError(f"spec {self.text!r} names no format; fits here: {_format_names()}")
        head, *rest = self.tokens
        spec = self.head(head)
        if rest and rest[0].mark == "/":
            spec = replace(spec, block=self.block(rest.pop(0)))
        marks = "".join(token.mark for token in rest)
        if "/" in marks:
            self.fail(rest[marks.index("/")], "is out of place", "one /<block>, straight after the format")
        if "+@" in marks:
            self.fail(rest[marks.index("+@") + 1], "follows a step", "all @ parts before the first +")
        for token in rest:
            if not token.text:
                self.fail(token, "is empty", _scale_names() if token.mark == "@" else _step_names())
        spec = self.scales([token for token in rest if token.mark == "@"], spec)
        spec = replace(spec, steps=self.steps(spec.steps, [token for token in rest if token.mark == "+"]))
        return self.checked(spec)

    def head(self, token: _Token) -> Spec:
        for alias in ALIASES:
            if alias.name == token.text:
                return parse(alias.spec)
        try:
            return Spec(element_format(token.text), Block("none"))
        except UsageError:
            self.fail(token, "is not a format", _format_names())

    def block(self, token: _Token) -> Block:
        if token.text in ("row", "tensor"):
            return Block("row" if token.text == "row" else "tensor")
        match = re.fullmatch(r"(?:([0-9]{1,4})x)?([0-9]{1,6})", token.text)
        if match:
            rows, cols = int(match[1] or 1), int(match[2])
            if rows >= 1 and cols >= 2 and cols % 2 == 0:
                return Block("tile", rows, cols)
        self.fail(token, "is not a block", "an even length such as 16 or 32, a tile such as 16x16, row, tensor")

    def scales(self, tokens: list[_Token], spec: Spec) -> Spec:
        seen: dict[str, str] = {}
        explicit: dict[str, _Token] = {}
        for token in tokens:
            kind = self.scale_kind(token)
            if kind in seen:
                self.fail(token, f"is a second {kind} after {'@' + seen[kind]!r}", "at most one of a kind")
            seen[kind], explicit[kind] = token.text, token
        if "scale encoding" in explicit:
            scale = self.encoding(explicit["scale encoding"])
            spec = replace(
                spec,
                scale=scale,
                rule="floor" if not scale.has_zero else "rn",
                tensor_scale=default_tensor_scale(scale),
            )
        if "rule" in explicit:
            spec = replace(spec, rule=self.rule(explicit["rule"], spec))
        if "tensor scale" in explicit:
            spec = replace(spec, tensor_scale=self.tensor_scale(explicit["tensor scale"], spec))
        if "dialect" in explicit:
            name, flags = self.dialect(explicit["dialect"], spec)
            spec = replace(spec, dialect=name, dialect_flags=flags)
            row = DIALECT_ROWS[name]
            if "rule" not in explicit and spec.scale is not None and not spec.scale.has_zero and row.pow2_rules:
                spec = replace(spec, rule=row.pow2_rules[0])
            if "tensor scale" not in explicit and row.one_level:
                spec = replace(spec, tensor_scale=TensorScale())
        return spec

    def scale_kind(self, token: _Token) -> str:
        name = token.text.split(":")[0]
        if name in POW2_RULES + FLOAT_RULES or name in RULE_ALIASES:
            return "rule"
        if name == "ts":
            return "tensor scale"
        if name in DIALECT_ROWS:
            return "dialect"
        if name in {fmt.name for fmt in SCALES} or _GENERIC_SCALE.fullmatch(name):
            return "scale encoding"
        self.fail(token, "is not known", _scale_names())

    def encoding(self, token: _Token) -> FloatFormat:
        name, *parameters = token.text.split(":")
        match = re.fullmatch(r"max=([0-9]{1,9})", parameters[0]) if len(parameters) == 1 else None
        if parameters and not match:
            self.fail(token, "has a parameter that is not known", "ue5m3:max=61440, 114688 or 122880")
        try:
            return scale_format(name, int(match[1]) if match else None)
        except UsageError as error:
            self.fail(token, "is not a scale encoding", str(error))

    def rule(self, token: _Token, spec: Spec) -> str:
        if spec.scale is None:
            self.fail(token, "has no scale to act on", "a scale encoding first, e.g. @e8m0 or @e4m3")
        fits = FLOAT_RULES if spec.scale.has_zero else POW2_RULES
        rule = RULE_ALIASES.get(token.text, token.text)
        if rule not in fits:
            self.fail(token, f"does not act on {spec.scale} scales", " ".join(fits))
        return rule

    def tensor_scale(self, token: _Token, spec: Spec) -> TensorScale:
        current = default_tensor_scale(spec.scale)
        mode, span, bound = current.mode, 0, None
        fits = f"ts: and one of {' '.join(TENSOR_SCALES)}, a length such as 128, bound=256"
        parts = token.text.split(":")[1:]
        if not parts or len(parts) > 2:
            self.fail(token, "is not a tensor scale", fits)
        for position, part in enumerate(parts):
            match = re.fullmatch(r"bound=([0-9]{1,6}(?:\.[0-9]{1,6})?)", part)
            if match and bound is None and float(match[1]) > 0:
                bound = float(match[1])
            elif position == 0 and part in TENSOR_SCALES:
                mode = part  # type: ignore[assignment]
            elif position == 0 and re.fullmatch(r"[0-9]{1,6}", part) and int(part) > 0:
                mode, span = "blocks", int(part)
            else:
                self.fail(token, "is not a tensor scale", fits)
        self.check_tensor_scale(token, spec, mode, span, bound)
        default_bound = spec.scale is not None and bound == spec.scale.max
        return TensorScale(mode, span, None if default_bound else bound)

    def check_tensor_scale(self, token: _Token, spec: Spec, mode: str, span: int, bound: float | None) -> None:
        if spec.scale is None:
            self.fail(token, "has no block scale to work with", "a scale encoding first, e.g. @e4m3")
        if mode not in ("none", "given") and default_tensor_scale(spec.scale).mode == "none":
            self.fail(token, f"has no use over {spec.scale} scales, whose range is float32's", "ts:none, ts:given")
        if bound is not None and (mode not in ("tensor", "row", "blocks") or bound > spec.scale.max):
            self.fail(token, f"bounds what has no bound or exceeds {spec.scale}'s maximum {spec.scale.max:g}", "less")
        tiles_rows = spec.block.kind == "tile" and spec.block.rows == 1
        if mode == "blocks" and not (tiles_rows and span % spec.block.cols == 0):
            self.fail(token, f"does not hold whole /{spec.block} blocks of one row", "a multiple of the block length")
        if mode == "row" and (spec.block.kind == "tensor" or spec.block.rows > 1):
            self.fail(token, f"cuts /{spec.block} blocks, which span rows", "ts:tensor, ts:given, ts:none")

    def dialect(self, token: _Token, spec: Spec) -> tuple[str, tuple[str, ...]]:
        name, *flags = token.text.split(":")
        row = DIALECT_ROWS[name]
        for flag in flags:
            if flag not in row.flags or flags.count(flag) > 1:
                self.fail(token, f"has no variant {flag!r}", " ".join(row.flags) or f"{name} without a variant")
        if row.cast_only and spec.scale is not None:
            self.fail(token, "defines the element cast alone, no scales", "an unscaled format, e.g. e2m1@ml_dtypes")
        return name, tuple(sorted(flags))

    def steps(self, given: tuple[Step, ...], tokens: list[_Token]) -> tuple[Step, ...]:
        found = [(STEP_ROWS[step.name], step) for step in given]  # what the alias brings
        taken: dict[int, str] = {kind: row.name for row, _ in found for kind in row.kinds}
        for token in tokens:
            name, *parts = token.text.split(":")
            if name not in STEP_ROWS:
                self.fail(token, "is not a step", _step_names())
            row = STEP_ROWS[name]
            for kind in row.kinds:
                if kind in taken:
                    self.fail(token, f"is a second {kind.name.lower()} step after '+{taken[kind]}'", "one of a kind")
                taken[kind] = name
            found.append((row, Step(name, self.parameters(token, row, parts))))
        ordered = sorted(found, key=lambda pair: pair[0].kinds)
        return tuple(step for _, step in ordered if step.name != "rn")  # rn is the default: equal meaning, equal spec

    def parameters(self, token: _Token, row: StepName, parts: list[str]) -> tuple[tuple[str, Value], ...]:
        values: dict[str, Value] = {}
        for position, part in enumerate(parts):
            parameter, value = self.parameter(token, row, part, first=position == 0)
            if parameter.name in values:
                self.fail(token, f"names {parameter.name} twice", _parameter_names(row))
            values[parameter.name] = value
        chosen = [name for name in row.exclusive if name in values]
        if len(chosen) > 1:
            self.fail(token, f"names both {chosen[0]} and {chosen[1]}", f"one of {' '.join(row.exclusive)}")
        if chosen and chosen[0] == row.exclusive[0]:
            del values[chosen[0]]  # the first of the exclusive flags is what the bare name means
        defaults = {parameter.name: parameter.default for parameter in row.parameters}
        order = {parameter.name: (not parameter.positional, parameter.name) for parameter in row.parameters}
        changed = ((name, value) for name, value in values.items() if value != defaults[name])
        return tuple(sorted(changed, key=lambda item: order[item[0]]))

    def parameter(self, token: _Token, row: StepName, part: str, *, first: bool) -> tuple[Parameter, Value]:
        key, equals, text = part.partition("=")
        for parameter in row.parameters:
            if parameter.default is False and part == parameter.name:
                return parameter, True
            named = equals and key == parameter.name and not parameter.positional
            if parameter.default is not False and (named or (first and parameter.positional and not equals)):
                value = _number(text if named else part, integer=isinstance(parameter.default, int))
                low, high = parameter.low, parameter.high
                if value is not None and (low is None or value >= low) and (high is None or value <= high):
                    return parameter, value
        self.fail(token, f"has no parameter {part!r}", _parameter_names(row))

    def checked(self, spec: Spec) -> Spec:
        if spec.block.kind == "none" and spec.scale is not None:
            raise SpecError(f"spec {self.text!r} has a scale but no block; write /16, /32, /16x16, /row or /tensor")
        if spec.block.kind != "none" and spec.scale is None:
            example = f"{spec.element}/{spec.block}@e4m3"
            raise SpecError(
                f"spec {self.text!r} has a block but no scale; add a scale encoding: {_encodings()} (e.g. {example})"
            )
        return spec


def _number(text: str, *, integer: bool) -> int | float | None:
    if integer:
        return int(text) if re.fullmatch(r"[0-9]{1,6}", text) else None
    return float(text) if re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,9})?|\.[0-9]{1,9}", text) else None


def _format_names() -> str:
    return " ".join([alias.name for alias in ALIASES] + [fmt.name for fmt in ELEMENTS + CASTS])


def _encodings() -> str:
    return " ".join(f"@{fmt.name}" for fmt in SCALES) + " @eXmY"


def _scale_names() -> str:
    rules = " ".join(POW2_RULES + FLOAT_RULES)
    return f"scale encoding {_encodings()}, rule {rules}, ts:…, dialect {' '.join(DIALECT_ROWS)}"


def _step_names() -> str:
    return " ".join(STEP_ROWS)


def _parameter_names(row: StepName) -> str:
    shown = []
    for p in row.parameters:
        span = "" if p.low is None else f" ({p.low:g}..{'' if p.high is None else format(p.high, 'g')})"
        shown.append(p.name if p.default is False else f"a number{span}" if p.positional else f"{p.name}=…{span}")
    return ", ".join(shown) or f"+{row.name} without parameters"


@lru_cache(maxsize=1024)
def shorten(spec: Spec) -> str:
    """The shortest string that parses to ``spec``: each head (alias or element) with each subset of the @ parts."""
    parts = spec.base.split("@")[1:]
    variants = [{"", f"@{part}", "@" + part.replace("ts:tensor:", "ts:")} for part in parts]
    heads = [(spec.base.split("@")[0], "".join(map(str, spec.steps)))]
    for alias in ALIASES:
        base = parse(alias.spec)
        if (base.element, base.scale) == (spec.element, spec.scale) and set(base.steps) <= set(spec.steps):
            head = alias.name if base.block == spec.block else f"{alias.name}/{spec.block}"
            heads.append((head, "".join(str(step) for step in spec.steps if step not in base.steps)))
    texts = ("".join((head, *chosen, steps)) for head, steps in heads for chosen in product(*variants))
    return min((text for text in texts if _parses_to(text, spec)), key=lambda text: (len(text), text))


def _parses_to(text: str, spec: Spec) -> bool:
    try:
        return parse(text) == spec
    except SpecError:
        return False
