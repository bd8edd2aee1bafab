"""The project's random stream: which random bits element i of a tensor uses. Frozen; changing it is a major release.

Element i (row-major in the logical tensor, before padding or moving an axis) uses word ``i mod 4`` of Philox4x32-10 at
counter ``i div 4``, its top ``bits`` bits. At 8 bits it uses byte ``i mod 4`` of word ``(i div 4) mod 4`` at counter
``i div 16``, so that one call serves 16 elements. The counter's words are (low, high of the index, stream.name,
stream.draw) and the key is the seed's (low, high) halves.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.errors import UsageError
from fp4sim.kernels.reference.philox import philox4x32

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Stream:
    """Which draw of which tensor: a 64-bit ``seed`` and two 32-bit words, the name's hash and the draw number."""

    seed: int = 0
    name: int = 0
    draw: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 1 << 64:
            raise UsageError(f"seed {self.seed} does not fit: it must be in 0 .. 2^64 - 1")
        if not (0 <= self.name < 1 << 32 and 0 <= self.draw < 1 << 32):
            raise UsageError(f"draw {self.draw} does not fit: it must be in 0 .. 2^32 - 1")

    @classmethod
    def of(cls, seed: int, name: str = "", draw: int = 0) -> Stream:
        """The stream of a named tensor: the name enters as the first four bytes of its SHA-256, little-endian."""
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
        return cls(seed, int.from_bytes(digest[:4], "little"), draw)

    def aside(self, purpose: str) -> Stream:
        """The stream for another use of the same draw, such as the rounding of block scales."""
        return Stream(self.seed, self.name ^ Stream.of(0, purpose).name, self.draw)

    @property
    def key(self) -> tuple[int, int]:
        """Philox key: low and high half of the seed."""
        return self.seed & 0xFFFFFFFF, self.seed >> 32


def random_bits(stream: Stream, index: NDArray[np.integer], bits: int) -> NDArray[np.uint32]:
    """Random integers in [0, 2^bits) of the elements at flat ``index`` (any shape), as the layout above defines."""
    if not 1 <= bits <= 32:
        raise UsageError(f"{bits} random bits: 1 to 32 are possible")
    i = np.asarray(index, np.uint64)
    four = np.uint64(4)
    if bits == 8:
        words = _words(stream, i // np.uint64(16))
        word = np.take_along_axis(words, ((i // four) % four).astype(np.int64)[..., None], -1)[..., 0]
        shift = (i % four).astype(np.uint32) * np.uint32(8)
        return np.asarray((word >> shift) & np.uint32(0xFF))
    words = _words(stream, i // four)
    word = np.take_along_axis(words, (i % four).astype(np.int64)[..., None], -1)[..., 0]
    return np.asarray(word >> np.uint32(32 - bits))


def _words(stream: Stream, counter: NDArray[np.uint64]) -> NDArray[np.uint32]:
    low = (counter & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    high = (counter >> np.uint64(32)).astype(np.uint32)
    name, draw = np.full_like(low, stream.name), np.full_like(low, stream.draw)
    return philox4x32(np.stack([low, high, name, draw], axis=-1), stream.key)
