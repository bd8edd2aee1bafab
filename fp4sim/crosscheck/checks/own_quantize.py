"""``fp4sim.quantize`` on the GPU against the CPU: packed codes, scales and dequantized values, bit for bit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fp4sim.crosscheck.against import inputs, lines_of
from fp4sim.crosscheck.check import Check, Effort, Outcome
from fp4sim.crosscheck.checks.own_primitives import differing
from fp4sim.crosscheck.device import Device
from fp4sim.grammar import parse
from fp4sim.packed import PackedTensor
from fp4sim.report.verify_model import Count
from fp4sim.rounding import Rounding
from fp4sim.transforms import rotation_size

SPECS = (
    "nvfp4",
    "nvfp4/16x16",
    "nvfp4@ts:row",
    "nvfp4+sr",
    "nvfp4+sr:bits=8",
    "nvfp4+4over6",
    "nvfp4+rht:16:te",
    "nvfp4+mseden",
    "nvfp4@torchao",
    "nvfp4@vllm-cuda",
    "nvfp4@flashinfer",
    "mxfp4",
    "mxfp4@rceil",
    "mxfp4@even+sr",
    "mxfp4+quest",
    "e3m0/32@e8m0",
    "nvint4",
)
_MOST_ROTATED = 2.0**100  # the sums of a rotation must not overflow
_PARTS = ("packed", "block_scale", "tensor_scale")


def run(device: Device, effort: Effort) -> Outcome:
    """Every spec over its stimuli and large random tensors of three dtypes, as far as the device takes them."""
    from fp4sim.api import quantize, verify

    counts: dict[str, Count] = {}
    diagnosis: list[str] = []
    for number, text in enumerate(SPECS):
        spec = parse(text)
        for name, x in inputs(spec, replace(effort, elements=effort.elements // 2)):
            amax = float(np.abs(np.asarray(x, np.float32)).max())
            if not amax < (_MOST_ROTATED if rotation_size(spec) else np.inf) or _left_out(name, number):
                continue
            there = device.tensor(x)
            if there is None:
                continue
            found, expected = quantize(there, spec), quantize(x, spec)
            wrong = Count(0, 0)
            for part, count in _compare(device, found, expected).items():
                label = f"{text} {part}"
                counts[label] = counts.get(label, Count(0, 0)) + count
                wrong += count
            if wrong.wrong and spec.rounding is not Rounding.SR:
                result = verify(
                    x, spec, codes=on_host(device, found.packed), block_scale=on_host(device, found.block_scale)
                )
                diagnosis += [f"{text} on {name}: {line}" for line in lines_of(result)]
    return Outcome(counts, diagnosis=tuple(diagnosis))


def _left_out(name: str, number: int) -> bool:
    """Of the three large tensors each spec takes bfloat16 and, in turn, another: ``effort.elements`` together."""
    large = ("normal bfloat16", "normal float16", "normal float32")
    return name in large and name not in (large[0], large[1 + number % 2])


def _compare(device: Device, found: PackedTensor, expected: PackedTensor) -> dict[str, Count]:
    counts = {part: differing(on_host(device, getattr(found, part)), getattr(expected, part)) for part in _PARTS}
    values = on_host(device, found.dequantize())
    counts["dequantized"] = differing(values, np.asarray(expected.dequantize()))
    return counts


def on_host(device: Device, array: Any) -> NDArray[Any]:
    """An array of the device, of torch or of NumPy, as NumPy's."""
    if hasattr(array, "cpu"):
        return np.asarray(array.cpu().numpy())
    return array if isinstance(array, np.ndarray) else device.get(array)


CHECK = Check("own-quantize", "fp4sim.quantize on the GPU against the CPU", run, ("panel.cu",), package="ml_dtypes")
