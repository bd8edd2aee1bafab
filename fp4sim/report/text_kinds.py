"""The terminal's reports as plain text, 100 columns wide."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fp4sim.report.bias_terminal import BiasView, print_bias
from fp4sim.report.diff_table import print_diff
from fp4sim.report.gemm_fit_text import print_fit
from fp4sim.report.gemm_terminal import print_gemm
from fp4sim.report.layer_terminal import print_layer
from fp4sim.report.order import worst_first
from fp4sim.report.render import drawn
from fp4sim.report.reproduction_terminal import print_reproduction
from fp4sim.report.terminal import print_compare

if TYPE_CHECKING:
    from fp4sim.report.bias_model import BiasResult
    from fp4sim.report.diff_model import DiffResult
    from fp4sim.report.gemm_fit_model import FitResult
    from fp4sim.report.gemm_model import GemmErrors
    from fp4sim.report.layer_model import LayerResult
    from fp4sim.report.model import CompareResult
    from fp4sim.report.reproduction_model import Reproduction


def compare_text(result: CompareResult) -> str:
    """As ``fp4sim compare`` prints it, all tensors, the worst first."""
    return drawn(lambda console: print_compare(console, worst_first(result, "snr_db")))


def bias_text(result: BiasResult) -> str:
    """As ``fp4sim bias`` prints it, all tensors."""
    return drawn(lambda console: print_bias(console, result, BiasView(top=0)))


def layer_text(result: LayerResult) -> str:
    """As ``fp4sim bias --recipe`` prints it."""
    return drawn(lambda console: print_layer(console, result))


def diff_text(result: DiffResult) -> str:
    """As ``fp4sim diff`` prints it."""
    return drawn(lambda console: print_diff(console, result))


def reproduction_text(result: Reproduction) -> str:
    """As ``fp4sim reproduce`` prints it."""
    return drawn(lambda console: print_reproduction(console, result))


def gemm_text(result: GemmErrors) -> str:
    """As ``fp4sim gemm`` prints it."""
    return drawn(lambda console: print_gemm(console, result))


def fit_text(result: FitResult) -> str:
    """As ``fp4sim gemm --fit`` prints it."""
    return drawn(lambda console: print_fit(console, result))
