"""Raw unsigned integers read as the floating-point codes that they are (``--dtype``)."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from fp4sim.errors import UnreadableError, UsageError
from fp4sim.io.dtypes import BY_NAME, PACKED_FP4, canonical_name, decode, unpack_fp4
from fp4sim.io.files import shown
from fp4sim.io.source import Source, Tensor, TensorInfo

_FP4 = "float4_e2m1fn"


class ReinterpretedTensor(Tensor):
    """Unsigned integers of ``base`` seen as elements of ``dtype``; a whole or ranged read as of any tensor.

    ``float4_e2m1fn`` is one code per byte, its high nibble zero, in the same shape; ``float4_e2m1fn_x2`` is two
    codes per byte, low nibble first, the last axis twice as long.
    """

    def __init__(self, base: Tensor, dtype: str) -> None:
        shape = base.info.shape
        self._packed = dtype == PACKED_FP4
        if self._packed:
            shape = (*shape[:-1], 2 * shape[-1])
        super().__init__(TensorInfo(base.info.name, shape, _FP4 if self._packed else dtype))
        self._base = base

    def _read(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        if self._packed:
            first = start // 2
            return unpack_fp4(self._base.read(first, (stop + 1) // 2))[start - 2 * first : stop - 2 * first]
        raw = self._base.read(start, stop)
        if self.info.dtype == _FP4 and raw.size and int(raw.max()) > 0x0F:
            raise UnreadableError(
                f"tensor '{shown(self.info.name)}': bytes above 0x0f are not single fp4 codes; "
                f"for two codes per byte use dtype {PACKED_FP4}"
            )
        return decode(raw, self.info.dtype, sys.byteorder)


class _ReinterpretedSource(Source):
    def __init__(self, base: Source, tensors: list[Tensor]) -> None:
        super().__init__(base.label)
        self._base = base
        self._tensors = tensors

    def tensors(self) -> list[Tensor]:
        return list(self._tensors)

    def close(self) -> None:
        self._base.close()


def _raw_name(dtype: str) -> str:
    if dtype in (PACKED_FP4, _FP4):
        return "uint8"
    return f"uint{BY_NAME[dtype].bits}"


def reinterpreted(source: Source, dtype: str) -> Source:
    """``source`` with its raw unsigned tensors of the right width seen as ``dtype``; all others as they are.

    Raises UsageError for an unknown dtype, and where no tensor fits: not unsigned, or of another width.
    """
    wanted = canonical_name(dtype)
    raw = _raw_name(wanted)
    before = source.tensors()
    after: list[Tensor] = []
    found = False
    for tensor in before:
        fits = tensor.info.dtype == raw and (wanted != PACKED_FP4 or len(tensor.info.shape) > 0)
        as_it_is = tensor.info.dtype == wanted
        found = found or fits or as_it_is
        after.append(ReinterpretedTensor(tensor, wanted) if fits and not as_it_is else tensor)
    if before and not found:
        held = ", ".join(sorted({tensor.info.dtype for tensor in before}))
        raise UsageError(f"{source.label}: dtype {wanted} reinterprets {raw} tensors, but this holds {held}")
    return _ReinterpretedSource(source, after)
