"""Block-scaled products on the tensor cores of sm_120: operands to the registers of warps and back (cuda/blackwell_mma.cu)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.mma import fragments

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from fp4sim.crosscheck.device import Device

SOURCE = "blackwell_mma.cu"


@dataclass(frozen=True)
class Kind:
    """An instruction: its kernel, elements of K, scale format and block; ``in_bytes``: a code takes a byte."""

    name: str
    kernel: str
    step: int
    scale_format: str
    block: int
    in_bytes: bool = False


NVF4 = Kind("mxf4nvf4.4X", "mma_mxf4nvf4_4x", 64, "ue4m3", 16)
MXF4 = Kind("mxf4.2X", "mma_mxf4", 64, "ue8m0", 32)
MXF4_AS_NVF4 = Kind("mxf4nvf4.2X", "mma_mxf4nvf4_2x", 64, "ue8m0", 32)
MXF8F6F4 = Kind("mxf8f6f4.1X", "mma_mxf8f6f4", 32, "ue8m0", 32, in_bytes=True)


@dataclass(frozen=True, eq=False)
class Operands:
    """Packed codes ``a`` (…, m, K/2) and ``b`` (…, n, K/2), bits of ``c`` (…, m, n), scale bytes (…, m or n, K/block)."""

    a: NDArray[np.uint8]
    b: NDArray[np.uint8]
    c: NDArray[np.uint32]
    scale_a: NDArray[np.uint8]
    scale_b: NDArray[np.uint8]

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]]) -> Operands:
        """The probes' arrays A, B, C, SA, SB."""
        return cls(*(np.ascontiguousarray(arrays[name]) for name in ("A", "B", "C", "SA", "SB")))

    def rows(self, rows: NDArray[Any]) -> Operands:
        """Some of them, by the first axis."""
        return Operands(*(np.ascontiguousarray(array[rows]) for array in vars(self).values()))


def multiply_tiles(device: Device, kind: Kind, tiles: Operands) -> NDArray[np.uint32]:
    """Bits of D (tiles, 16, 8) of tiles of 16 by 8 outputs, whole steps of K chained through the accumulator."""
    count, steps = tiles.c.shape[0], 2 * tiles.a.shape[-1] // kind.step
    a = fragments.pack_a(_steps(_element_words(tiles.a, kind), steps))
    b = fragments.pack_b(_steps(_element_words(tiles.b, kind), steps))
    scale_a = fragments.pack_scale_a(_scale_words(tiles.scale_a, steps))
    scale_b = fragments.pack_scale_b(_scale_words(tiles.scale_b, steps))
    arrays = (a, b, scale_a, scale_b, fragments.pack_c(tiles.c))
    given = [device.put(np.ascontiguousarray(array)) for array in arrays]
    d = device.put(np.zeros((count, fragments.LANES, 4), np.uint32))
    sizes = (np.uint32(count), np.uint32(steps))
    device.call(SOURCE, kind.kernel, count * fragments.LANES, *given, d, *sizes)
    return fragments.unpack_d(device.get(d))


def multiply_pairs(device: Device, kind: Kind, pairs: Operands) -> NDArray[np.uint32]:
    """Bits of D (pairs, 2) of single outputs: row i of ``a`` times row i of ``b`` plus ``c[i]``, computed in two places.

    Pair i is row i mod 8, and again row i mod 8 + 8, of a tile, and column i mod 8; both places must give the same.
    """
    columns = fragments.COLUMNS
    padded = Operands(*(_padded(array, columns) for array in vars(pairs).values()))

    def twice(rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
        tall = rows.reshape(-1, columns, rows.shape[-1])
        return np.concatenate([tall, tall], axis=1)

    c = np.zeros((padded.c.size // columns, fragments.ROWS, columns), np.uint32)
    place = np.arange(columns)
    for half in (0, columns):
        c[:, place + half, place] = padded.c.reshape(-1, columns)
    b, scale_b = (rows.reshape(-1, columns, rows.shape[-1]) for rows in (padded.b, padded.scale_b))
    d = multiply_tiles(device, kind, Operands(twice(padded.a), b, c, twice(padded.scale_a), scale_b))
    found = np.stack([d[:, place + half, place].reshape(-1) for half in (0, columns)], axis=-1)
    return found[: pairs.c.size]


def expected_pairs(kind: Kind, pairs: Operands, model: Any) -> NDArray[np.uint32]:
    """The bits that a model of :mod:`fp4sim.mma` gives for :func:`multiply_pairs`, (pairs,)."""
    lifted = Operands(
        pairs.a[:, None],
        pairs.b[:, None],
        np.ascontiguousarray(pairs.c[:, None, None]),
        pairs.scale_a[:, None],
        pairs.scale_b[:, None],
    )
    return expected_tiles(kind, lifted, model)[:, 0, 0]


def expected_tiles(kind: Kind, tiles: Operands, model: Any) -> NDArray[np.uint32]:
    """The bits that a model gives for :func:`multiply_tiles`."""
    from fp4sim.mma import block_scaled_mma

    given = {"scale_format": kind.scale_format, "block": kind.block, "model": model}
    operands = (tiles.a, tiles.b, tiles.c, tiles.scale_a, tiles.scale_b)
    return block_scaled_mma(*operands, **given).view(np.uint32)


def _padded(array: NDArray[Any], multiple: int) -> NDArray[Any]:
    missing = -array.shape[0] % multiple
    return np.pad(array, [(0, missing), *[(0, 0)] * (array.ndim - 1)])


def _element_words(packed: NDArray[np.uint8], kind: Kind) -> NDArray[np.uint32]:
    if not kind.in_bytes:
        return fragments.words_of(packed)
    from fp4sim.kernels.reference.blocks import unpack

    return fragments.words_of(fragments.in_bytes(unpack(packed)))


def _steps(words: NDArray[np.uint32], steps: int) -> NDArray[np.uint32]:
    """(tiles, rows, words of K) as (tiles, steps, rows, words of a step)."""
    tiles, rows, _ = words.shape
    return np.ascontiguousarray(words.reshape(tiles, rows, steps, fragments.WORDS).swapaxes(1, 2))


def _scale_words(scales: NDArray[np.uint8], steps: int) -> NDArray[np.uint32]:
    """(tiles, rows, scales of K) as (tiles, steps, rows), a step's scales in the low bytes of a word."""
    tiles, rows, _ = scales.shape
    apart = scales.reshape(tiles, rows, steps, -1)
    padded = np.pad(apart, ((0, 0), (0, 0), (0, 0), (0, 4 - apart.shape[-1])))
    return np.ascontiguousarray(fragments.words_of(padded)[..., 0].swapaxes(1, 2))


def hex_words(words: NDArray[np.unsignedinteger]) -> str:
    """Words as hex digits, one after the other, each as wide as its dtype."""
    width = 2 * words.dtype.itemsize
    return " ".join(f"{int(word):0{width}x}" for word in words.reshape(-1))


def best_fits(
    words: NDArray[np.uint32], predictions: NDArray[np.uint32], models: Sequence[str]
) -> tuple[list[str], int]:
    """The models that miss the fewest of ``words`` (n,), and how many; ``predictions``: (n, models)."""
    missed = (predictions != words[:, None]).sum(axis=0)
    least = int(missed.min())
    return [models[i] for i in np.flatnonzero(missed == least).tolist()], least
