"""The cases of a pack: an input, a spec, and every array that a correct kernel makes of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.errors import NothingComparedError, UnreadableError, UsageError
from fp4sim.estimators.pipeline import is_random
from fp4sim.golden.stimuli import Input, Stimulus, inputs_of
from fp4sim.rounding import Rounding
from fp4sim.transforms import rotation_size

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.packed import PackedTensor
    from fp4sim.spec import Spec

INPUTS = ("x", "x_padded", "signs")
OUTPUTS = ("codes", "block_scale", "tensor_scale", "dequantized")
DERIVED = ("block_scale_128x4",)


@dataclass(frozen=True, eq=False)
class GoldenCase:
    """``name``: <spec's slug>/<stimulus>[-<input>], a folder. ``arrays``: inputs and expected outputs by name."""

    name: str
    spec: Spec
    stimulus: str
    seed: int
    arrays: dict[str, NDArray[Any]]

    @property
    def x(self) -> NDArray[Any]:
        """The input."""
        return self.arrays["x"]


def check_specs(specs: Sequence[Spec]) -> None:
    """Raise UsageError for a spec that has no single right answer, or needs what a pack does not hold."""
    for spec in specs:
        if spec.rounding is Rounding.SR or (is_random(spec) and _draws_bits(spec)):
            raise UsageError(
                f"{spec.short}: a kernel's own random bits have no golden output; dump draws for 'fp4sim verify'"
            )
        if spec.tensor_scale.mode == "given":
            raise UsageError(f"{spec.short}: ts:given needs a tensor scale from the caller; use ts:tensor")


def _draws_bits(spec: Spec) -> bool:
    """Whether more than the signs of a rotation is random."""
    return spec.has("mseden") or spec.has("eden")


def cases_of(specs: Sequence[Spec], stimuli: Sequence[Stimulus], seed: int = 0) -> Iterator[GoldenCase]:
    """Every case of a pack, one after the other. Raises UsageError, and NothingComparedError where there is none."""
    check_specs(specs)
    count = 0
    for spec in specs:
        for stimulus in stimuli:
            for one in inputs_of(stimulus, spec, seed):
                try:
                    case = case_of(one, spec, stimulus.name, seed)
                except UnreadableError:
                    if not rotation_size(spec):
                        raise
                    continue  # values so large that a rotation's sums overflow have no answer
                count += 1
                yield case
    if not count:
        raise NothingComparedError("the stimuli make no input for these formats")


def case_of(one: Input, spec: Spec, stimulus: str, seed: int) -> GoldenCase:
    """Quantize an input; NaN and Inf propagate."""
    from fp4sim.api import quantize

    name = f"{spec.slug}/{stimulus}" + (f"-{one.name}" if one.name else "")
    x = np.ascontiguousarray(one.x)
    packed = quantize(x, spec, seed=seed, nonfinite="propagate")
    inputs = {"x": x} if one.padded is None else {"x": x, "x_padded": one.padded}
    return GoldenCase(name, spec, stimulus, seed, {**inputs, **expected_arrays(packed)})


def expected_arrays(packed: PackedTensor) -> dict[str, NDArray[Any]]:
    """What a pack holds of a quantized tensor."""
    spec = packed.spec
    arrays: dict[str, NDArray[Any]] = {"codes": packed.packed}
    if spec.scale is not None:
        arrays["block_scale"] = packed.block_scale
        if packed.geometry.block.kind == "tile" and packed.block_scale.itemsize == 1:
            arrays["block_scale_128x4"] = packed.swizzled_scale("128x4")
        if spec.tensor_scale.mode != "none":
            arrays["tensor_scale"] = packed.tensor_scale
    if packed.signs is not None:
        arrays["signs"] = packed.signs
    arrays |= {f"extra_{name}": array for name, array in packed.extra.items() if array.dtype != np.bool_}
    arrays["dequantized"] = packed.dequantize()
    return arrays
