"""Other ways from x and the block scale to the scaled element: division, other orders, a missing or foreign factor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.dialects.target import FLT_MAX, target_of
from fp4sim.errors import UsageError
from fp4sim.verifying import arithmetic
from fp4sim.verifying.dialects import others
from fp4sim.verifying.explain.hypothesis import Hypothesis
from fp4sim.verifying.explain.scale_math import is_float_scale

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.verifying.explain.evidence import Evidence

CAUSE = "code.operation_order"
_Scaled = Callable[["Evidence"], "NDArray[np.float32]"]
_ONE = np.float32(1)


def _column(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return values[:, None]


# (expression, its float32 operations); s is the block scale, g the tensor scale's multiplier as stored, or fl(1/S_enc)
_ORDERS: tuple[tuple[str, _Scaled], ...] = (
    ("x / (s * (1/S_enc))", lambda e: e.x / _column(e.scale_values * e.decode)),
    ("x / (s * tensor_scale)", lambda e: e.x / _column(e.scale_values * e.stored)),
    ("x * (S_enc / s)", lambda e: e.x * _column(np.fmin(e.encode / e.scale_values, FLT_MAX))),
    ("x * (S_enc * (1/s))", lambda e: e.x * _column(np.fmin(e.encode * (_ONE / e.scale_values), FLT_MAX))),
    ("x * S_enc / s", lambda e: (e.x * _column(e.encode)) / _column(e.scale_values)),
    ("x * S_enc * (1/s)", lambda e: (e.x * _column(e.encode)) * _column(_ONE / e.scale_values)),
    ("x * (1/tensor_scale/s)", lambda e: e.x * _column((_ONE / e.stored) / e.scale_values)),
    ("x * (1/(s * tensor_scale))", lambda e: e.x * _column(np.fmin(_ONE / (e.scale_values * e.stored), FLT_MAX))),
    (
        "x * (1/(s * (1/(1/tensor_scale))))",
        lambda e: e.x * _column(np.fmin(_ONE / (e.scale_values * (_ONE / (_ONE / e.stored))), FLT_MAX)),
    ),
    ("x / tensor_scale / s", lambda e: (e.x / _column(e.stored)) / _column(e.scale_values)),
    ("x / s / tensor_scale", lambda e: (e.x / _column(e.scale_values)) / _column(e.stored)),
    ("x * (1/s) * S_enc", lambda e: (e.x * _column(_ONE / e.scale_values)) * _column(e.encode)),
)


def propose(e: Evidence) -> Iterator[Hypothesis]:
    """Orders of operations, the libraries' by name first; factors that are missing or not the stored scale's."""
    if e.spec.scale is None:
        return
    if e.scales is not None:
        yield Hypothesis(
            "code.right_scales",
            "codes are those of the right scales: only what was stored as scale is wrong",
            lambda e: e.want_codes,
        )
    for name, dialect, flags in others(e.spec):
        sentence = f"elements are scaled and cast in {name}'s order of operations"
        yield Hypothesis(CAUSE, sentence, _dialect(dialect, flags))
    if is_float_scale(e):
        for text, order in _ORDERS:
            yield Hypothesis(CAUSE, f"elements are scaled as {text}, in another order of operations", _cast(order))
    for sentence, order in _unrounded():
        yield Hypothesis("code.unrounded_scale", sentence, _cast(order))
    if e.spec.tensor_scale.mode != "none":
        sentence = "elements are divided by the block scale alone: the tensor scale is left out"
        yield Hypothesis("code.no_tensor_scale", sentence, _cast(lambda e: e.x / _column(e.scale_values)))
        sentence = "elements are multiplied by the tensor scale where they should be divided by it"
        yield Hypothesis(
            "code.tensor_scale_inverted", sentence, _cast(lambda e: e.x * _column(e.stored / e.scale_values))
        )
        sentence = "elements are scaled by the tensor scale alone: the block scale is left out"
        yield Hypothesis("code.no_block_scale", sentence, _cast(lambda e: e.x * _column(e.encode)))
    sentence = "elements are multiplied by the block scale where they should be divided by it"
    yield Hypothesis(
        "code.scale_inverted", sentence, _cast(lambda e: e.x * _column(e.scale_values) * _column(e.encode))
    )
    yield Hypothesis("code.unscaled", "elements are cast without any scale", _cast(lambda e: e.x))


def _unrounded() -> Iterator[tuple[str, _Scaled]]:
    text = "elements are scaled by the block's own amax, not by the scale that was rounded and stored"
    yield text, lambda e: e.x * _column(_maximum(e) / e.amax)
    yield text, lambda e: e.x / _column(e.amax / _maximum(e))
    yield text, lambda e: e.x / _column(e.amax * (_ONE / _maximum(e)))
    yield text, lambda e: e.x * _column(_ONE / (e.amax / _maximum(e)))


def _maximum(e: Evidence) -> np.float32:
    return np.float32(target_of(e.spec).element_max)


def _cast(order: _Scaled) -> Callable[[Evidence], NDArray[np.unsignedinteger]]:
    """Codes of other scaled values; blocks without a usable scale keep theirs."""

    def predict(e: Evidence) -> NDArray[np.unsignedinteger]:
        with np.errstate(all="ignore"):
            scaled = np.asarray(order(e), np.float32)
        usable = np.isfinite(scaled).all(axis=1)
        codes = e.follow.copy()
        codes[usable] = arithmetic.cast_codes(scaled[usable], arithmetic.cast_of(e.spec))
        return codes

    return predict


def _dialect(dialect: str, flags: tuple[str, ...]) -> Callable[[Evidence], NDArray[np.unsignedinteger]]:
    def predict(e: Evidence) -> NDArray[np.unsignedinteger]:
        spec = replace(e.spec, dialect=dialect, dialect_flags=flags)
        scales = e.want_scales if e.scales is None else e.scales
        try:
            factors = arithmetic.factors_of(spec, e.group, e.given)
            found = arithmetic.scales_of(spec, e.amax, factors, e.dtype)
            other = arithmetic.factor_for(spec, scales, e.amax, factors)
            factor = np.where(found.codes == scales, found.factor, other)
            return arithmetic.encode(arithmetic.first_step(spec, e.x, factors), factor, arithmetic.cast_of(spec))
        except UsageError:
            return e.follow

    return predict
