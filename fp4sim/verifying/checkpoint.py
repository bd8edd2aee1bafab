"""A quantized checkpoint against the floats it was made of: every weight is a case, fused weights are one together.

Runtimes join q, k, v (and gate, up) into one matrix under one tensor scale. Where the stored ones are the same, the floats
are joined as well, so that the shared scale is computed as the library does: from the largest amax, in its own operations.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.checkpoints.checkpoint import BY_NAME, open_checkpoint, open_tensors
from fp4sim.checkpoints.fused import fused_key
from fp4sim.errors import NothingComparedError, UnreadableError, UsageError
from fp4sim.io.files import shown
from fp4sim.panels import is_float
from fp4sim.verifying.check import Options, result_of, verify_case
from fp4sim.verifying.dump import Case, refuse_nan

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from fp4sim.checkpoints.weight import QuantizedWeight
    from fp4sim.io.source import Source, Tensor
    from fp4sim.report.verify_model import VerifyResult
    from fp4sim.spec import Spec


@dataclass(frozen=True, eq=False)
class _Pair:
    """A quantized weight and the floats of its name."""

    weight: QuantizedWeight
    tensor: Tensor


def verify_checkpoint(
    path: str | os.PathLike[str], floats: str | os.PathLike[str], spec: Spec, options: Options
) -> VerifyResult:
    """Compare every quantized weight with fp4sim's quantization of the floats of the same name.

    Raises UsageError for a spec that no layout stores, UnreadableError for what is damaged or does not fit together,
    NothingComparedError where no quantized weight has floats of its name.
    """
    options.check()
    _check_spec(spec, options)
    text, other = os.fspath(path), os.fspath(floats)
    with open_checkpoint(path) as checkpoint, open_tensors(floats) as source:
        for fault in checkpoint.found.faults:
            raise UnreadableError(f"{checkpoint.source.label}: tensor '{shown(fault.tensor, 80)}': {fault.message}")
        weights = [weight for weight in checkpoint.found.weights if _fits(weight, spec)]
        if not weights:
            raise NothingComparedError(_no_weights(shown(text), checkpoint.found.weights, spec))
        pairs = _paired(weights, source)
        if not pairs:
            raise NothingComparedError(
                f"no quantized weight of {shown(text)} has floats of its name in {shown(other)}"
                f" (the first: '{shown(weights[0].name, 80)}')"
            )
        groups = list(_groups(pairs, weights, spec))
        cases = [verify_case(case, spec, options) for group in groups for case in _cases_of(group)]
        done = {pair.weight.name for group in groups for pair in group}
    if not cases:
        raise NothingComparedError(
            f"nothing was compared: the weights of {shown(text)} share tensor scales with weights whose floats are not in"
            f" {shown(other)}; --spec {spec.short}@ts:given takes scales as they are stored"
        )
    alone = [weight.name for weight in checkpoint.found.weights if weight.name not in done]
    return result_of(cases, spec, text, options, against=other, unmatched=tuple(alone))


def _check_spec(spec: Spec, options: Options) -> None:
    tile = spec.block.kind == "tile" and spec.block.rows == 1
    if str(spec.element) != "e2m1" or spec.scale is None or not tile or spec.has("rht") or spec.has("if4"):
        raise UsageError(f"{spec.short}: checkpoints hold E2M1 codes in blocks along rows, such as nvfp4 and mxfp4")
    if spec.tensor_scale.mode not in ("none", "tensor", "given"):
        raise UsageError(f"{spec.short}: checkpoints hold one tensor scale a tensor")
    if options.axis != -1 or options.layout != "auto":
        raise UsageError("--axis and --scale-layout are for dumps: a checkpoint's layout says both")


def _fits(weight: QuantizedWeight, spec: Spec) -> bool:
    return (weight.encoding.format, weight.block) == (str(spec.scale), spec.block.cols)


def _no_weights(path: str, weights: Sequence[QuantizedWeight], spec: Spec) -> str:
    if not weights:
        return f"{path}: holds no quantized weights of a layout that fp4sim knows; fp4sim inspect says what it sees"
    return f"{path}: holds {weights[0].format}, nothing in the format of {spec.short}"


def _paired(weights: Sequence[QuantizedWeight], source: Source) -> list[_Pair]:
    """Weights with their floats, where there are any. Raises UnreadableError for another shape."""
    named = {tensor.info.name: tensor for tensor in source.tensors()}
    pairs = []
    for weight in weights:
        tensor = _floats_of(weight, named)
        if tensor is None:
            continue
        shape = tensor.info.shape
        if shape != weight.shape and (*shape[:-2], *shape[:-3:-1]) != weight.shape:
            raise UnreadableError(
                f"{source.label}: tensor '{shown(tensor.info.name, 80)}' has shape {list(shape)}, the quantized one has"
                f" {list(weight.shape)}"
            )
        pairs.append(_Pair(weight, tensor))
    return pairs


def _floats_of(weight: QuantizedWeight, named: Mapping[str, Tensor]) -> Tensor | None:
    for name in (weight.name, f"{weight.name}.weight", weight.name.removesuffix(".weight")):
        if name in named and is_float(named[name].info.dtype):
            return named[name]
    return None


def _groups(pairs: Sequence[_Pair], weights: Sequence[QuantizedWeight], spec: Spec) -> Iterator[list[_Pair]]:
    """Weights that store one tensor scale because runtimes fuse them, if all their floats are there; others one by one.

    Where floats are missing the largest amax is not known, and so neither are the bits: such weights are left out.
    """
    shared = Counter(_shared(weight, spec) for weight in weights)
    groups: dict[Any, list[_Pair]] = {}
    for number, pair in enumerate(pairs):
        groups.setdefault(_shared(pair.weight, spec) or number, []).append(pair)
    for key, group in groups.items():
        alike = len({(one.weight.length, one.tensor.info.dtype) for one in group}) == 1
        if isinstance(key, int) or (alike and shared[key] == len(group)):
            yield group


def _shared(weight: QuantizedWeight, spec: Spec) -> Any:
    """What weights have in common that are fused and store the same tensor scale; None for one by itself."""
    fused = BY_NAME[weight.layout].fused and weight.global_scale is not None and len(weight.shape) == 2
    key = fused_key(weight.name) if fused and spec.tensor_scale.mode == "tensor" else None
    return None if key is None else (key, weight.globals.tobytes())


def _cases_of(group: Sequence[_Pair]) -> Iterator[Case]:
    """One weight at a time, so that a model of any size fits."""
    yield from [_joined(group)] if len(group) > 1 else _cases(group[0])


def _joined(group: Sequence[_Pair]) -> Case:
    parts = [next(_cases(pair)) for pair in group]
    prefix, members = fused_key(group[0].weight.name) or ("", ())
    present = {pair.weight.name.removeprefix(prefix).removesuffix(".weight") for pair in group}
    name = "+".join(one for one in members if one in present)
    return _case(
        f"{prefix}{name}",
        np.concatenate([part.x for part in parts]),
        np.concatenate([part.codes[0] for part in parts]),
        np.concatenate([np.asarray(part.block_scale) for part in parts]),
        group[0].weight,
        group[0].weight.globals,
        "; ".join([f"{name} share one tensor scale and are compared as one matrix", *parts[0].notes]),
    )


def _cases(pair: _Pair) -> Iterator[Case]:
    """The case of a weight, or of each expert with a tensor scale of its own."""
    weight, tensor = pair.weight, pair.tensor
    x, turned = _read(weight, tensor)
    note = "the floats are stored with their last two axes the other way round" if turned else ""
    note = f"the floats were {tensor.note}" if tensor.note and not note else note
    codes, scales = weight.blocks.read(0, weight.rows)
    count = len(weight.globals)
    if count == 1:
        yield _case(weight.name, x, codes.reshape(weight.shape), scales, weight, weight.globals, note)
        return
    rows = weight.rows // count
    for expert in range(count):
        part = slice(expert * rows, (expert + 1) * rows)
        own = codes[part].reshape(weight.shape[1:])
        name = f"{weight.name}[{expert}]"
        yield _case(name, x[expert], own, scales[part], weight, weight.globals[expert : expert + 1], note)


def _case(
    name: str,
    x: NDArray[Any],
    codes: NDArray[np.uint8],
    scales: NDArray[np.uint8],
    weight: QuantizedWeight,
    tensor_scale: NDArray[np.float32],
    note: str,
) -> Case:
    needed = weight.encoding.format == "e4m3"  # without one a decoder multiplies by 1
    return Case(
        name,
        x,
        (codes,),
        scales,
        tensor_scale if needed else None,
        weight.convention == "divisor",
        inverse=True,
        notes=(note,) if note else (),
    )


def _read(weight: QuantizedWeight, tensor: Tensor) -> tuple[NDArray[Any], bool]:
    x = tensor.read_all()
    refuse_nan(x, f"tensor '{shown(tensor.info.name, 80)}'")
    if x.shape == weight.shape:
        return x, False
    return np.ascontiguousarray(x.swapaxes(-1, -2)), True
