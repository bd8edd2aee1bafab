"""What is measured of a quantized tensor: a name, a definition and a function of :class:`Sample` each."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.drawing import Drawer
from fp4sim.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.estimators.base import Encoded
    from fp4sim.geometry import Cell
    from fp4sim.io.source import ArrayTensor
    from fp4sim.spec import Spec


class Sample:
    """A tensor and one draw of it: float64 sums, each computed when first asked for."""

    def __init__(self, tensor: ArrayTensor, spec: Spec, seed: int, threads: int) -> None:
        drawer = Drawer(tensor, spec, seed=seed, threads=threads)
        self.x = tensor.read_all()
        self.xhat: NDArray[np.float32] = np.empty_like(self.x)
        self._drawer = drawer
        parts: dict[Cell, NDArray[np.bool_]] = {}

        def store(cell: Cell, values: NDArray[np.float32], encoded: Encoded) -> None:
            self.xhat[cell.row0 : cell.row0 + cell.rows, cell.col0 : cell.col0 + cell.cols] = values
            if "fours" in encoded.extra:
                parts[cell] = encoded.extra["fours"]
            elif spec.has("if4"):
                parts[cell] = (encoded.scales.codes & 0x80) > 0

        drawer.each(0, store)
        self.chosen = np.concatenate([part.reshape(-1) for part in parts.values()]) if parts else np.zeros(0, np.bool_)

    @property
    def elements(self) -> int:
        """How many."""
        return int(self.x.size)

    @cached_property
    def squares(self) -> tuple[float, float, float]:
        """Σx², Σx·x̂, Σe²."""
        square, product, e2 = (float(part.sum()) for part in self.groups(self.x.shape[1]))
        return square, product, e2

    @cached_property
    def trusted(self) -> float:
        """Share of elements in QuEST's mask."""
        return float(self._drawer.trust(0).mean())

    def rel_mse(self) -> float:
        """Σe²/Σx²."""
        return self.squares[2] / self.squares[0]

    def groups(self, size: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Σx², Σx·x̂, Σe² of each group of ``size`` consecutive values of a row, groups without energy left out."""
        x, error = self.x.reshape(-1, size), (self.xhat - self.x).reshape(-1, size)
        square = np.einsum("ij,ij->i", x, x, dtype=np.float64)
        product = square + np.einsum("ij,ij->i", x, error, dtype=np.float64)
        e2 = np.einsum("ij,ij->i", error, error, dtype=np.float64)
        keep = square > 0
        return square[keep], product[keep], e2[keep]


@dataclass(frozen=True)
class Quantity:
    """``definition``: in words, with the unit that ``measure`` returns."""

    definition: str
    measure: Callable[[Sample], float]


def quantity(name: str) -> Quantity:
    """Look one up. Raises UsageError."""
    if name not in QUANTITIES:
        raise UsageError(f"no quantity '{name}'; there are {', '.join(QUANTITIES)}")
    return QUANTITIES[name]


def _group_error(size: int) -> Callable[[Sample], float]:
    def measure(sample: Sample) -> float:
        square, _, e2 = sample.groups(size)
        return float((e2 / square).mean())

    return measure


def _misalignment(size: int) -> Callable[[Sample], float]:
    def measure(sample: Sample) -> float:
        square, product, _ = sample.groups(size)
        return float(1 - (product / square).mean())

    return measure


def _cosine(sample: Sample) -> float:
    square, product, e2 = sample.squares
    return product / math.sqrt(square * (2 * product - square + e2))


QUANTITIES: dict[str, Quantity] = {
    "mse": Quantity("mean e²", lambda s: s.squares[2] / s.elements),
    "mse3": Quantity("mean e² × 1e3", lambda s: 1e3 * s.squares[2] / s.elements),
    "rel_mse": Quantity("Σe²/Σx²", lambda s: s.rel_mse()),
    "rel3": Quantity("Σe²/Σx² × 1e3", lambda s: 1e3 * s.rel_mse()),
    "rel3_by_row": Quantity("mean over rows of 128 of Σe²/Σx², × 1e3", lambda s: 1e3 * _group_error(128)(s)),
    "rel3_by_32": Quantity("mean over groups of 32 of Σe²/Σx², × 1e3", lambda s: 1e3 * _group_error(32)(s)),
    "rel_by_block": Quantity("mean over blocks of 16 of Σe²/Σx²", _group_error(16)),
    "bits_by_row": Quantity(
        "−log2(mean over rows of 128 of Σe²/Σx²)/2", lambda s: -math.log2(_group_error(128)(s)) / 2
    ),
    "bits": Quantity("−log2(Σe²/Σx²)/2", lambda s: -math.log2(s.rel_mse()) / 2),
    "snr": Quantity("−10 log10(Σe²/Σx²), dB", lambda s: -10 * math.log10(s.rel_mse())),
    "mse_at_rms": Quantity("0.81 Σe²/Σx²: mean e² of a tensor scaled to an rms of 0.9", lambda s: 0.81 * s.rel_mse()),
    "cosine": Quantity("Σx·x̂/√(Σx² Σx̂²)", _cosine),
    "shrinkage": Quantity("1 − Σx·x̂/Σx²", lambda s: 1 - s.squares[1] / s.squares[0]),
    "misalignment": Quantity("1 − mean over groups of 128 of Σx·x̂/Σx²", _misalignment(128)),
    "misalignment32": Quantity("1 − mean over groups of 32 of Σx·x̂/Σx²", _misalignment(32)),
    "fours": Quantity("share of blocks that choose 4", lambda s: float(s.chosen.mean())),
    "integers": Quantity("share of blocks that choose INT4", lambda s: float(s.chosen.mean())),
    "trust": Quantity("share of elements that the mask keeps", lambda s: s.trusted),
}
