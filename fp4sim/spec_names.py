"""The names a spec string may use: plain tables, no behaviour.

The parser knows only these rows; a test holds ``available`` equal to what dialects/ and estimators/ register, so that a
name that parses but is not built says so instead of computing something else.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

Value = int | float | str | bool

POW2_RULES = ("floor", "ceil", "rceil", "even", "log2")
FLOAT_RULES = ("rn", "up", "down")
RULE_ALIASES = {"oas": "even"}  # overflow-aware scaling (arXiv 2603.08713) gives the same exponents
TENSOR_SCALES = ("none", "tensor", "row", "given")


class StepKind(IntEnum):
    """The order in which steps act, however they are written."""

    TRANSFORM = 0
    CHOICE = 1  # of the block scale
    ROUNDING = 2  # of the elements
    CORRECTION = 3
    BACKWARD = 4


@dataclass(frozen=True)
class Parameter:
    """A named parameter: ``key=value``, a bare ``flag`` (bool default) or the positional one."""

    name: str
    default: Value
    positional: bool = False
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class StepName:
    """A step of an estimator. It occupies every kind in ``kinds``; ``available``: computed by this version."""

    name: str
    kinds: tuple[StepKind, ...]
    parameters: tuple[Parameter, ...] = ()
    exclusive: tuple[str, ...] = ()  # flags of which at most one may stand
    available: bool = False


@dataclass(frozen=True)
class DialectName:
    """A library's arithmetic. ``cast_only`` ones define no scales.

    ``pow2_rules``: the power-of-two rules that it has, the one meant where none is named first. ``float_scales``: whether it
    has float block scales, ``one_level``: without a tensor scale.
    """

    name: str
    flags: tuple[str, ...] = ()
    cast_only: bool = False
    available: bool = True
    pow2_rules: tuple[str, ...] = POW2_RULES
    float_scales: bool = True
    one_level: bool = False


@dataclass(frozen=True)
class Alias:
    """A bare format name and the generic string it stands for."""

    name: str
    spec: str


ALIASES = (
    Alias("nvfp4", "e2m1/16@e4m3@rn@ts:tensor"),
    Alias("mxfp4", "e2m1/32@e8m0@floor"),
    Alias("nvint4", "e0m3/16@e4m3@rn@ts:tensor"),
    Alias("if4", "e2m1/16@e4m3@rn@ts:tensor+if4"),  # FP4 or INT4 a block, chosen by error (arXiv 2603.28765)
    Alias("mxplus", "e2m1/32@e8m0@floor+mxplus"),  # an extended block maximum (arXiv 2510.14557)
)

_T, _C, _R, _X, _B = StepKind

STEPS: tuple[StepName, ...] = (
    *(StepName(mode, (_R,), available=True) for mode in ("rn", "rna", "rnz", "rnu", "rz", "ru", "rd")),
    StepName("sr", (_R,), (Parameter("bits", 32, low=1, high=32), Parameter("clip", False)), available=True),
    StepName(
        "h",
        (_T,),
        (Parameter("size", 32, positional=True, low=2, high=256), Parameter("te", False)),
        available=True,
    ),
    StepName(
        "rht",
        (_T,),
        (Parameter("size", 128, positional=True, low=2, high=256), Parameter("te", False)),
        available=True,
    ),
    StepName("max", (_C,), (Parameter("value", 6.0, positional=True, low=0.001),), available=True),
    StepName("minmse", (_C,), available=True),
    StepName(
        "4over6",
        (_C,),
        (
            *(Parameter(metric, False) for metric in ("mse", "mae", "absmax")),
            Parameter("bound", 256, low=1),
            Parameter("fast", False),
        ),
        exclusive=("mse", "mae", "absmax"),
        available=True,
    ),
    StepName(
        "quest", (_T, _C), (Parameter("mult", 1.5, low=0.001), Parameter("size", 32, low=1, high=256)), available=True
    ),
    StepName(
        "mseden",
        (_T, _C, _X),
        (Parameter("s", 16, low=1), Parameter("size", 128, low=1, high=256), Parameter("posthoc", False)),
        available=True,
    ),
    StepName(
        "eden",
        (_T, _C, _X),
        (Parameter("override", 0.0, low=0), Parameter("size", 128, low=1, high=256), Parameter("s", 0, low=0)),
        available=True,
    ),
    StepName("pma", (_X,), (Parameter("factor", 1.009276, positional=True, low=0.001),), available=True),
    StepName(
        "occ",
        (_X,),
        (Parameter("q", 0.99, positional=True, low=0.5, high=1), Parameter("row", False), Parameter("nocomp", False)),
        available=True,
    ),
    StepName("if4", (_C,), available=True),
    StepName("mxplus", (_X,), available=True),
    StepName("dge", (_B,), (Parameter("k", 5, low=1), Parameter("cap", 3.0, low=0)), available=True),
)

DIALECTS: tuple[DialectName, ...] = (
    DialectName("te"),
    DialectName("torchao", ("onelevel", "v0.18", "cuda"), pow2_rules=("floor", "ceil", "even", "rceil")),
    *(DialectName(name, pow2_rules=("even",)) for name in ("vllm-cuda", "vllm-torch", "vllm-triton")),
    DialectName("flashinfer", ("v0.7.4",), pow2_rules=("rceil",)),
    DialectName("flashinfer-exact", ("ftz",), pow2_rules=("rceil",)),
    DialectName("flashinfer-cutedsl", pow2_rules=("rceil",)),
    DialectName("modelopt", pow2_rules=("rceil",)),
    DialectName("compressed-tensors", pow2_rules=("even",)),
    DialectName("fouroversix", pow2_rules=("rceil",)),
    DialectName("qutlass", pow2_rules=("floor",)),
    DialectName("cutlass", pow2_rules=("rceil",)),
    DialectName("cublaslt", pow2_rules=("rceil",)),
    DialectName("llamacpp", pow2_rules=("floor",), one_level=True),
    DialectName("ms-amp", pow2_rules=("rceil",), float_scales=False),
    DialectName("quartet2", ("torch",)),
    DialectName("onnx", cast_only=True),
    DialectName("ml_dtypes", cast_only=True),
)

DEFAULT_DIALECT = "te"


STEP_ROWS = {row.name: row for row in STEPS}
DIALECT_ROWS = {row.name: row for row in DIALECTS}
