"""``rcp.approx.ftz.f32`` bit by bit, as measured on Hopper.

PTX promises an error of at most one ulp and does not say more. A table holds, for each of the 2^23 mantissas of x, by how
many ulps the instruction's result differs from 1/x rounded correctly: −1, 0 or 1; the exponent has no influence as long as
the result is normal. fp4sim's own table was measured on an H200 (all mantissas, ten exponents); whether Blackwell's unit is
the same is not known, so a table measured elsewhere can be given in its place.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.errors import UnreadableError

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

MANTISSAS = 1 << 23
HOPPER = Path(__file__).parent / "data" / "rcp_approx_hopper.npz"
_NAN = np.uint32(0x7FFFFFFF)
_INF = np.uint32(0x7F800000)


def approximate_reciprocal(
    x: NDArray[np.float32] | np.float32, table: NDArray[np.int8] | None = None
) -> NDArray[np.float32]:
    """1/x as the instruction gives it, any shape.

    Subnormal x counts as zero of its sign and gives Inf; a subnormal result is flushed to zero, except that of 2^126, which
    is 2^-126; Inf gives zero; NaN gives 0x7fffffff.

    Args:
        x: float32.
        table: ulps to add by mantissa, int8 (2^23,), e.g. from :func:`read_table`; None means Hopper's.
    """
    ulps = hopper_table() if table is None else table
    x = np.asarray(x, np.float32)
    bits = x.view(np.uint32)
    sign, magnitude = bits & np.uint32(0x80000000), bits & np.uint32(0x7FFFFFFF)
    exponent, mantissa = magnitude >> np.uint32(23), magnitude & np.uint32(MANTISSAS - 1)
    with np.errstate(all="ignore"):
        exact = (np.float32(1) / magnitude.view(np.float32)).view(np.uint32)
    result = exact + ulps[mantissa].astype(np.uint32)  # −1 wraps around
    underflow = (exponent >= 253) & ~((exponent == 253) & (mantissa == 0))
    result = np.where(underflow, np.uint32(0), result)
    result = np.where(exponent == 0, _INF, result) | sign
    return np.asarray(np.where(magnitude > _INF, _NAN, result), np.uint32).view(np.float32)


@lru_cache(maxsize=1)
def hopper_table() -> NDArray[np.int8]:
    """The table measured on an H200."""
    return read_table(HOPPER)


def read_table(path: str | os.PathLike[str]) -> NDArray[np.int8]:
    """A table from an .npz file: ``delta``, int8 (2^23,), or ``packed``, uint8 (2^21,), four values a byte, each plus one.

    Raises UnreadableError.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in ("delta", "packed") if name in stored.files}
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise UnreadableError(f"'{path}': no table of rcp.approx.ftz can be read: {error}") from None
    table = arrays.get("delta")
    if table is None and "packed" in arrays:
        packed = arrays["packed"]
        fields = [(packed >> np.uint8(2 * place) & np.uint8(3)).astype(np.int8) for place in range(4)]
        table = np.stack(fields, axis=-1).reshape(-1) - np.int8(1)
    if table is None or table.dtype != np.int8 or table.shape != (MANTISSAS,) or np.abs(table).max() > 1:
        raise UnreadableError(f"'{path}': a table of rcp.approx.ftz holds 'delta', int8 of shape (8388608,), −1 to 1")
    table.setflags(write=False)
    return np.asarray(table)
