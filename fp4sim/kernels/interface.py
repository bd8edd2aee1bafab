"""The primitives that every backend implements, bit-identical: reference (NumPy), cpu (numba), cuda (CuPy).

A *panel* is a C-contiguous float32 array (rows, cols) whose cols (and rows, for tiles) are whole blocks; padding is zeros.
A backend knows neither scale rule nor dialect: it takes one factor a block and returns codes or sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from fp4sim.rounding import HARDWARE, CastPolicy, Rounding

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fp4sim.floats import FloatFormat
    from fp4sim.randbits import Stream
    from fp4sim.stats.sums import PanelSums


@dataclass(frozen=True)
class Place:
    """Where a panel lies in its tensor, so that each element finds its own random bits.

    The tensor is (outer, axis length, inner) around the quantized axis; panel row r and column c are element
    ``((row // inner) * length + col) * inner + row % inner`` with row = row0 + r, col = col0 + c.
    """

    row0: int = 0
    col0: int = 0
    length: int = 0
    inner: int = 1


@dataclass(frozen=True)
class ElementCast:
    """How scaled elements become codes. ``divides``: x / factor instead of x * factor; ``flush``: subnormal x are zeros."""

    fmt: FloatFormat
    rounding: Rounding = Rounding.RN
    random_bits: int = 0
    policy: CastPolicy = HARDWARE
    divides: bool = False
    flush: bool = False


@dataclass(frozen=True)
class Criterion:
    """What makes one of two encodings of a block the better one.

    ``metric``: squared (mse), absolute (mae) or largest (absmax) errors. ``order``: the float operations behind a
    difference, see :mod:`fp4sim.kernels.reference.choose`.
    """

    metric: str = "mse"
    order: Literal["exact", "scaled", "product"] = "exact"


class Kernels(Protocol):
    """One backend's primitives. Shapes: panel x is (rows, cols); ``tile`` = (block rows, block cols).

    ``takes_nonfinite``: whether panels and factors may hold NaN and Inf. Array types are NumPy's; the GPU's takes CuPy
    arrays for panels and codes and NumPy's for what is one a block (:mod:`fp4sim.kernels.cuda.kernels`).
    """

    takes_nonfinite: bool

    def block_amax(
        self, x: NDArray[np.float32], tile: tuple[int, int], out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Largest magnitude of each block, (rows/tile[0], cols/tile[1]), into ``out`` if given; NaN if it holds one."""

    def cast(self, x: NDArray[np.float32], fmt: FloatFormat, rounding: Rounding) -> NDArray[np.unsignedinteger]:
        """Elementwise saturating cast (any shape) to codes; used for block scales."""

    def scale(
        self, x: NDArray[np.float32], factor: NDArray[np.float32], tile: tuple[int, int], *, divides: bool
    ) -> NDArray[np.float32]:
        """fl(x * factor[block]) (or fl(x / factor[block])), a new panel."""

    def rotate(
        self, x: NDArray[np.float32], signs: NDArray[np.float32], *, inverse: bool = False
    ) -> NDArray[np.float32]:
        """The Walsh-Hadamard transform of :mod:`fp4sim.kernels.reference.rotate`, a new array."""

    def dequantize(
        self, codes: NDArray[np.unsignedinteger], decode: NDArray[np.float64], tile: tuple[int, int], fmt: FloatFormat
    ) -> NDArray[np.float32]:
        """value(code) * decode[block], the float64 product rounded once to float32, (rows, cols)."""

    def products(
        self,
        x: NDArray[np.float32],
        codes: NDArray[np.uint8],
        factor: NDArray[np.float32],
        tile: tuple[int, int],
        cast: ElementCast,
        group: int,
    ) -> NDArray[np.float64]:
        """<z, z> and <z, q> of each ``group`` of columns, (2, rows, cols/group), in the order of reference/products.py.

        z is the scaled element fl(x * factor) (or fl(x / factor)) and q the value of its code.
        """

    def choose(
        self,
        x: NDArray[np.float32],
        codes: tuple[NDArray[np.uint8], NDArray[np.uint8]],
        scales: tuple[NDArray[np.float32], NDArray[np.float32]],
        group: tuple[NDArray[np.float32], np.float32],
        tile: tuple[int, int],
        fmt: FloatFormat,
        criterion: Criterion,
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Of two ways to encode each block the one of less error, the first on ties: codes, and where it is the second.

        ``scales``: value of the block scale; ``group``: the tensor-scale group's factor (broadcastable) and its divisor, as
        the criterion's order wants them. Order of operations: :mod:`fp4sim.kernels.reference.choose`.
        """

    def te_scales(
        self,
        amax: NDArray[np.float32],
        multiplier: NDArray[np.float32],
        decode: NDArray[np.float32],
        fmt: FloatFormat,
        rounding: Rounding,
    ) -> tuple[NDArray[np.unsignedinteger], NDArray[np.float32]]:
        """The default dialect's scale stage (:mod:`fp4sim.dialects.te`): scale codes and factors of block maxima.

        ``multiplier`` is fl(S_enc fl(1/v)) and ``decode`` S_dec, both broadcastable to ``amax``.
        """

    def encode(
        self,
        x: NDArray[np.float32],
        factor: NDArray[np.float32],
        tile: tuple[int, int],
        cast: ElementCast,
        stream: Stream | None = None,
        place: Place | None = None,
    ) -> NDArray[np.unsignedinteger]:
        """Codes of fl(x * factor) (or fl(x / factor)), one a element, (rows, cols)."""

    def encode_packed(
        self,
        x: NDArray[np.float32],
        factor: NDArray[np.float32],
        tile: tuple[int, int],
        cast: ElementCast,
        stream: Stream | None = None,
        place: Place | None = None,
        out: NDArray[np.uint8] | None = None,
    ) -> NDArray[np.uint8]:
        """``pack(encode(...))`` for 4-bit formats, (rows, cols/2), into ``out`` if given."""

    def pack(self, codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Two 4-bit codes a byte along the last axis (even length), the even element in the low nibble."""

    def unpack(self, packed: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The inverse of ``pack``."""

    def histogram(self, codes: NDArray[np.uint8]) -> NDArray[np.int64]:
        """How often each byte occurs, int64 (256,)."""

    def error_sums(
        self,
        x: NDArray[np.float32],
        codes: NDArray[np.uint8],
        factor: NDArray[np.float32],
        decode: NDArray[np.float64],
        amax: NDArray[np.float32],
        tile: tuple[int, int],
        cast: ElementCast,
        valid: tuple[int, int],
        cell_rows: int,
    ) -> list[PanelSums]:
        """Float64 sums over the first ``valid`` (rows, cols) of a panel, one result per ``cell_rows`` rows.

        x_hat = value(code) * decode[block] is never stored; ``amax`` and ``decode`` have one entry a block. ``worst_index`` is
        flat in the cell's part of the panel.
        """
