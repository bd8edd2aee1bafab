"""A dumped GEMM output and its second operand: the names they go by, and what must be there.

===============  ===========================================  =======================================================
y                gemm_out, gemm                               x · wᵀ, of shape (…, N)
w                w                                            the second operand in floats, (N, K)
w_codes          w_packed                                     or as the kernel quantized it: codes,
w_block_scale    w_scales, w_scale, w_sf                      block scales, linear or padded,
w_tensor_scale   w_ts, w_weight_scale_2                       and a tensor scale, a multiplier
w_divisor        w_global_scale                               or a divisor
alpha            alpha                                        a factor on the product
c                                                             what is added to the product, float32, (…, N),
beta             beta                                         times this, 1 where it is not dumped
bias                                                          what is added last, float32, (N,)
===============  ===========================================  =======================================================
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fp4sim.errors import UnreadableError
from fp4sim.panels import is_float

if TYPE_CHECKING:
    from numpy.typing import NDArray

GemmRole = Literal["y", "w", "w_codes", "w_block_scale", "w_tensor_scale", "w_divisor", "alpha", "c", "beta", "bias"]
_ALIASES: dict[GemmRole, tuple[str, ...]] = {
    "y": ("y", "gemm_out", "gemm"),
    "w": ("w",),
    "w_codes": ("w_codes", "w_packed"),
    "w_block_scale": ("w_block_scale", "w_scales", "w_scale", "w_sf"),
    "w_tensor_scale": ("w_tensor_scale", "w_ts", "w_weight_scale_2"),
    "w_divisor": ("w_divisor", "w_global_scale"),
    "alpha": ("alpha",),
    "c": ("c",),
    "beta": ("beta",),
    "bias": ("bias",),
}
_ROLES: dict[str, GemmRole] = {alias: role for role, aliases in _ALIASES.items() for alias in aliases}
_SEPARATOR = re.compile(r"[./]")
DTYPES = ("float32", "bfloat16", "float16", "float64")


@dataclass(frozen=True, eq=False)
class Gemm:
    """The arrays of a GEMM as they were dumped; ``divides``: the second operand's tensor scale is a divisor.

    ``alpha``, ``beta``: None where they were not dumped. ``c``, ``bias``: float32.
    """

    y: NDArray[Any]
    w: NDArray[Any] | None = None
    codes: NDArray[Any] | None = None
    block_scale: NDArray[Any] | None = None
    tensor_scale: NDArray[Any] | None = None
    divides: bool = False
    alpha: float | None = None
    c: NDArray[np.float32] | None = None
    beta: float | None = None
    bias: NDArray[np.float32] | None = None


def parse_gemm_key(name: str) -> tuple[str, GemmRole] | None:
    """The case that an array belongs to and what it is; None for a name that says nothing of a GEMM."""
    parts = _SEPARATOR.split(name)
    role = _ROLES.get(parts[-1].lower())
    return None if role is None else (name[: len(".".join(parts[:-1]))], role)


def gemm_of(found: Mapping[GemmRole, NDArray[Any]], who: str) -> Gemm | None:
    """The GEMM of a case; None where there is no output of one. Raises UnreadableError for what does not fit."""
    if "y" not in found:
        return None
    if "w" not in found and "w_codes" not in found:
        raise UnreadableError(
            f"{who}: has a GEMM output but no second operand; name it w, or w_codes and w_block_scale"
        )
    if "w_tensor_scale" in found and "w_divisor" in found:
        raise UnreadableError(f"{who}: has a tensor scale and a divisor of w; keep one of them")
    y = found["y"]
    if y.dtype == np.uint16:
        import ml_dtypes

        y = y.view(ml_dtypes.bfloat16)
    if y.dtype.name not in DTYPES:
        raise UnreadableError(f"{who}: the GEMM output has dtype {y.dtype.name}: dump {', '.join(DTYPES)}")
    if "beta" in found and "c" not in found:
        raise UnreadableError(f"{who}: has beta without c, whose factor it is")
    divisor = found.get("w_divisor")
    return Gemm(
        y,
        _floats(found.get("w"), who),
        found.get("w_codes"),
        found.get("w_block_scale"),
        found.get("w_tensor_scale") if divisor is None else divisor,
        divisor is not None,
        _number("alpha", found.get("alpha"), who),
        _added("c", found.get("c"), y.shape, who),
        _number("beta", found.get("beta"), who),
        _added("bias", found.get("bias"), y.shape[-1:], who),
    )


def _floats(w: NDArray[Any] | None, who: str) -> NDArray[Any] | None:
    from fp4sim.verifying.dump import input_of

    if w is None:
        return None
    w = input_of(w, f"{who}: w")
    if w.ndim != 2:
        raise UnreadableError(f"{who}: w has shape {w.shape}: dump it as (N, K)")
    return w


def _number(name: str, value: NDArray[Any] | None, who: str) -> float | None:
    if value is None:
        return None
    if value.size != 1 or not is_float(value.dtype.name) or not np.isfinite(value.astype(np.float64)).all():
        raise UnreadableError(f"{who}: {name} is not one finite float")
    return float(value.reshape(-1)[0])


def _added(name: str, value: NDArray[Any] | None, shape: tuple[int, ...], who: str) -> NDArray[np.float32] | None:
    if value is None:
        return None
    flat = (int(np.prod(shape[:-1])), *shape[-1:])  # leading axes are rows
    if value.dtype.name != "float32" or value.shape not in (shape, flat):
        raise UnreadableError(f"{who}: {name} is {value.dtype.name} of shape {value.shape}: dump float32, {shape}")
    return value
