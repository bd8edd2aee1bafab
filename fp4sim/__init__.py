"""fp4sim: the reference instrument for 4-bit floating point.

    >>> import fp4sim, numpy as np
    >>> q = fp4sim.quantize(np.linspace(-6, 6, 32, dtype=np.float32), "mxfp4")
    >>> q.dequantize()[:4]
    array([-6., -6., -6., -4.], dtype=float32)

Public names load on first use, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fp4sim.api import bias, compare, fake_quant, formats, layer_bias, load, quantize, save, verify
    from fp4sim.grammar import parse, parse_list
    from fp4sim.mma.gemm import gemm
    from fp4sim.packed import PackedTensor
    from fp4sim.spec import Spec

__version__ = "0.1.0"

# Changing any output bit of a spec raises this and is a major release; every result carries it.
BITS_VERSION = 1

_HOMES = {
    "quantize": "api",
    "bias": "api",
    "compare": "api",
    "layer_bias": "api",
    "fake_quant": "api",
    "formats": "api",
    "gemm": "mma.gemm",
    "load": "api",
    "save": "api",
    "verify": "api",
    "parse": "grammar",
    "parse_list": "grammar",
    "PackedTensor": "packed",
    "Spec": "spec",
}

__all__ = [
    "BITS_VERSION",
    "PackedTensor",
    "Spec",
    "__version__",
    "bias",
    "compare",
    "fake_quant",
    "formats",
    "gemm",
    "layer_bias",
    "load",
    "parse",
    "parse_list",
    "quantize",
    "save",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"fp4sim.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'fp4sim' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
