"""The result of ``fp4sim gemm``: where the error of a product of quantized operands comes from. It stands on nothing else.

The error Y - X of an output Y against the float64 product X of the operands as given is split into three parts, which sum to
it: *operands* Q - X (Q: the float64 product of the dequantized operands), *accumulation* H - Q (H: the model's float32 result
after the epilogue), *cast* Y - H. Energies are Frobenius norms squared over |X|²; those of the parts and twice their inner
products (``cross``) sum to the total's. Undefined numbers are None, with the reason under ``undefined``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from fp4sim.report.model import FormatInfo
from fp4sim.report.result import Result

GEMM_SCHEMA = "fp4sim.gemm/1"
PARTS = ("operands", "accumulation", "cast")


@dataclass(frozen=True)
class GemmOperand:
    """An operand as it was read: (rows, K) after leading axes were flattened; ``label``: how it was asked for."""

    name: str
    label: str
    shape: tuple[int, ...]
    dtype: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class GemmPart:
    """A part of the error, or all of it.

    ``rel_mse``: its energy; ``rel_error``: the root of that, the relative Frobenius error; ``snr_db``: -10 log10 of it (None
    where there is no error). ``max_error``: the largest |e| over the RMS of X, at (row, column) ``max_error_at``.
    """

    rel_mse: float | None
    rel_error: float | None
    snr_db: float | None
    max_error: float | None
    max_error_at: tuple[int, int] | None


@dataclass(frozen=True)
class GemmSteps:
    """The chain of steps alone, before the epilogue. ``exact`` of ``total`` outputs equal the exact sum of their products.

    ``unproven``: outputs that equal its float64 value, where that may have been rounded itself; they are not counted as exact.
    ``rel_error``: Frobenius error of the words relative to the sums. ``shrink``: the mean loss toward zero, Σ sign(s)(s - h) /
    Σ|s|: a truncating unit makes products smaller.
    """

    exact: int
    total: int
    unproven: int
    rel_error: float | None
    shrink: float | None


@dataclass(frozen=True)
class GemmProfile:
    """Relative errors |e|/|x| of each row (or column) of the product; None where X is zero there or an output overflows."""

    total: tuple[float | None, ...]
    operands: tuple[float | None, ...]
    accumulation: tuple[float | None, ...] = ()
    cast: tuple[float | None, ...] = ()


@dataclass(frozen=True)
class GemmHeat:
    """Mean e² of bins of outputs over the mean x² of all; None where an output overflows.

    Bin (i, j): rows and columns from edge i, j up to the next one.
    """

    row_edges: tuple[int, ...]
    col_edges: tuple[int, ...]
    operands: tuple[tuple[float | None, ...], ...]
    accumulation: tuple[tuple[float | None, ...], ...] = ()
    cast: tuple[tuple[float | None, ...], ...] = ()


@dataclass(frozen=True)
class GemmRow:
    """One pair of formats. Where no instruction multiplies them, ``reason`` says so and the operands' part is the total."""

    a: FormatInfo
    b: FormatInfo
    total: GemmPart
    operands: GemmPart
    accumulation: GemmPart | None
    cast: GemmPart | None
    cross: dict[str, float]
    steps: GemmSteps | None
    rows: GemmProfile
    cols: GemmProfile
    heat: GemmHeat
    sentence: str
    domain: str
    reason: str = ""
    overflows: int = 0
    undefined: dict[str, str] = field(default_factory=dict)

    @property
    def short(self) -> str:
        """The formats: one name where both operands have one."""
        return self.a.short if self.a.spec == self.b.spec else f"{self.a.short} × {self.b.short}"


@dataclass(frozen=True)
class GemmErrors(Result):
    """What ``gemm`` found. ``shape``: M, N, K. ``to_dict`` is its JSON."""

    a: GemmOperand
    b: GemmOperand
    shape: tuple[int, int, int]
    formats: tuple[GemmRow, ...]
    settings: dict[str, Any]
    notes: tuple[str, ...] = ()
    schema: ClassVar[str] = GEMM_SCHEMA

    def __str__(self) -> str:
        from fp4sim.report.gemm_markdown import gemm_markdown

        return gemm_markdown(self)
