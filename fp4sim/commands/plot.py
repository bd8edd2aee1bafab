"""What ``fp4sim plot`` draws from: tensors, or formats alone, to the result that a figure takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fp4sim.commands.compare import Settings, compare_sources, skip_reason

if TYPE_CHECKING:
    from fp4sim.io.source import Source, Tensor
    from fp4sim.spec import Spec

    Sources = Sequence[tuple[Source, Sequence[Tensor]]]
    Maker = Callable[[Sources, Sequence[Spec], "PlotSettings"], Any]

Progress = Callable[[str, int], None]


@dataclass(frozen=True)
class PlotSettings:
    """How tensors are measured. ``draws``: of each estimator. ``most``: tensors that the figure has room for, 0: any."""

    measured: Settings
    draws: int = 256
    most: int = 0
    progress: Progress | None = None

    def along(self, axis: int) -> PlotSettings:
        """The same along another axis."""
        return replace(self, measured=replace(self.measured, axis=axis))


def work_for(name: str, sources: Sources, specs: Sequence[Spec], settings: PlotSettings) -> int:
    """How many elements ``progress`` will be told of, about."""
    from fp4sim.commands.bias import DEFAULT_ELEMENTS

    sizes = [tensor.info.size for _, tensors in sources for tensor in tensors if skip_reason(tensor) is None]
    sizes = sizes[: settings.most or None] if name != "compare" else sizes
    if name == "bias":
        return sum(min(size, DEFAULT_ELEMENTS) for size in sizes) * len(specs) * settings.draws
    return sum(sizes) * len(specs)


def result_for(name: str, sources: Sources, specs: Sequence[Spec], settings: PlotSettings) -> Any:
    """The result ``name`` (``compare``, ``blocks``, ``bias``, ``sweep`` or ``rounding``). Raises as its command does."""
    return _MAKERS[name](sources, specs, settings)


def _compare(sources: Sources, specs: Sequence[Spec], settings: PlotSettings) -> Any:
    return compare_sources(sources, specs, settings.measured, settings.progress)


def _blocks(sources: Sources, specs: Sequence[Spec], settings: PlotSettings) -> Any:
    from fp4sim.commands.blocks import block_errors

    return block_errors(sources, specs, settings.measured, most=settings.most, progress=settings.progress)


def _bias(sources: Sources, specs: Sequence[Spec], settings: PlotSettings) -> Any:
    from fp4sim.commands.bias import BiasSettings, bias_sources

    measured = settings.measured
    chosen = BiasSettings(draws=settings.draws, axis=measured.axis, seed=measured.seed, threads=measured.threads)
    return bias_sources(_first(sources, settings.most), specs, chosen, settings.progress)


def _first(sources: Sources, most: int) -> Sources:
    """The sources with their first ``most`` tensors that can be measured."""
    left, found = most, []
    for source, tensors in sources:
        fit = [tensor for tensor in tensors if skip_reason(tensor) is None][: left if most else None]
        left -= len(fit)
        found.append((source, fit))
    return found


def _sweep(_: Sources, specs: Sequence[Spec], settings: PlotSettings) -> Any:
    from fp4sim.parallel import thread_count
    from fp4sim.stats.bias_curve import Sweep, bias_curve

    threads, seed = thread_count(settings.measured.threads), settings.measured.seed
    return Sweep(tuple(bias_curve(spec, draws=settings.draws, seed=seed, threads=threads) for spec in specs))


def _rounding(_: Sources, specs: Sequence[Spec], __: PlotSettings) -> Any:
    from fp4sim.commands.rounding_bias import rounding_bias

    return rounding_bias(specs)


_MAKERS: dict[str, Maker] = {
    "compare": _compare,
    "blocks": _blocks,
    "bias": _bias,
    "sweep": _sweep,
    "rounding": _rounding,
}
