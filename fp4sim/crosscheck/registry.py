"""Every check, in the order in which they run: what they build on comes first."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fp4sim.crosscheck.check import Check

FIT = "mma-fit"

MODULES = (
    "nvidia_casts",
    "reciprocal",
    "own_encode",
    "own_primitives",
    "own_quantize",
    "own_compare",
    "own_counts",
    "own_gemm",
    "blackwell_casts",
    "stochastic_cast",
    "blackwell_quantize",
    "mma_probes",
    "mma_batches",
    "mma_eight_bit",
    "mma_tiles",
    "cublaslt_route",
    "cublaslt_fp4",
    "transformer_engine",
    "flashinfer",
    "vllm",
    "vllm_emulation",
    "torchao",
    "mma_fit",
)


def all_checks() -> tuple[Check, ...]:
    """The checks; each module of ``checks/`` that is listed offers one as ``CHECK``."""
    return tuple(import_module(f"fp4sim.crosscheck.checks.{name}").CHECK for name in MODULES)
