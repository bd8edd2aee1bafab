"""The checks that tests of kernels usually make of decoded values, so that their strength can be measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Tolerance:
    """Bounds that must all hold, in float64; with none of them, bits must be equal.

    ``atol``, ``rtol``: |actual − expected| ≤ atol + rtol·|expected| but for a share ``mismatched`` of the elements.
    ``cosine``: the least similarity. ``rel_error``: the largest ‖actual − expected‖ / ‖expected‖.
    """

    atol: float | None = None
    rtol: float | None = None
    mismatched: float = 0.0
    cosine: float | None = None
    rel_error: float | None = None

    def __post_init__(self) -> None:
        for name in ("atol", "rtol", "mismatched", "cosine", "rel_error"):
            value = getattr(self, name)
            if value is not None and not (np.isfinite(value) and value >= 0):
                raise UsageError(f"{name} is {value}: it must be a number from 0 on")
        if self.mismatched > 1 or (self.cosine or 0) > 1:
            raise UsageError("mismatched and cosine are shares: at most 1")

    def __str__(self) -> str:
        named = {name: getattr(self, name) for name in ("atol", "rtol", "mismatched", "cosine", "rel_error")}
        return ", ".join(f"{name} {value:g}" for name, value in named.items() if value) or "bit for bit"

    def __call__(self, actual: NDArray[Any], expected: NDArray[Any]) -> bool:
        """Whether every bound holds."""
        a, e = np.asarray(actual, np.float64).reshape(-1), np.asarray(expected, np.float64).reshape(-1)
        with np.errstate(all="ignore"):
            return all(
                (self._is_close(a, e), self._is_similar(a, e), self._is_near(a, e), self._is_equal(actual, expected))
            )

    def _is_close(self, a: NDArray[np.float64], e: NDArray[np.float64]) -> bool:
        if self.atol is None and self.rtol is None:
            return True
        close = np.abs(a - e) <= (self.atol or 0.0) + (self.rtol or 0.0) * np.abs(e)
        return bool(np.count_nonzero(~(close | (np.isnan(a) & np.isnan(e)))) <= self.mismatched * a.size)

    def _is_similar(self, a: NDArray[np.float64], e: NDArray[np.float64]) -> bool:
        if self.cosine is None:
            return True
        norms = np.sqrt(np.dot(a, a)) * np.sqrt(np.dot(e, e))
        return bool(np.dot(a, e) >= self.cosine * norms) if norms else bool(not a.any() and not e.any())

    def _is_near(self, a: NDArray[np.float64], e: NDArray[np.float64]) -> bool:
        if self.rel_error is None:
            return True
        return bool(np.sqrt(np.sum((a - e) ** 2)) <= self.rel_error * np.sqrt(np.sum(e**2)))

    def _is_equal(self, actual: NDArray[Any], expected: NDArray[Any]) -> bool:
        if any(value is not None for value in (self.atol, self.rtol, self.cosine, self.rel_error)):
            return True
        return np.ascontiguousarray(actual).tobytes() == np.ascontiguousarray(expected).tobytes()
