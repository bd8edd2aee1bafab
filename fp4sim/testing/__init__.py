"""For tests of kernels: assertions that say what is wrong, and a test of the tests. Nothing loads before it is used.

from fp4sim.testing import assert_bit_exact, assert_quantized_equal, mutation_score
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fp4sim.testing.assertions import assert_bit_exact, assert_quantized_equal, check_bits
    from fp4sim.testing.mutation import mutation_score
    from fp4sim.testing.tolerance import Tolerance

_HOMES = {
    "assert_bit_exact": "assertions",
    "assert_quantized_equal": "assertions",
    "check_bits": "assertions",
    "mutation_score": "mutation",
    "Tolerance": "tolerance",
}

__all__ = ["Tolerance", "assert_bit_exact", "assert_quantized_equal", "check_bits", "mutation_score"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"fp4sim.testing.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'fp4sim.testing' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
