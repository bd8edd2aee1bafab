"""What ``fp4sim estimators`` says: each estimator's claim, definition, source, parameters and an example."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from fp4sim.errors import UsageError
from fp4sim.estimators.catalogue import CATALOGUE
from fp4sim.grammar import parse
from fp4sim.io.files import shown
from fp4sim.recipes.registry import recipes
from fp4sim.rounding import Rounding
from fp4sim.spec_names import STEP_ROWS

if TYPE_CHECKING:
    from fp4sim.estimators.base import Info
    from fp4sim.estimators.catalogue import Kind
    from fp4sim.spec import Step
    from fp4sim.spec_names import Parameter, Value

SCHEMA = "fp4sim.estimators/1"

CLAIM_WORDS = {
    "unbiased": "the mean over draws is x",
    "unbiased in the limit": "the mean over draws tends to x as the rotation grows",
    "biased": "the mean over draws is not x",
    "as its parts": "the rounding decides",
    "none": "no statement about the forward values",
}

PARAMETER_WORDS = {
    ("sr", "bits"): "random bits an element",
    ("sr", "clip"): "no range matching",
    ("h", "size"): "columns rotated together",
    ("h", "te"): "the result stored as bfloat16, as Transformer Engine does",
    ("rht", "size"): "columns rotated together",
    ("rht", "te"): "Transformer Engine's fixed signs",
    ("max", "value"): "what amax is mapped to",
    ("4over6", "mse"): "compare squared errors",
    ("4over6", "mae"): "compare absolute errors",
    ("4over6", "absmax"): "compare largest errors",
    ("4over6", "bound"): "block scale of the tensor's amax",
    ("4over6", "fast"): "errors as in Transformer Engine's fast mode",
    ("quest", "mult"): "factor on the Gaussian optimum",
    ("quest", "size"): "columns rotated together (1: none)",
    ("mseden", "s"): "values that share a correction",
    ("mseden", "size"): "columns rotated together (1: none)",
    ("mseden", "posthoc"): "range aligned after the correction",
    ("eden", "override"): "amax at max/override (0: least MSE)",
    ("eden", "s"): "values that share a correction (0: all rotated)",
    ("eden", "size"): "columns rotated together (1: none)",
    ("pma", "factor"): "what values are multiplied by",
    ("occ", "q"): "upper quantile, the lower is 1 − q",
    ("occ", "row"): "quantiles of each row",
    ("occ", "nocomp"): "no residual is added back",
    ("dge", "k"): "sharpness: 1 passes straight through",
    ("dge", "cap"): "largest factor on a gradient",
}


@dataclass(frozen=True)
class ParameterRow:
    """A parameter of a step: how it is written, its default, the value in the example and its range (None: open)."""

    step: str
    name: str
    meaning: str
    written: str
    default: Value
    value: Value
    low: float | None
    high: float | None


@dataclass(frozen=True)
class EstimatorRow:
    """An estimator. ``kind``: ``step`` (+name), ``format`` (how elements or scales are made) or ``recipe`` (a spec).

    ``claim`` is about E[x_hat] = x, ``claim_words`` says it in a sentence. ``example`` is a spec that computes, ``spec``
    its canonical spelling. ``spellings``: the steps that the entry stands for.
    """

    name: str
    kind: Kind
    title: str
    claim: str
    claim_words: str
    definition: str
    source: str
    example: str
    spec: str
    spellings: tuple[str, ...]
    parameters: tuple[ParameterRow, ...]

    def to_dict(self) -> dict[str, Any]:
        """Strict-JSON data."""
        return asdict(self)


def list_estimators() -> tuple[EstimatorRow, ...]:
    """Every estimator, steps first, then formats and recipes."""
    return tuple(_row(kind, info) for kind, info in CATALOGUE)


def describe_estimator(name: str) -> EstimatorRow:
    """One estimator, by its name or that of a step it stands for. Raises UsageError with names that come close."""
    wanted = "".join(name.lower().split()).removeprefix("+").removeprefix("@")
    rows = list_estimators()
    for row in rows:
        if wanted in (row.name, *row.spellings):
            return row
    known = {key: row.name for row in rows for key in (row.name, "".join(row.title.lower().split()))}
    close = dict.fromkeys(known[key] for key in get_close_matches(wanted[:80], known, n=3, cutoff=0.5))
    names = " ".join(row.name for row in rows)
    hint = f"did you mean {' or '.join(close)}?" if close else f"there are {names}"
    if wanted in {recipe.name for recipe in recipes()}:
        hint += f"; fp4sim bias --recipe {wanted} --verbose says what this training recipe quantizes"
    raise UsageError(f"no estimator '{shown(name, 40)}'; {hint}")


def _row(kind: Kind, info: Info) -> EstimatorRow:
    spec = parse(info.example)
    spellings = _spellings(info)
    steps = [step for step in spec.steps if kind == "recipe" or step.name in spellings]
    return EstimatorRow(
        name=info.name,
        kind=kind,
        title=info.title,
        claim=info.claim,
        claim_words=CLAIM_WORDS[info.claim],
        definition=info.definition,
        source=info.source,
        example=info.example,
        spec=str(spec),
        spellings=spellings,
        parameters=tuple(parameter for step in steps for parameter in _parameters(step)),
    )


def _spellings(info: Info) -> tuple[str, ...]:
    if info.name == "rtn":
        return tuple(mode.value for mode in Rounding if mode is not Rounding.SR)
    return (info.name,) if info.name in STEP_ROWS else ()


def _parameters(step: Step) -> list[ParameterRow]:
    return [
        ParameterRow(
            step=step.name,
            name=row.name,
            meaning=PARAMETER_WORDS[step.name, row.name],
            written=_written(row),
            default=row.default,
            value=step.get(row.name, row.default),
            low=row.low,
            high=row.high,
        )
        for row in STEP_ROWS[step.name].parameters
    ]


def _written(row: Parameter) -> str:
    """The pattern after the step's name: ``:N`` by position, ``:key=N``, or the bare flag."""
    if row.default is False:
        return f":{row.name}"
    return ":N" if row.positional else f":{row.name}=N"
