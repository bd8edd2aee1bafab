"""EDEN's inner products on the GPU (cuda/eden.cu): the order of sums of :mod:`fp4sim.kernels.reference.products`."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.kernels.cuda import load
from fp4sim.kernels.cuda.arrays import empty, on_device, on_host
from fp4sim.kernels.reference import products as reference

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.floats import FloatFormat
    from fp4sim.kernels.interface import ElementCast

SOURCE = "eden.cu"


def products(
    x: Any,
    codes: Any,
    factor: NDArray[np.float32],
    tile: tuple[int, int],
    cast: ElementCast,
    group: int,
) -> NDArray[np.float64]:
    """See :meth:`fp4sim.kernels.interface.Kernels.products`; the sums come to the host."""
    if cast.fmt.bits > 8:
        return reference.products(on_host(x), on_host(codes), factor, tile, cast, group)
    rows, width = x.shape
    groups = x.size // group
    out = empty((2, rows, width // group), np.float64)
    head = (x, codes, on_device(factor, np.float32), on_device(float_values(cast.fmt)), out)
    args = (*head, groups, width, *tile, int(cast.divides), group)
    load.launch(load.kernel(SOURCE, "products"), groups, args)
    return on_host(out)


@lru_cache(maxsize=64)
def float_values(fmt: FloatFormat) -> NDArray[np.float32]:
    """Values by code, which are exact in float32 for formats of up to 8 bits."""
    return fmt.values().astype(np.float32)
