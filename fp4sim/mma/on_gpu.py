"""Which models the GPU computes, and a model as the numbers that its kernels take."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.errors import UsageError
from fp4sim.kernels.cuda.gemm_launch import ANCHORINGS, NO_FLOOR, Rule
from fp4sim.mma.operands import scale_table

if TYPE_CHECKING:
    from fp4sim.mma.model import MmaModel
    from fp4sim.mma.operands import ScaleFormat

_FEWEST_BITS, _MOST_BITS = 8, 37


def covers(model: MmaModel, block: int) -> bool:
    """Whether the GPU computes a model: steps of 64 in groups of 16, C among the addends, all cut toward zero."""
    shape = (model.step, model.group, model.align, model.result, model.c_place, model.anchor)
    like_blackwell = shape == (64, 16, "rz", "rz", "fused", "exponent") and model.anchoring in ANCHORINGS
    corners = model.signed_scale or model.flush_result or model.negative_zero or model.subnormal_c != "native"
    kept = (
        model.fraction is not None and model.fraction == model.window_c and _FEWEST_BITS <= model.fraction <= _MOST_BITS
    )
    return like_blackwell and not corners and kept and (model.order == "contiguous" or block == 16)


@lru_cache(maxsize=64)
def gpu_rule(model: MmaModel, fmt: ScaleFormat, block: int) -> Rule:
    """A model in numbers. Raises UsageError for one that only the CPU computes."""
    if not covers(model, block):
        raise UsageError(
            f"model {model.name!r} is not computed on the GPU, which does steps like Blackwell's: give NumPy arrays for the CPU"
        )
    significands, exponents, unit = scale_table(fmt, model)
    codes = np.arange(256)
    is_nan = (codes & 0x7F) == 0x7F if fmt == "ue4m3" else codes == 0xFF
    table = np.stack([np.where(is_nan, -1, significands), exponents], axis=1).astype(np.int16)
    floor = NO_FLOOR if model.floor is None else model.floor
    return Rule(int(model.fraction or 0), floor, model.anchoring, table, unit, block)
