"""Recorded words of a matrix unit with the raw operands that made them, read from .npz, .safetensors or a folder of .npy.

Arrays are named ``[CASE/]KEY`` (``.`` parts as ``/`` does):

=======  =========================================================================================
A, B     uint8 (m, K/2) and (n, K/2), E2M1 codes two a byte, the even element low
SA, SB   uint8 (m, K/block) and (n, K/block), raw scale bytes
C        uint32 bits or float32 (m, n), the first accumulator; +0 where it is not there
D        uint32 bits or float32 (m, n): the words recorded
is_mxf4  bool (m,), of paired rows: UE8M0 with block 32 there, UE4M3 with block 16 elsewhere
=======  =========================================================================================

D of one axis are *pairs*: word i is row i of A with row i of B. The scale format is told by the case's name (ue4m3_b16,
ue8m0_b32, ue8m0_b16, nvf4, mxf4), by is_mxf4, by the shapes (block 32 is UE8M0), or by the caller.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.errors import UnreadableError, UsageError
from fp4sim.io.files import shown
from fp4sim.mma.block_scaled import block_scaled_mma
from fp4sim.mma.operands import check_kind
from fp4sim.mma.probe_names import probe_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from fp4sim.mma.model import MmaModel
    from fp4sim.mma.order import Order

KEYS = ("A", "B", "C", "SA", "SB", "D", "is_mxf4")
_SEPARATOR = re.compile(r"[./]")
_KIND = re.compile(r"(ue4m3|ue8m0)_b(16|32)")
_BY_WORD = {"nvf4": ("ue4m3", 16), "mxf4": ("ue8m0", 32)}


@dataclass(frozen=True, eq=False)
class Recorded:
    """The words of one case; ``labels``: what each shows, where they are known probes; ``index``: places in what was dumped."""

    name: str
    scale_format: str
    block: int
    a: NDArray[np.uint8]
    b: NDArray[np.uint8]
    c: NDArray[np.uint32]
    sa: NDArray[np.uint8]
    sb: NDArray[np.uint8]
    d: NDArray[np.uint32]
    labels: tuple[str, ...] = ()
    index: NDArray[np.int64] | None = None

    @property
    def paired(self) -> bool:
        """Whether word i is row i with row i."""
        return self.d.ndim == 1

    @property
    def length(self) -> int:
        """K."""
        return 2 * int(self.a.shape[1])

    def words(self, model: MmaModel, order: Order, threads: int | None = None) -> NDArray[np.uint32]:
        """What a model gives in an order of its steps, in the shape of D."""
        arrays = (self.a, self.b, self.c, self.sa, self.sb)
        if self.paired:
            a, b, c, sa, sb = arrays
            arrays = (a[:, None], b[:, None], np.ascontiguousarray(c[:, None, None]), sa[:, None], sb[:, None])
        given: dict[str, Any] = {"scale_format": self.scale_format, "block": self.block, "threads": threads}
        return (
            block_scaled_mma(*arrays, model=model, order=order, path="wide", **given)
            .view(np.uint32)
            .reshape(self.d.shape)
        )

    def place(self, flat: int) -> tuple[tuple[int, ...], str]:
        """The index in D of a word, and what it shows."""
        where = tuple(int(i) for i in np.unravel_index(flat, self.d.shape))
        if self.index is not None:
            where = (int(self.index[where[0]]), *where[1:])
        return where, self.labels[where[0]] if self.labels else ""


def is_recorded_part(name: str) -> bool:
    """Whether an array's name is one of recorded words or their operands."""
    return _SEPARATOR.split(name)[-1] in KEYS


def is_recorded(name: str) -> bool:
    """Whether an array's name is that of recorded words."""
    return _SEPARATOR.split(name)[-1] == "D"


def recorded_cases(arrays: Mapping[str, NDArray[Any]], path: str, scale_format: str | None = None) -> list[Recorded]:
    """The cases of named arrays, those with a D. Raises UnreadableError for what is missing or does not fit together."""
    if scale_format not in (None, "ue4m3", "ue8m0"):
        raise UsageError(f"--scale-format {scale_format!r}: ue4m3 or ue8m0")
    found: dict[str, dict[str, NDArray[Any]]] = {}
    for name, array in arrays.items():
        parts = _SEPARATOR.split(name)
        if parts[-1] in KEYS:
            found.setdefault("/".join(parts[:-1]), {})[parts[-1]] = array
    cases: list[Recorded] = []
    for name, case in found.items():
        if "D" in case:
            who = f"{shown(path)}: case '{shown(name, 80)}'" if name else shown(path)
            cases += _cases(name, case, who, scale_format)
    if not cases:
        raise UnreadableError(f"{shown(path)}: holds no recorded words; name them D, beside A, B, SA, SB and C")
    return cases


def _cases(name: str, case: dict[str, NDArray[Any]], who: str, scale_format: str | None) -> Iterator[Recorded]:
    missing = [key for key in ("A", "B", "SA", "SB") if key not in case]
    if missing:
        raise UnreadableError(f"{who}: has D but no {', '.join(missing)}: words say nothing without their operands")
    for key in ("A", "B", "SA", "SB"):
        if case[key].dtype != np.uint8 or case[key].ndim != 2 or not case[key].size:
            raise UnreadableError(
                f"{who}: {key} is {case[key].dtype} of shape {case[key].shape}: raw bytes of two axes, uint8"
            )
    d = _words(case["D"], "D", who)
    c = _words(case["C"], "C", who) if "C" in case else np.zeros(d.shape, np.uint32)
    if not d.size or c.shape != d.shape:
        raise UnreadableError(f"{who}: D has shape {d.shape}, C {c.shape}: they must be the same, and not empty")
    _check_shapes(case, d, who)
    operands = (case["A"], case["B"], c, case["SA"], case["SB"])
    if "is_mxf4" not in case:
        kind = _kind(name, case, who, scale_format)
        a, b, c_, sa, sb = operands
        yield _checked(Recorded(name, *kind, a, b, c_, sa, sb, d), who)
        return
    mixed = case["is_mxf4"]
    if mixed.dtype != np.bool_ or d.ndim != 1 or mixed.shape != d.shape or len(case["A"]) != len(d):
        raise UnreadableError(f"{who}: is_mxf4 is {mixed.dtype} of shape {mixed.shape}: a bool for each pair of rows")
    labels = probe_names(operands)
    for rows, kind in ((~mixed, _BY_WORD["nvf4"]), (mixed, _BY_WORD["mxf4"])):
        if rows.any():
            a, b, c_, sa, sb = (array[rows] for array in operands)
            blocks = 2 * a.shape[1] // kind[1]
            one = Recorded(name, *kind, a, b, c_, sa[:, :blocks], sb[:, :blocks], d[rows], labels, np.flatnonzero(rows))
            yield _checked(one, who)


def _words(array: NDArray[Any], key: str, who: str) -> NDArray[np.uint32]:
    if array.dtype not in (np.dtype(np.uint32), np.dtype(np.float32)) or array.ndim not in (1, 2):
        raise UnreadableError(
            f"{who}: {key} is {array.dtype} of shape {array.shape}: float32 or its bits as uint32, (m, n) or pairs"
        )
    return np.ascontiguousarray(array).view(np.uint32)


def _kind(name: str, case: dict[str, NDArray[Any]], who: str, scale_format: str | None) -> tuple[str, int]:
    match = _KIND.search(name)
    if match:
        return match[1], int(match[2])
    for word, kind in _BY_WORD.items():
        if word in name:
            return kind
    length, blocks = 2 * case["A"].shape[1], case["SA"].shape[1]
    block = length // blocks if length % blocks == 0 else 0
    if block == 32:
        return scale_format or "ue8m0", 32
    if block == 16 and scale_format:
        return scale_format, 16
    if block == 16:
        raise UsageError(f"{who}: blocks of 16 may be under UE4M3 or UE8M0 scales: say --scale-format ue4m3 or ue8m0")
    raise UnreadableError(f"{who}: {blocks} scale bytes a row of K = {length} make no block of 16 or 32")


def _check_shapes(case: dict[str, NDArray[Any]], d: NDArray[np.uint32], who: str) -> None:
    """Raises UnreadableError where the shapes do not fit."""
    (m, half), n, blocks = case["A"].shape, len(case["B"]), case["SA"].shape[1]
    wanted = {
        "D": (m,) if d.ndim == 1 and m == n else (m, n),
        "B": (n, half),
        "SA": (m, blocks),
        "SB": (n, blocks),
    }
    for key, want in wanted.items():
        if case[key].shape != want:
            raise UnreadableError(
                f"{who}: {key} has shape {case[key].shape}, A of shape {(m, half)} and SA of {case['SA'].shape} need {want}"
            )


def _checked(case: Recorded, who: str) -> Recorded:
    """Raises UnreadableError for kinds that no instruction has and blocks that do not fit."""
    try:
        check_kind(case.scale_format, case.block)
    except UsageError as error:
        raise UnreadableError(f"{who}: {error}") from None
    if case.length != case.block * case.sa.shape[1]:
        raise UnreadableError(
            f"{who}: {case.sa.shape[1]} scale bytes a row of K = {case.length} are not one a block of {case.block}"
        )
    return case
