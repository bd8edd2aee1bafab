"""Global scales: are they numbers, do they make weights of a plausible size, and if not, would the inverse?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fp4sim.checkpoints.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from fp4sim.checkpoints.scan import Scan
    from fp4sim.checkpoints.weight import QuantizedWeight

# The largest magnitude of a trained weight matrix lies well within these. With full-range scales (448 * 6) a multiplier in
# place of a divisor misses the upper bound for every matrix whose amax is below 700.
PLAUSIBLE = (1e-9, 1e4)


def global_findings(weight: QuantizedWeight, seen: Scan) -> Iterator[Finding]:
    """What the global scale, or the size of the values without one, gives to say."""
    stored = weight.globals.astype(np.float64)
    bad = ~(np.isfinite(stored) & (stored > 0))
    if bad.any():
        first = int(bad.argmax())
        message = f"the global scale is {stored[first]:g}"
        yield Finding("global-scale", "error", weight.name, message, int(bad.sum()), len(stored), (first,))
        return
    used = seen.largest > 0  # what is all zero has any size
    if not used.any():
        return
    multiplies = weight.convention != "divisor"
    claimed = _largest(seen.largest, stored, multiplies)
    if PLAUSIBLE[0] <= claimed <= PLAUSIBLE[1]:
        return
    size = f"the largest dequantized magnitude is {claimed:.3g}"
    inverse = _largest(seen.largest, stored, not multiplies)
    if weight.global_scale is not None and PLAUSIBLE[0] <= inverse <= PLAUSIBLE[1]:
        stated, other = ("multiplier", "divisor") if multiplies else ("divisor", "multiplier")
        message = f"{size}; read as a {other} instead of a {stated}, the global scale makes it {inverse:.3g}"
        yield Finding("global-convention", "error", weight.name, message)
        return
    yield Finding("implausible", "warning", weight.name, size)


def _largest(raw: NDArray[np.float64], stored: NDArray[np.float64], multiplies: bool) -> float:
    with np.errstate(over="ignore"):
        return float(np.max(raw * stored if multiplies else raw / stored))
