"""What is reported of a product measured: parts, profiles, heat map, and a sentence on where accumulation matters."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.commands.compare import describe
from fp4sim.mma.enclosure import low_bit
from fp4sim.report.cells import count_of
from fp4sim.report.gemm_model import GemmHeat, GemmPart, GemmProfile, GemmRow, GemmSteps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fp4sim.spec import Spec
    from fp4sim.stats.product_errors import ProductErrors

    Floats = NDArray[np.float64]

_DIGITS = 6  # of a row's, a column's or a bin's figures
_MATTERS = 0.01  # share of the operands' error from which accumulation is said to matter


class Chain:
    """Sums over the accumulators before the epilogue; ``right``: the values of B, without tensor scales.

    ``overflows``, ``wide_overflows``: outputs that are not finite in their dtype, and in float32 before the cast.
    """

    def __init__(self, right: Floats) -> None:
        self._unit, self._norm = _unit(right), np.linalg.norm(right, axis=1)
        self.exact = self.unproven = self.total = self.overflows = self.wide_overflows = 0
        self.square = self.energy = self.lost = self.size = 0.0

    def add(self, words: NDArray[np.float32], sums: Floats, left: Floats) -> None:
        """A band: float32 words, and the float64 products of ``left``, its rows of A, and B.

        A float64 sum is exact where the products' magnitudes sum to less than 2^53 units; the sum is bounded by the norms.
        """
        error = words - sums
        unit = np.ldexp(1.0, np.clip(np.add.outer(_unit(left), self._unit), -1000, 1000))
        size = np.outer(np.linalg.norm(left, axis=1), self._norm) * (1 + 2.0**-30)
        proven = size < 2.0**53 * unit
        equal = error == 0
        self.exact += int(np.count_nonzero(equal & proven))
        self.unproven += int(np.count_nonzero(equal & ~proven))
        self.total += words.size
        self.square += float((error * error).sum())
        self.energy += float((sums * sums).sum())
        self.lost -= float((np.sign(sums) * error).sum())
        self.size += float(np.abs(sums).sum())

    def steps(self) -> GemmSteps:
        """The record of a report."""
        relative = _ratio(self.square, self.energy)
        return GemmSteps(
            self.exact,
            self.total,
            self.unproven,
            None if relative is None else math.sqrt(relative),
            _ratio(self.lost, self.size),
        )


def _unit(values: Floats) -> NDArray[np.int64]:
    """The exponent of a power of two of which all values of a row are multiples."""
    return np.asarray(low_bit(values).min(axis=1))


def row_of(
    pair: tuple[Spec, Spec],
    sums: ProductErrors,
    chain: Chain | None,
    reason: str,
    rotated: bool,
    out: str,
) -> GemmRow:
    """The row of a pair of formats; ``chain`` is None, and ``reason`` says why, where no instruction multiplies them."""
    energy = sums.square("exact")
    undefined = {} if energy > 0 else {"rel_mse": "the exact product is zero"}
    parts = {name: _part(sums, name, energy) for name in sums.parts}
    if chain is not None and chain.wide_overflows:
        undefined["accumulation"] = f"{count_of(chain.wide_overflows, 'output')} overflow float32"
    if chain is not None and chain.overflows:
        undefined["cast"] = undefined["total"] = f"{count_of(chain.overflows, 'output')} overflow {out}"
    steps = None if chain is None else chain.steps()
    infos = [describe(spec) for spec in pair]
    return GemmRow(
        infos[0],
        infos[1],
        _part(sums, "total", energy),
        parts["operands"],
        parts.get("accumulation"),
        parts.get("cast"),
        {f"{x} · {y}": 2 * value / energy for (x, y), value in sums.inner.items() if energy and math.isfinite(value)},
        steps,
        _profile(sums.rows, sums.parts),
        _profile(sums.cols, sums.parts),
        _heat(sums, energy),
        "" if steps is None else _sentence(steps, parts),
        "rotated" if rotated else "input",
        reason,
        0 if chain is None else chain.overflows,
        undefined,
    )


def _part(sums: ProductErrors, name: str, energy: float) -> GemmPart:
    relative = _ratio(sums.square(name), energy)
    if relative is None:
        return GemmPart(None, None, None, None, None)
    largest, place = sums.worst[name]
    rms = math.sqrt(energy / (sums.shape[0] * sums.shape[1]))
    snr = 0.0 - 10 * math.log10(relative) if relative else None
    return GemmPart(relative, math.sqrt(relative), snr, largest / rms, place)


def _profile(by: dict[str, Floats], parts: Sequence[str]) -> GemmProfile:
    def relative(name: str) -> tuple[float | None, ...]:
        pairs = zip(by[name].tolist(), by["exact"].tolist(), strict=True)
        ratios = (_ratio(square, energy) for square, energy in pairs)
        return tuple(None if ratio is None else _short(math.sqrt(ratio)) for ratio in ratios)

    return GemmProfile(**{name: relative(name) for name in ("total", *parts)})


def _heat(sums: ProductErrors, energy: float) -> GemmHeat:
    mean = energy / (sums.shape[0] * sums.shape[1])
    bins: dict[str, Any] = {"operands": ()}
    for name in sums.parts if mean > 0 else ():
        levels = (sums.bins(name) / mean).tolist()
        bins[name] = tuple(tuple(_level(value) for value in row) for row in levels)
    return GemmHeat(tuple(sums.row_edges.tolist()), tuple(sums.col_edges.tolist()), **bins)


def _sentence(steps: GemmSteps, parts: dict[str, GemmPart]) -> str:
    """Where accumulation matters."""
    lost = steps.total - steps.exact
    if not lost:
        return "every sum is exact: the accumulation adds nothing (its part is the epilogue's rounding to float32)"
    if lost == steps.unproven:
        return f"no sum is known to have lost a bit; of {lost:,} outputs it could not be proven"
    words = f"{lost:,} of {steps.total:,} outputs are not their exact sum after accumulation"
    if steps.shrink:
        way = "smaller" if steps.shrink > 0 else "larger"
        words += f", which makes them {way} by {abs(steps.shrink):.2g} of their size on average"
    operands, accumulation = parts["operands"].rel_error, parts["accumulation"].rel_error
    if operands and accumulation is not None:
        ratio = accumulation / operands
        verdict = "matters" if ratio >= _MATTERS else "hardly matters"
        words += f": accumulation {verdict}, its error is {ratio:.2g} of the operands'"
    return words


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 and math.isfinite(part) and math.isfinite(whole) else None


def _short(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def _level(value: float) -> float | None:
    return _short(value) if math.isfinite(value) else None
