"""Tests a test: which faulty kernels would a check have caught?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fp4sim.errors import UsageError
from fp4sim.report.mutation_model import MutantRow, MutationResult, Status
from fp4sim.testing.mutants import MUTANTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from fp4sim.packed import PackedTensor
    from fp4sim.spec import Spec

Part = Literal["output", "dequantized", "product"]
PARTS: tuple[Part, ...] = ("output", "dequantized", "product")
_ROWS, _COLS, _PRODUCT = 128, 256, 64


def mutation_score(
    check: Callable[[Any, Any], Any],
    *,
    spec: str | Spec = "nvfp4",
    x: Any = None,
    part: Part = "output",
    axis: int = -1,
    seed: int = 0,
    label: str = "",
) -> MutationResult:
    """Feed a check with faulty outputs and report which it refuses.

    Args:
        check: called as ``check(actual, expected)``; it refuses by raising (AssertionError, as a rule) or by returning
            False.
        spec: what the kernel computes.
        x: the input of the test, as :func:`fp4sim.quantize` takes; None: 128 x 256 normal values in bf16.
        part: what the check is given: ``output`` two PackedTensors, ``dequantized`` float32 arrays, ``product`` what a
            GEMM makes of those with one and the same matrix.
        axis, seed: of the quantization.
        label: how the result calls the check.

    Raises:
        UsageError, SpecError for arguments; whatever else than AssertionError the check raises on the right output.
    """
    from fp4sim import BITS_VERSION, __version__
    from fp4sim.api import quantize
    from fp4sim.interop import as_array

    if part not in PARTS:
        raise UsageError(f"part {part!r}: {', '.join(PARTS)}")
    array = default_input(seed) if x is None else as_array(x)[0]
    right = quantize(array, spec, axis=axis, seed=seed, nonfinite="propagate")
    expected = _seen(right, part)
    accepts = _accepts_correct(check, _seen(right, part), expected)
    rows = tuple(
        MutantRow(mutant.name, mutant.about, *_judge(check, mutant.make(right, array), right, part, expected))
        for mutant in MUTANTS
    )
    name = label or getattr(check, "__name__", "") or str(check)
    return MutationResult(
        *(str(right.spec), right.spec.short, name, part, accepts, rows),
        version=__version__,
        bits_version=BITS_VERSION,
    )


def default_input(seed: int = 0) -> NDArray[Any]:
    """Normal values in bf16 with rows of different size, 128 x 256: what a test of a kernel usually takes."""
    import ml_dtypes

    rng = np.random.default_rng(seed)
    return (rng.standard_normal((_ROWS, _COLS)) * np.exp2(rng.integers(-2, 3, (_ROWS, 1)))).astype(ml_dtypes.bfloat16)


def _seen(packed: PackedTensor, part: Part) -> Any:
    """What the check is shown of an output."""
    if part == "output":
        return packed
    values = packed.dequantize()
    if part == "dequantized":
        return values
    matrix = np.moveaxis(values, packed.axis, -1).reshape(-1, packed.geometry.length)
    other = np.random.default_rng(1).standard_normal((matrix.shape[1], _PRODUCT)).astype(np.float32)
    with np.errstate(all="ignore"):
        return matrix @ other


def _accepts_correct(check: Callable[[Any, Any], Any], actual: Any, expected: Any) -> bool:
    try:
        return not _is_false(check(actual, expected))
    except AssertionError:
        return False


def _judge(
    check: Callable[[Any, Any], Any], faulty: PackedTensor | None, right: PackedTensor, part: Part, expected: Any
) -> tuple[Status, str]:
    if faulty is None:
        return "not possible", ""
    actual = _seen(faulty, part)
    if _same(actual, expected):
        return "no effect", ""
    try:
        refused = _is_false(check(actual, expected))
    except AssertionError:
        return "caught", ""
    except Exception as error:  # a check that falls over a faulty output has noticed it
        return "caught", type(error).__name__
    return ("caught" if refused else "missed"), ""


def _is_false(verdict: Any) -> bool:
    return verdict is not None and not verdict


def _same(actual: Any, expected: Any) -> bool:
    """Whether no check could tell them apart, bit for bit."""
    if isinstance(actual, np.ndarray):
        return bool(actual.tobytes() == expected.tobytes())
    arrays = ("packed", "block_scale", "tensor_scale")
    return all(getattr(actual, name).tobytes() == getattr(expected, name).tobytes() for name in arrays)
