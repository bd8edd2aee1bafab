"""Other orders of operations on the way to a float block scale: algebraically equal, not bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.dialects.target import target_of
from fp4sim.verifying.dialects import others
from fp4sim.verifying.explain.hypothesis import Hypothesis
from fp4sim.verifying.explain.scale_math import cast_scale, is_float_scale, quantity, scales_by_dialect

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.verifying.explain.evidence import Evidence

CAUSE = "scale.operation_order"
_Order = Callable[["Evidence", np.float32], "NDArray[np.float32]"]

# (expression, its float32 operations); v is the element's maximum
_ORDERS: tuple[tuple[str, _Order], ...] = (
    ("amax / 6 * S_enc", lambda e, v: (e.amax / v) * e.encode),
    ("amax * S_enc / 6", lambda e, v: (e.amax * e.encode) / v),
    ("S_enc * (amax * (1/6))", lambda e, v: e.encode * (e.amax * (np.float32(1) / v))),
    ("(amax * S_enc) * (1/6)", lambda e, v: (e.amax * e.encode) * (np.float32(1) / v)),
    ("amax / (6 * tensor_scale)", lambda e, v: e.amax / (v * e.stored)),
    ("amax / 6 / tensor_scale", lambda e, v: (e.amax / v) / e.stored),
    ("amax / tensor_scale / 6", lambda e, v: (e.amax / e.stored) / v),
    ("amax / 6 * (1/tensor_scale)", lambda e, v: (e.amax / v) * (np.float32(1) / e.stored)),
    ("amax * ((1/tensor_scale) * (1/6))", lambda e, v: e.amax * ((np.float32(1) / e.stored) * (np.float32(1) / v))),
    ("amax / 6 / (1/S_enc)", lambda e, v: (e.amax / v) / e.decode),
)


def propose(e: Evidence) -> Iterator[Hypothesis]:
    """The libraries' orders by name, then others; double rounding through bf16 and fp16."""
    if e.spec.scale is None:
        return
    for name, dialect, flags in others(e.spec):
        yield Hypothesis(CAUSE, f"the scale is computed in {name}'s order of operations", _dialect(dialect, flags))
    if not is_float_scale(e):
        return
    for text, order in _ORDERS:
        yield Hypothesis(CAUSE, f"the scale is computed as {text}, in another order of operations", _order(order))
    for name in ("bfloat16", "float16"):
        sentence = f"the scale was rounded to {name} before its cast: rounded twice"
        yield Hypothesis("scale.double_rounding", sentence, _twice(name))


def _dialect(dialect: str, flags: tuple[str, ...]) -> Callable[[Evidence], NDArray[np.unsignedinteger]]:
    return lambda e: scales_by_dialect(e, dialect, flags)


def _order(order: _Order) -> Callable[[Evidence], NDArray[np.unsignedinteger]]:
    return lambda e: cast_scale(e, order(e, np.float32(target_of(e.spec).element_max)))


def _twice(name: str) -> Callable[[Evidence], NDArray[np.unsignedinteger]]:
    return lambda e: cast_scale(e, narrowed(quantity(e), name))


def narrowed(x: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    """float32 rounded to a narrower float and widened again."""
    import ml_dtypes

    dtype = ml_dtypes.bfloat16 if name == "bfloat16" else np.float16
    return np.asarray(x.astype(dtype).astype(np.float32))
