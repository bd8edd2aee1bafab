"""Dequantized values that do not follow from the kernel's own codes and scales: rounded between, a factor left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.kernels.reference.encode import decode
from fp4sim.report.verify_model import Finding
from fp4sim.verifying.closeness import kernel_multiplier
from fp4sim.verifying.expected import per_block
from fp4sim.verifying.explain.hypothesis import unequal
from fp4sim.verifying.explain.judge import MOST, sample_of
from fp4sim.verifying.explain.scale_orders import narrowed
from fp4sim.verifying.explain.sentence import sentence_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.verifying.explain.evidence import Evidence
    from fp4sim.verifying.explain.scene import Scene

_Step = Callable[["Evidence"], "NDArray[Any]"]
_WAYS: tuple[tuple[str, str, _Step], ...] = (
    ("values.rounded_between", "scale * tensor_scale is rounded to float32 before the code is multiplied by it",
     lambda e: e.scale_values * e.stored),
    ("values.rounded_between", "scale * tensor_scale is rounded to bfloat16 before the code is multiplied by it",
     lambda e: narrowed(e.scale_values * e.stored, "bfloat16")),
    ("values.rounded_between", "scale * tensor_scale is rounded to float16 before the code is multiplied by it",
     lambda e: narrowed(e.scale_values * e.stored, "float16")),
    ("values.rounded_between", "the tensor scale is rounded to bfloat16 first",
     lambda e: e.scale_values.astype(np.float64) * narrowed(e.stored, "bfloat16")),
    ("values.no_tensor_scale", "the tensor scale is left out", lambda e: e.scale_values),
    ("values.tensor_scale_inverted", "values are divided by the tensor scale, not multiplied by it",
     lambda e: e.scale_values.astype(np.float64) / e.stored),
    ("values.no_block_scale", "the block scale is left out", lambda e: e.stored),
    ("values.unscaled", "values are the codes' own, without scales", lambda e: np.ones_like(e.stored)),
    ("values.doubled", "values are twice too large: the doubled table of llama.cpp without its 1/2",
     lambda e: 2.0 * e.scale_values.astype(np.float64) * e.stored),
    ("values.doubled", "values are half as large as they should be",
     lambda e: 0.5 * e.scale_values.astype(np.float64) * e.stored),
    ("values.operation_order", "scale / S_enc is used in place of scale * tensor_scale",
     lambda e: e.scale_values / e.encode),
    ("values.operation_order", "scale * (1/S_enc) is used in place of scale * tensor_scale",
     lambda e: e.scale_values * e.decode),
)  # fmt: skip


def explain(scene: Scene, *, alone: bool = False) -> Finding | None:
    """Why values differ from what the kernel's own codes and scales stand for, where they do.

    ``alone``: neither was dumped, and both are taken to be right.
    """
    e = _with_own_tensor_scale(scene)
    if e.values is None or e.spec.scale is None or not scene.expected.decodes:
        return None
    if (e.codes is None and e.scales is None) != alone:
        return None
    wrong = unequal(_decoded(e), e.values)
    count = int(np.count_nonzero(wrong))
    if not count:
        return None
    if not e.values.any():
        return Finding("output.all_zero", "dequantized", "every value is zero", count, count)
    sample = e.take(sample_of(np.asarray(wrong.any(axis=1))))
    before = int(np.count_nonzero(_differs(_decoded, sample)))
    for cause, sentence, way in _ways(e):
        if np.count_nonzero(_differs(way, sample)) <= 1.5 * (1 - MOST) * before:
            left = int(np.count_nonzero(_differs(way, e)))
            if left <= (1 - MOST) * count:
                text = sentence_of("dequantized", count - left, count, sentence)
                return Finding(cause, "dequantized", text, count - left, count)
    text = sentence_of("dequantized", 0, count, "no hypothesis explains them from the codes and scales")
    return Finding("unknown", "dequantized", text, 0, count)


def _with_own_tensor_scale(scene: Scene) -> Evidence:
    """The evidence with the kernel's tensor scale, where it was dumped, in place of the right one."""
    multiplier = kernel_multiplier(scene.output, scene.expected)
    if multiplier is None:
        return scene.evidence
    return replace(scene.evidence, stored=per_block(multiplier, scene.expected.geometry))


def _ways(e: Evidence) -> Iterator[tuple[str, str, _Step]]:
    for cause, sentence, step in _WAYS:
        yield cause, sentence, _product(step)
    assert e.values is not None
    if e.values.dtype == np.float32:
        for name in ("bfloat16", "float16"):
            yield "values.narrowed", f"values were rounded to {name} and stored as float32", _narrow(name)


def _decoded(e: Evidence) -> NDArray[Any]:
    codes = e.want_codes if e.codes is None else e.codes
    return e.decoded(codes, e.want_scales if e.scales is None else e.scales)


def _product(step: _Step) -> _Step:
    def way(e: Evidence) -> NDArray[Any]:
        assert e.values is not None
        codes = e.want_codes if e.codes is None else e.codes
        exact = decode(codes, e.spec.element) * step(e).astype(np.float64)[:, None]
        return np.asarray(exact.astype(e.values.dtype))

    return way


def _narrow(name: str) -> _Step:
    return lambda e: narrowed(_decoded(e), name)


def _differs(way: _Step, e: Evidence) -> NDArray[np.bool_]:
    assert e.values is not None
    with np.errstate(all="ignore"):
        return unequal(way(e), e.values)
