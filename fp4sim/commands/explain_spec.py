"""What ``fp4sim spec`` says: a spec's names, size, and each of its parts in words."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from fp4sim.dialects.registry import available, dialect_named
from fp4sim.dialects.target import target_of
from fp4sim.errors import UsageError
from fp4sim.estimators.pipeline import check_spec
from fp4sim.spec import scale_name
from fp4sim.spec_names import STEP_ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fp4sim.spec import Spec, Step

SCHEMA = "fp4sim.spec/1"

RULE_WORDS = {
    "floor": "2^(floor(log2 amax) − emax): the OCP rule; values above the largest code saturate",
    "ceil": "2^(ceil(log2 amax) − emax)",
    "rceil": "2^ceil(log2(amax / max)): nothing saturates",
    "even": "floor, after amax is rounded to the element's mantissa width; also written oas",
    "log2": "2^round(log2(amax / max))",
    "rn": "rounded to nearest, ties to even",
    "up": "rounded up: no value saturates",
    "down": "rounded down",
}

STEP_WORDS = {
    "rn": "elements rounded to nearest, ties to even",
    "rna": "elements rounded to nearest, ties away from zero",
    "rnz": "elements rounded to nearest, ties toward zero",
    "rnu": "elements rounded to nearest, ties toward +Inf",
    "rz": "elements rounded toward zero",
    "ru": "elements rounded toward +Inf",
    "rd": "elements rounded toward −Inf",
    "sr": "elements rounded stochastically, range-matched so that the scale rule cannot clip",
    "h": "Hadamard rotation without random signs",
    "rht": "Hadamard rotation with random signs",
    "4over6": "each block scaled to 4 or to 6, whichever has less error",
    "max": "block scales map amax to this value instead of the element's maximum",
    "minmse": "each block's exponent, one more or one less, whichever has least squared error",
    "quest": "Hadamard rotation, and a scale from the block's standard deviation",
    "mseden": "random Hadamard rotation; scales corrected and rounded stochastically: unbiased as the rotation grows",
    "eden": "random Hadamard rotation, and scales corrected so that x_hat is aligned with x",
    "pma": "dequantized values times a constant that aligns them on average over Gaussian data",
    "occ": "outliers clamped, and kept sparsely beside",
    "if4": "each block in FP4 or in INT4, whichever has less error",
    "mxplus": "the block maximum with its exponent bits as mantissa",
    "dge": "a gradient estimator of the backward pass; no forward effect",
}

DIALECT_WORDS = {name: dialect_named(name).convention.title for name in available()}


@dataclass(frozen=True)
class SpecRow:
    """A spec explained: ``parts`` are (how it is written, what it means)."""

    spec: str
    short: str
    slug: str
    bits_per_element: float
    parts: tuple[tuple[str, str], ...]
    unavailable: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Strict-JSON data."""
        return asdict(self)


def explain_spec(spec: Spec) -> SpecRow:
    """Say what every part of a spec means, and whether this version computes it."""
    try:
        check_spec(spec)
        unavailable = None
    except UsageError as error:
        unavailable = str(error)
    return SpecRow(str(spec), spec.short, spec.slug, spec.bits_per_element, tuple(_parts(spec)), unavailable)


def _parts(spec: Spec) -> Iterator[tuple[str, str]]:
    element, scale = spec.element, spec.scale
    # 4 bits hold few enough magnitudes to name them
    few = " ".join(f"{value:g}" for value in element.magnitudes()) if element.bits <= 4 else f"up to {element.max:g}"
    yield element.name, f"elements of {element.bits} bits: {few}"
    if scale is not None:
        yield f"/{spec.block}", _block_words(spec)
        size = f"max {scale.max:g}" if scale.has_zero else "powers of two, no zero"
        yield f"@{scale_name(scale)}", f"block scales of {scale.bits_stored} bits, no sign: {size}"
        yield f"@{spec.rule}", f"block scale {RULE_WORDS[spec.rule or 'rn']}"
        if spec.tensor_scale.mode != "none" or scale.has_zero:
            yield f"@{spec.tensor_scale}", _tensor_scale_words(spec)
    dialect = DIALECT_WORDS.get(spec.dialect, f"the arithmetic of {spec.dialect}")
    variant = f", variant {' '.join(spec.dialect_flags)}" if spec.dialect_flags else ""
    yield "@" + ":".join([spec.dialect, *spec.dialect_flags]), dialect + variant
    for step in spec.steps:
        yield str(step), _step_words(step)
    if spec.rounding.value == "rn":
        yield "+rn", STEP_WORDS["rn"]


def _block_words(spec: Spec) -> str:
    block = spec.block
    if block.kind == "tile":
        one = f"{block.cols} neighbours along the axis" if block.rows == 1 else f"a tile of {block.rows}×{block.cols}"
        return f"{one} share a block scale"
    return "a row shares one scale" if block.kind == "row" else "the whole tensor shares one scale"


def _tensor_scale_words(spec: Spec) -> str:
    mode, scale = spec.tensor_scale, spec.scale
    assert scale is not None
    target = target_of(spec)
    over = f"amax / ({target.bound:g} × {target.element_max:g})"
    return {
        "none": "no tensor scale",
        "tensor": f"one float32 scale a tensor: {over}",
        "row": f"one float32 scale a row: {over} of the row",
        "blocks": f"one float32 scale per {mode.span} elements of a row: {over} of those",
        "given": "a float32 tensor scale that the caller gives",
    }[mode.mode]


def _step_words(step: Step) -> str:
    words = STEP_WORDS[step.name]
    if step.name == "sr" and step.get("clip", False):
        words = "elements rounded stochastically, not range-matched: what the scale rule clips is biased"
    settings = {parameter.name: parameter.default for parameter in STEP_ROWS[step.name].parameters}
    settings.update(step.parameters)
    named = [name if value is True else f"{name} {value}" for name, value in settings.items() if value is not False]
    return f"{words} ({', '.join(named)})" if named else words
