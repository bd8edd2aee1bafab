"""The operands of ``fp4sim gemm``: one tensor each, chosen by name where a file holds several, as a finite matrix."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.checkpoints.checkpoint import open_tensors
from fp4sim.commands.compare import skip_reason
from fp4sim.errors import UsageError
from fp4sim.io.files import shown
from fp4sim.panels import nonfinite_error, widen
from fp4sim.report.gemm_model import GemmOperand

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.io.source import Tensor

SEPARATOR = "::"
_LISTED = 6


def split_name(text: str) -> tuple[str, str | None]:
    """``FILE::NAME`` as file and tensor name; None where no tensor is named."""
    if SEPARATOR not in text or os.path.exists(text):
        return text, None
    path, _, name = text.partition(SEPARATOR)
    return path, name


def read_operand(text: str, dtype: str | None = None) -> tuple[NDArray[np.float32], GemmOperand]:
    """The tensor of ``FILE``, ``FILE::NAME`` or ``synthetic:…`` as float32 (rows, K), leading axes flattened.

    The weights of quantized checkpoints are the values that they stand for. Raises UsageError for names that are not there and
    tensors that are no matrix, UnreadableError for files, NaN and Inf.
    """
    path, name = split_name(text)
    with open_tensors(path, dtype=dtype) as source:
        return matrix_of(_chosen(source.tensors(), name, path), text)


def matrix_of(tensor: Tensor, label: str = "") -> tuple[NDArray[np.float32], GemmOperand]:
    """A tensor as float32 (rows, K) and what a report says of it. Raises as :func:`read_operand`."""
    info = tensor.info
    reason = skip_reason(tensor)
    if reason:
        raise UsageError(f"tensor '{shown(info.name)}' is no operand of a product: {reason}")
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(widen(tensor.read_all()))
    finite = np.isfinite(values)
    if not finite.all():
        index = tuple(int(i) for i in np.unravel_index(int(np.argmin(finite)), info.shape))
        raise nonfinite_error(info, index, values[index])
    notes = [tensor.note] if tensor.note else []
    if info.dtype == "float64":
        notes.append("float64 was rounded to float32")
    if len(info.shape) > 2:
        notes.append("leading axes were taken as rows")
    matrix = values.reshape(-1, info.shape[-1])
    return matrix, GemmOperand(info.name, label or info.name, matrix.shape, info.dtype, tuple(notes))


def _chosen(tensors: list[Tensor], name: str | None, path: str) -> Tensor:
    named = ", ".join(f"'{shown(tensor.info.name, 60)}'" for tensor in tensors[:_LISTED])
    listed = named + (f" and {len(tensors) - _LISTED:,} more" if len(tensors) > _LISTED else "")
    if name is None:
        if len(tensors) == 1:
            return tensors[0]
        holds = f"holds {len(tensors):,} tensors" if tensors else "holds no tensor"
        raise UsageError(f"{shown(path)} {holds}: write {shown(path)}{SEPARATOR}NAME, one of {listed or 'none'}")
    for tensor in tensors:
        if tensor.info.name == name:
            return tensor
    raise UsageError(f"{shown(path)} holds no tensor '{shown(name, 80)}': it holds {listed or 'none'}")
