"""The public functions: what ``import fp4sim`` offers, with the command line's words."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.errors import UsageError
from fp4sim.fpmode import ieee_mode
from fp4sim.grammar import parse, parse_list
from fp4sim.interop import as_array
from fp4sim.panels import Nonfinite, is_float
from fp4sim.spec import Spec

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from fp4sim.floats import FloatFormat
    from fp4sim.io.source import Tensor
    from fp4sim.packed import PackedTensor
    from fp4sim.recipes.model import Recipe
    from fp4sim.report.bias_model import BiasResult
    from fp4sim.report.layer_model import LayerResult
    from fp4sim.report.model import CompareResult
    from fp4sim.report.verify_model import VerifyResult


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
        x: numpy, ml_dtypes, torch, CuPy, DLPack or a list; what lies on a CUDA GPU is quantized there. float32, bfloat16,
            float16 and, on the CPU, 8-bit floats widen exactly, float64 is rounded once to float32. Any shape with at
            least one axis and one element.
        spec: a spec string such as ``"nvfp4"`` or ``"mxfp4@rceil+sr"``.
        axis: the axis that blocks run along.
        seed, draw, name: choose the random bits of stochastic rounding; see :mod:`fp4sim.randbits`.
        tensor_scale: decode multiplier for ``@ts:given``, float32, shape () or (rows,).
        nonfinite: ``error`` raises at the first NaN or Inf, ``propagate`` gives the dialect's bits, ``ignore`` takes
            them as 0 and counts them.
        threads: worker threads; None means all processors. No thread count changes a bit.

    Returns:
        A PackedTensor. Torch in, torch out: its ``dequantize`` then returns torch. On a GPU its arrays are CuPy's.

    Raises:
        SpecError, UsageError for arguments; UnreadableError for NaN or Inf; DeviceError where the GPU fails.
    """
    from fp4sim.gpu.arrays import is_on_device
    from fp4sim.io.source import ArrayTensor
    from fp4sim.packing import quantize_tensor

    spec = spec if isinstance(spec, Spec) else parse(spec)
    if is_on_device(x):
        from fp4sim.gpu.quantize import quantize_on_device

        return quantize_on_device(x, spec, **_device_arguments(axis, seed, draw, name, tensor_scale, nonfinite))
    array, origin = as_array(x)
    if not is_float(array.dtype.name):
        raise UsageError(f"dtype {array.dtype.name} cannot be quantized: convert to float32, bfloat16 or float16 first")
    _check_nonfinite(nonfinite)
    given = None if tensor_scale is None else _real(tensor_scale)
    packed = quantize_tensor(
        ArrayTensor(str(name), array),
        spec,
        axis=_integer("axis", axis),
        seed=_integer("seed", seed),
        draw=_integer("draw", draw),
        tensor_scale=given,
        nonfinite=nonfinite,
        threads=threads,
    )
    object.__setattr__(packed, "origin", origin)
    return packed


def fake_quant(
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
) -> Any:
    """Quantize and dequantize: the values that a GEMM would see, in x's shape, dtype and library.

    Arguments and errors as for :func:`quantize`, whose ``dequantize(x.dtype)`` this equals to the bit; on a GPU the common
    formats do it in one pass. 8-bit floats come back as float32.
    """
    from fp4sim.gpu.arrays import is_on_device
    from fp4sim.packed import FLOATS

    spec = spec if isinstance(spec, Spec) else parse(spec)
    if is_on_device(x):
        from fp4sim.gpu.quantize import fake_quant_on_device

        return fake_quant_on_device(x, spec, **_device_arguments(axis, seed, draw, name, tensor_scale, nonfinite))
    options: dict[str, Any] = {"axis": axis, "seed": seed, "draw": draw, "name": name, "threads": threads}
    packed = quantize(x, spec, tensor_scale=tensor_scale, nonfinite=nonfinite, **options)
    return packed.dequantize(packed.dtype if packed.dtype in FLOATS else "float32")


def _device_arguments(
    axis: Any, seed: Any, draw: Any, name: Any, tensor_scale: Any, nonfinite: Nonfinite
) -> dict[str, Any]:
    """The checked arguments of what runs on a GPU."""
    _check_nonfinite(nonfinite)
    return {
        "axis": _integer("axis", axis),
        "seed": _integer("seed", seed),
        "draw": _integer("draw", draw),
        "name": str(name),
        "tensor_scale": None if tensor_scale is None else _real(tensor_scale),
        "nonfinite": nonfinite,
    }


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

    from fp4sim.checkpoints.checkpoint import open_tensors
    from fp4sim.commands.compare import Settings, compare_sources
    from fp4sim.io.source import ListSource

    _check_nonfinite(nonfinite)
    axis = _integer("axis", axis)
    specs = parse_list(formats)
    if isinstance(x, (str, os.PathLike)):
        with open_tensors(x) as source:
            settings = Settings(axis, _integer("seed", seed), nonfinite, threads)
            return compare_sources([(source, source.tensors())], specs, settings)
    tensors, axis = _named_tensors(x, axis)
    listed = ListSource("arrays", tensors)
    settings = Settings(axis, _integer("seed", seed), nonfinite, threads)
    return compare_sources([(listed, listed.tensors())], specs, settings)


def _named_tensors(x: Any, axis: int) -> tuple[list[Tensor], int]:
    """An array or a mapping of arrays as tensors, arrays of one axis as one row, and the axis to work along."""
    from fp4sim.gpu.arrays import is_on_device
    from fp4sim.io.source import ArrayTensor

    named = x if isinstance(x, Mapping) else {"": x}
    arrays = {str(name): value if is_on_device(value) else as_array(value)[0] for name, value in named.items()}
    if axis == 0 and any(array.ndim == 1 for array in arrays.values()):
        if any(array.ndim != 1 for array in arrays.values()):
            raise UsageError("axis 0 of arrays of one axis and of more: compare them apart")
        axis = -1  # the only axis, which becomes the last of one row

    def tensor(name: str, array: Any) -> Tensor:
        if is_on_device(array):
            from fp4sim.gpu.panels import device_tensor

            return device_tensor(name, array)
        return ArrayTensor(name, array.reshape(1, -1) if array.ndim == 1 else array)

    return [tensor(name, array) for name, array in arrays.items()], axis


def bias(
    x: Any,
    estimators: str | Sequence[str] = ("nvfp4", "nvfp4+sr", "nvfp4+mseden"),
    *,
    draws: int = 256,
    axis: int = -1,
    seed: int = 0,
    margin: float = 1e-4,
    elements: int = 1 << 20,
    threads: int | None = None,
) -> BiasResult:
    """Measure bias and variance of estimators by repeated draws of an array, a mapping of arrays, or a source.

    Args:
        x: as for :func:`compare`.
        estimators: specs, in a list or separated by commas.
        draws: of each, at least 2; 16 make a verdict possible.
        axis: the axis that blocks run along.
        seed: of all random bits.
        margin: of the verdict, relative to the norm of x.
        elements: tensors of more are sampled by evenly spaced bands of 16 rows.
        threads: worker threads; None means all processors. The draws are the same on any number.

    Raises:
        SpecError, UsageError for arguments; UnreadableError for files, NaN or Inf; NothingComparedError.
    """
    import os
    from dataclasses import replace

    from fp4sim.commands.bias import BiasSettings, bias_sources
    from fp4sim.io.source import ListSource, open_source

    specs, axis = parse_list(estimators), _integer("axis", axis)
    settings = BiasSettings(
        _integer("draws", draws), axis, _integer("seed", seed), _integer("elements", elements), margin, threads
    )
    if isinstance(x, (str, os.PathLike)):
        with open_source(x) as source:
            return bias_sources([(source, source.tensors())], specs, settings)
    tensors, axis = _named_tensors(x, axis)
    listed = ListSource("arrays", tensors)
    return bias_sources([(listed, listed.tensors())], specs, replace(settings, axis=axis))


def layer_bias(
    x: Any,
    w: Any,
    dy: Any,
    recipes: str | Sequence[str | Recipe] = ("quartet2", "nvidia"),
    *,
    draws: int = 256,
    seed: int = 0,
    margin: float = 1e-4,
    threads: int | None = None,
) -> LayerResult:
    """Measure bias and variance of Y = X Wᵀ, dX = dY W and dW = dYᵀ X of a linear layer under training recipes.

    Args:
        x, w, dy: arrays as :func:`quantize` takes, of shapes (tokens, in), (out, in) and (tokens, out); further axes of
            x and dy in front are tokens.
        recipes: names, in a list or separated by commas, or :class:`fp4sim.recipes.model.Recipe` objects.
        draws: of the random roundings and rotations, at least 2; 16 make a verdict possible.
        seed: of all random bits.
        margin: of the verdict, relative to the norm of the reference.
        threads: worker threads; None means all processors. The draws are the same on any number.

    Raises:
        UsageError for arguments; UnreadableError for NaN or Inf.
    """
    from fp4sim.commands.layer import LayerSettings
    from fp4sim.commands.layer import layer_bias as measure

    settings = LayerSettings(_integer("draws", draws), _integer("seed", seed), margin, threads)
    return measure(x, w, dy, recipes, settings)


def verify(
    x: Any,
    spec: str | Spec,
    *,
    codes: Any = None,
    block_scale: Any = None,
    tensor_scale: Any = None,
    divisor: Any = None,
    dequantized: Any = None,
    axis: int = -1,
    scale_layout: str = "auto",
    padding: str = "zero",
    zeros: str = "signed",
    identify: bool = False,
    threads: int | None = None,
) -> VerifyResult:
    """Hold what a kernel made of ``x`` against fp4sim's own quantization, bit for bit, and explain what differs.

    Args:
        x: what the kernel read, any shape.
        spec: what it should compute.
        codes: 4-bit codes, two a byte or one a byte; a list of them, or a leading axis, for draws of stochastic rounding.
        block_scale: bytes or float8, linear or swizzled (``scale_layout``: auto by size, linear, 128x4, 8x4).
        tensor_scale: decode multiplier; ``divisor``: its reciprocal, as some libraries store. With ``@ts:given`` an input.
        dequantized: the decoded tensor.
        axis: the axis that blocks run along.
        padding: ``zero`` if padding bytes must be zero, ``any`` if not.
        zeros: ``signed`` if decoded zeros must have the right sign, ``any`` if not.
        identify: try every dialect too.
        threads: worker threads.

    Returns:
        A VerifyResult, true where every bit is right; as text the report of ``fp4sim verify``.

    Raises:
        SpecError, UsageError for arguments; UnreadableError for outputs that do not fit x; NothingComparedError.
    """
    from fp4sim.verifying.arrays import case_of
    from fp4sim.verifying.check import Options, verify_dump
    from fp4sim.verifying.dump import Dump

    outputs = {"block_scale": block_scale, "tensor_scale": tensor_scale, "divisor": divisor, "dequantized": dequantized}
    case = case_of(x, codes, outputs)
    options = Options(_integer("axis", axis), scale_layout, padding, zeros, identify=identify, threads=threads)
    return verify_dump(Dump((case,)), spec if isinstance(spec, Spec) else parse(spec), options)


def formats(name: str | None = None) -> dict[str, FloatFormat] | FloatFormat:
    """Every named format by name, or the one asked for. Raises UsageError for an unknown name.

    A scale encoding that shares its name with an operand is listed as ``u<name>`` (unsigned): ``ue4m3``, ``ubf16`` …
    """
    from fp4sim.floats import CASTS, ELEMENTS, SCALES, element_format, scale_format

    if name is None:
        named = {fmt.name: fmt for fmt in ELEMENTS + CASTS}
        return named | {f"u{fmt.name}" if fmt.name in named else fmt.name: fmt for fmt in SCALES}
    if name.startswith("u") and name[1:] in {fmt.name for fmt in CASTS}:
        return scale_format(name[1:])
    try:
        return element_format(name)
    except UsageError:
        return scale_format(name)


def _check_nonfinite(nonfinite: str) -> None:
    if nonfinite not in ("error", "propagate", "ignore"):
        raise UsageError(f"nonfinite={nonfinite!r}: 'error', 'propagate' or 'ignore'")


def _integer(name: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise UsageError(f"{name} is {value!r}: it must be an integer") from None


def _real(value: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Real numbers as float32. Raises UsageError for anything else."""
    from fp4sim.gpu.arrays import is_on_device, read_back

    array = as_array(read_back(value) if is_on_device(value) else value)[0]
    if array.dtype.kind not in "fiu" and not is_float(array.dtype.name):
        raise UsageError(f"tensor_scale of dtype {array.dtype.name}: it must be real numbers")
    with ieee_mode():
        return np.asarray(array, np.float32)


def save(path: str | os.PathLike[str], tensors: Mapping[str, PackedTensor]) -> None:
    """Write packed tensors to a .safetensors file (keys ``<name>.packed``, ``.block_scale``, ``.tensor_scale``)."""
    from fp4sim.commands.pack import save_packed

    save_packed(path, tensors)


def load(path: str | os.PathLike[str]) -> dict[str, PackedTensor]:
    """Read what :func:`save` or ``fp4sim quantize`` wrote. Raises UnreadableError for files that are not that."""
    from fp4sim.commands.pack import load_packed

    return load_packed(path)
