"""Block-scaled matrix arithmetic of tensor cores, bit by bit: models as data, and an entry on raw bytes.

>>> import numpy as np
>>> from fp4sim.mma import block_scaled_mma
>>> ones = np.full((1, 32), 0x22, np.uint8)
>>> scale = np.full((1, 2), 127, np.uint8)
>>> c = np.full((1, 1), 2.0**34, np.float32)
>>> float(block_scaled_mma(ones, ones, c, scale, scale, scale_format="ue8m0", block=32)[0, 0] - c[0, 0])
0.0
"""

from __future__ import annotations

from fp4sim.mma.block_scaled import block_scaled_mma
from fp4sim.mma.dense import dense_mma
from fp4sim.mma.error import error_bound
from fp4sim.mma.fit import FitResult, fit_mma, fit_recorded
from fp4sim.mma.instances import model_named, model_names
from fp4sim.mma.model import MmaModel
from fp4sim.mma.order import Order, order_named

__all__ = [
    "FitResult",
    "MmaModel",
    "Order",
    "block_scaled_mma",
    "dense_mma",
    "error_bound",
    "fit_mma",
    "fit_recorded",
    "model_named",
    "model_names",
    "order_named",
]
