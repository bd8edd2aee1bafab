"""The public functions: what ``import fp4sim`` offers, with the command line's words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.errors import UsageError
from fp4sim.grammar import parse, parse_list
from fp4sim.interop import as_array
from fp4sim.panels import is_float
from fp4sim.spec import Spec
from fp4sim.statistic import Nonfinite

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from fp4sim.formats import FloatFormat
    from fp4sim.packed import PackedTensor
    from fp4sim.report.model import CompareResult


def quantize(
    x: Any,
    spec: str | Spec,
    *,
    axis: int = -1,
    seed: int = 0,
    draw: int = 0,
    name: str = "",
    tensor_scale: Any = None,
    nonfinite: Nonfinite = "error",
    threads: int | None = None,
) -> PackedTensor:
    """Quantize an array, bit for bit as the spec's dialect does.

    Args:
        x: numpy, ml_dtypes, torch (CPU), DLPack or a list; float32, bfloat16, float16 and 8-bit floats widen exactly,
            float64 is rounded once to float32. Any shape with at least one axis and one element.
        spec: a spec string such as ``"nvfp4"`` or ``"mxfp4@rceil+sr"``.
        axis: the axis that blocks run along.
        seed, draw, name: choose the random bits of stochastic rounding; see :mod:`fp4sim.randbits`.
        tensor_scale: decode multiplier for ``@ts:given``, float32, shape () or (rows,).
        nonfinite: ``error`` raises at the first NaN or Inf, ``propagate`` gives the dialect's bits, ``ignore`` takes
            them as 0 and counts them.
        threads: worker threads; None means all processors. No thread count changes a bit.

    Returns:
        A PackedTensor. Torch in, torch out: its ``dequantize`` then returns torch.

    Raises:
        SpecError, UsageError for arguments; UnreadableError for NaN or Inf.
    """
    from fp4sim.io.source import ArrayTensor
    from fp4sim.packing import quantize_tensor

    array, origin = as_array(x)
    if not is_float(array.dtype.name):
        raise UsageError(f"dtype {array.dtype.name} cannot be quantized: convert to float32, bfloat16 or float16 first")
    if nonfinite not in ("error", "propagate", "ignore"):
        raise UsageError(f"nonfinite={nonfinite!r}: 'error', 'propagate' or 'ignore'")
    given = None if tensor_scale is None else np.asarray(as_array(tensor_scale)[0], np.float32)
    packed = quantize_tensor(
        ArrayTensor(name, array),
        parse(spec) if isinstance(spec, str) else spec,
        axis=axis,
        seed=seed,
        draw=draw,
        tensor_scale=given,
        nonfinite=nonfinite,
        threads=threads,
    )
    object.__setattr__(packed, "origin", origin)
    return packed


def compare(
    x: Any,
    formats: str | Sequence[str] = ("nvfp4", "mxfp4"),
    *,
    axis: int = -1,
    seed: int = 0,
    nonfinite: Nonfinite = "error",
    threads: int | None = None,
) -> CompareResult:
    """Measure the error of formats on an array, a mapping of arrays, or a source (path or ``"synthetic:…"``).

    Arrays of one axis are taken as one row. See :class:`fp4sim.report.model.Metrics` for what is measured.

    Raises:
        SpecError, UsageError for arguments; UnreadableError for files, NaN or Inf; NothingComparedError.
    """
    import os

    from fp4sim.commands.compare import Settings, compare_sources
    from fp4sim.io.source import ArrayTensor, ListSource, open_source

    settings = Settings(axis, seed, nonfinite, threads)
    specs = parse_list(formats)
    if isinstance(x, (str, os.PathLike)):
        with open_source(x) as source:
            return compare_sources([(source, source.tensors())], specs, settings)
    named: Mapping[str, Any] = x if isinstance(x, dict) else {"x": x}
    tensors = []
    for name, value in named.items():
        array = as_array(value)[0]
        tensors.append(ArrayTensor(str(name), array.reshape(1, -1) if array.ndim == 1 else array))
    listed = ListSource("arrays", tensors)
    return compare_sources([(listed, listed.tensors())], specs, settings)


def formats(name: str | None = None) -> dict[str, FloatFormat] | FloatFormat:
    """Every named format by name, or the one asked for. Raises UsageError for an unknown name.

    A scale encoding that shares its name with an operand is listed as ``u<name>`` (unsigned): ``ue4m3``, ``ubf16`` …
    """
    from fp4sim.formats import CASTS, ELEMENTS, SCALES, element_format, scale_format

    if name is None:
        named = {fmt.name: fmt for fmt in ELEMENTS + CASTS}
        return named | {f"u{fmt.name}" if fmt.name in named else fmt.name: fmt for fmt in SCALES}
    if name.startswith("u") and name[1:] in {fmt.name for fmt in CASTS}:
        return scale_format(name[1:])
    try:
        return element_format(name)
    except UsageError:
        return scale_format(name)


def save(path: str | os.PathLike[str], tensors: Mapping[str, PackedTensor]) -> None:
    """Write packed tensors to a .safetensors file (keys ``<name>.packed``, ``.block_scale``, ``.tensor_scale``)."""
    from fp4sim.commands.pack import save_packed

    save_packed(path, tensors)


def load(path: str | os.PathLike[str]) -> dict[str, PackedTensor]:
    """Read what :func:`save` or ``fp4sim quantize`` wrote. Raises UnreadableError for files that are not that."""
    from fp4sim.commands.pack import load_packed

    return load_packed(path)
