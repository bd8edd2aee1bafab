"""DGE, the differentiable gradient estimator: the derivative of a smooth surrogate of rounding (arXiv 2501.17116 §3.1).

On an interval [a, a + δ] between neighbouring values of the format, with u = 2 (z − a) / δ − 1 in [−1, 1]:

    f(z) = a + δ/2 · (1 + sgn(u) |u|^(1/k))        f'(z) = min(|u|^(1/k − 1) / k, cap)

f meets the format at both ends, so it is continuous; f' is 1/k there and infinite in the middle, which ``cap`` bounds. The
negative side mirrors the positive one. Outside [−max, max] f is ±max and f' is 0, as in the released kernel (MS-AMP
9746ea8, PR #203): an element that the scale rule clips gets no gradient. One that exceeds max by a rounding of its
factor gets none either; a caller who wants it to count as max clips z first.

The weight gradient of a linear layer is (Aᵀ ∂L/∂Y) ⊙ f'(w · factor): scaling and unscaling cancel (App. C.2).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.errors import UsageError
from fp4sim.estimators.base import Info
from fp4sim.floats import E2M1
from fp4sim.packed import round_once

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from fp4sim.floats import FloatFormat

INFO = Info(
    "dge",
    "Differentiable gradient estimator",
    "none",
    "The weight gradient is multiplied by f'(w · factor) = min(|2t/δ − 1|^(1/k − 1) / k, cap), t the distance from the"
    " format's next value below and δ the gap; 0 for clipped elements. No forward effect. Without cap its mean over an"
    " interval is 1; the cap of 3 leaves .5935 at k = 5.",
    "arXiv 2501.17116 §3.1, App. C; MS-AMP 9746ea8 (PR #203)",
    "e2m1/row@fp32+dge",
)


def forward(z: ArrayLike, fmt: FloatFormat = E2M1, k: float = 5.0) -> NDArray[np.float64]:
    """The surrogate f of rounding.

    ``z``: scaled values, any shape, read as float64; ``fmt``: an element format; ``k`` >= 1: 1 is the identity, larger
    ones come closer to rounding. Returns float64 of z's shape; NaN stays NaN. Raises UsageError.
    """
    _check(fmt, k)
    values = np.asarray(z, np.float64)
    below, gap, u = _interval(values, fmt)
    with np.errstate(invalid="ignore"):
        rounded = below + gap / 2 * (1 + np.copysign(np.abs(u) ** (1 / k), u))
        clipped = np.where(np.abs(values) > fmt.max, fmt.max, rounded)
    return np.asarray(np.copysign(clipped, values))


def derivative(z: ArrayLike, fmt: FloatFormat = E2M1, k: float = 5.0, cap: float = 3.0) -> NDArray[np.float64]:
    """f', which multiplies the gradient of w for z = w · factor.

    ``z``, ``fmt``, ``k`` as in :func:`forward`; ``cap`` >= 0 bounds f', infinity leaves it as it is. Returns float64 of
    z's shape: from min(1/k, cap) to ``cap`` on the grid, 0 outside, NaN where z is. Raises UsageError.
    """
    _check(fmt, k)
    if not cap >= 0:
        raise UsageError(f"dge: cap is a number from 0 up, not {cap!r}")
    values = np.asarray(z, np.float64)
    u = _interval(values, fmt)[2]
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.minimum(np.abs(u) ** (1 / k - 1) / k, cap)
    return np.where(np.abs(values) > fmt.max, 0.0, slope)


def derivative_bf16(z: ArrayLike, fmt: FloatFormat = E2M1, k: float = 5.0, cap: float = 3.0) -> NDArray[Any]:
    """f' as the released kernel returns it: z in bfloat16, one rounding of f' to bfloat16.

    ``z``: any shape, rounded to bfloat16 first (exact where it is bfloat16). Returns ml_dtypes.bfloat16 of z's shape.
    The kernel computes in float32, whose errors are far below bfloat16's step: they can only decide a tie.
    """
    import ml_dtypes

    bf16 = np.dtype(ml_dtypes.bfloat16)
    return round_once(derivative(round_once(np.asarray(z, np.float64), bf16).astype(np.float64), fmt, k, cap), bf16)


def _interval(
    z: NDArray[np.float64], fmt: FloatFormat
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Of |z|: the value below, the gap to the one above, and the place u between them, from −1 to 1."""
    grid, magnitude = fmt.magnitudes(), np.abs(z)
    place = np.clip(np.searchsorted(grid, magnitude, side="right") - 1, 0, grid.size - 2)
    below, gap = grid[place], np.diff(grid)[place]
    with np.errstate(invalid="ignore"):
        return below, gap, 2 * (magnitude - below) / gap - 1


def _check(fmt: FloatFormat, k: float) -> None:
    if not (fmt.signed and fmt.has_zero):
        raise UsageError(f"dge: {fmt} is a scale encoding; the estimator is defined on elements with a sign")
    if not 1 <= k < math.inf:
        raise UsageError(f"dge: k is a number from 1 up, not {k!r}")
