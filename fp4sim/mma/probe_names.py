"""What each of the 57 published K = 64 probes shows, known by a digest of their operands: plain readers read no text arrays."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

K64_DIGEST = "cddc27702cb0c9e7af5ceb4980f689545da9e94e894c802fae66a85628103535"

K64_NAMES: tuple[str, ...] = (
    "C=2^23 plus dot -0.25",
    "C=2^32 plus dot -0.25",
    "C=2^33 plus dot -0.25",
    "C=2^34 plus dot -0.25",
    "C=2^35 plus dot -0.25",
    "2^16 - 2^-18",
    "2^16 - 2^-19",
    "2^16 - 2^-20",
    "anchor pair cancels, 12-bit tail 2^-8..2^-19 (+2^-20)",
    "C=-2^25 cancelled by 512*2^16, tail bits 2^0..2^-12",
    "anchor pair cancels, tail +1.75 quanta",
    "anchor pair cancels, tail -1.75 quanta",
    "anchor pair cancels, tail +0.5 quanta",
    "anchor pair cancels, tail +1.5 quanta",
    "anchor pair cancels, tail -0.75 quanta",
    "2^24 + 1 (tie)",
    "2^24 + 3 (tie up)",
    "-2^24 - 1.5",
    "group sum 2^16 + 0.75 ulp, C=0",
    "C=2^23, dot 0.5+0.25 with K halves",
    "C + dot, dot itself inexact",
    "all products zero, scales 448, C=1+2^-23",
    "a=6,b=0 everywhere, scales 448, C=1+2^-23",
    "cancelled group (+1-1), scales 448, C=1+2^-23",
    "nonzero products, one zero scale, C=2^-20(1+2^-23)",
    "cancelled group, both scales 2^-9, C=2^-26(1+2^-23)",
    "value vs scale anchor: dot 0.25 at 2^16, tail -2^-20",
    "value vs scale anchor: dot 576 at 2^16 and -576, tail 0.25*2^-17",
    "two +0.75-quantum tails in one 32-block, different 16-groups",
    "two +0.75-quantum tails in one 16-group, even and odd lane",
    "0.75-quantum tails in groups 1 and 2 (nvf4)",
    "2^24 in C, +1 in groups 0 and 3",
    "2^24 in C, +1 in groups 0 and 1",
    "SA bit 7 set",
    "C=-0, no products",
    "C=-0, (-0)*x products",
    "C=+inf",
    "C=-inf",
    "C=qNaN",
    "C=-sNaN",
    "NaN scale on an all-zero block",
    "NaN scale 0xFF",
    "C=FLT_MAX plus 2^28",
    "MX overflow +",
    "MX overflow - with C=+FLT_MAX",
    "MX NaN scale",
    "C=2^-149 and tail -2^-161",
    "C=2^-149 and tail -2^-162",
    "C=0: 2^-149 - 2^-173",
    "C=0: 2^-149 - 2^-174",
    "C=0: 2^-149 - 2^-175",
    "C=0: 2^-149 - 2^-176",
    "C=0: 2^-149 - 2^-162",
    "negative underflow -2^-151",
    "C=-2^-149 plus +2^-150",
    "subnormal output 3*2^-149",
    "subnormal C passes",
)


def probe_names(operands: Iterable[NDArray[Any]]) -> tuple[str, ...]:
    """The probes' names, given A, B, C, SA and SB as they are published; empty for other operands."""
    digest = hashlib.sha256()
    for array in operands:
        digest.update(np.ascontiguousarray(array).tobytes())
    return K64_NAMES if digest.hexdigest() == K64_DIGEST else ()
