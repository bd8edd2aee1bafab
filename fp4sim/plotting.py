"""``fp4sim.plot``: one figure of a result, a saved result, tensors, a kernel's dump, or of formats alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fp4sim.errors import UsageError
from fp4sim.grammar import parse, parse_list

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

    from fp4sim.commands.plot import PlotSettings
    from fp4sim.panels import Nonfinite
    from fp4sim.report.figures.registry import Kind
    from fp4sim.spec import Spec

VERIFY, GEMM = "verify", "gemm"  # results that are not of tensors one by one
WITHOUT_SOURCES = ("sweep", "rounding")  # drawn from formats alone
_INDEX = ".index.json"
_DUMP = b'"fp4sim.dump/'  # the schema of a manifest, in which it may stand anywhere
_MANIFEST_BYTES = 1 << 24


def plot(
    x: Any = None,
    kind: str = "snr",
    formats: str | Sequence[str] | None = None,
    *,
    axis: int = -1,
    seed: int = 0,
    draws: int = 256,
    nonfinite: Nonfinite = "error",
    threads: int | None = None,
    case: str | None = None,
    caption: bool = False,
) -> Figure:
    """Draw a figure; see ``fp4sim plot --list`` for the kinds.

    Args:
        x: a result of :func:`compare`, :func:`bias`, :func:`layer_bias` or :func:`verify`, the path of a saved one, or what
            :func:`compare` takes, which is then measured. For ``mismatch`` a dump's path; for ``sweep`` and ``sr-bias`` None.
        kind: the figure's name.
        formats: specs where x is to be measured; by default the kind's own.
        axis, seed, nonfinite, threads: as for :func:`compare`.
        draws: of each estimator, for ``concentration`` and ``sweep``.
        case: which case of a verify result ``mismatch`` draws, by default the worst.
        caption: write below the figure what to look for.

    Returns:
        A matplotlib figure without pyplot's state: ``figure.savefig("snr.png")``, or the last line of a notebook's cell.

    Raises:
        UsageError for arguments, UnreadableError for files, NaN or Inf; NothingComparedError.
    """
    from fp4sim.commands.compare import Settings
    from fp4sim.commands.plot import PlotSettings
    from fp4sim.report.figures.registry import kind_named

    chosen = kind_named(kind)
    settings = PlotSettings(Settings(axis, seed, nonfinite, threads), draws, chosen.most)
    return drawn(chosen, _result(x, chosen, formats, settings), case, caption=caption)


def drawn(kind: Kind, result: Any, case: str | None = None, *, caption: bool = False) -> Figure:
    """The figure of a result. Raises UsageError for a result that the kind does not draw."""
    from fp4sim.report.figures.registry import kinds_for, result_kind
    from fp4sim.report.figures.style import add_caption

    name = result_kind(result)
    if name not in kind.accepts:
        others = ", ".join(other.name for other in kinds_for(result))
        fits = f"it can be drawn as {others}" if others else "there is no figure of it"
        raise UsageError(f"{kind.name} is {_drawn_from(kind)}, not from a result of {name}: {fits}")
    if case is not None and VERIFY not in kind.accepts:
        raise UsageError(f"{kind.name} has no cases: leave case out")
    figure = kind.build(result, case=case) if case is not None else kind.build(result)
    if caption:
        add_caption(figure, kind.caption)
    return figure


def _drawn_from(kind: Kind) -> str:
    if kind.accepts[0] in WITHOUT_SOURCES:
        return "drawn from formats alone"
    return (
        "measured from tensors"
        if kind.accepts[0] == "blocks"
        else f"drawn from results of {' and '.join(kind.accepts)}"
    )


def specs_of(kind: Kind, formats: str | Sequence[str] | None) -> list[Spec]:
    """The formats to measure: those given, or the kind's own."""
    return list(parse_list(formats or kind.formats))


def saved_result(path: Any) -> Any:
    """The result in a .json file; None for other files, an index of shards and a manifest of a dump.

    Raises UnreadableError for a .json that is neither.
    """
    from fp4sim.report.store import load_result

    where = Path(path)
    if where.suffix.lower() != ".json" or where.name.lower().endswith(_INDEX) or not where.is_file():
        return None
    with where.open("rb") as file:
        if _DUMP in file.read(_MANIFEST_BYTES):
            return None
    return load_result(where)


def verified(dump: Any, formats: str | Sequence[str] | None, settings: PlotSettings) -> Any:
    """A kernel's dump held against the one format named. Raises UsageError for none or several."""
    from fp4sim.verifying.check import Options, verify_dump
    from fp4sim.verifying.dump import read_dump

    named = [formats] if isinstance(formats, str) else list(formats or ())
    if len(named) != 1:
        raise UsageError("say what the kernel should compute by one format, e.g. nvfp4")
    measured = settings.measured
    options = Options(axis=measured.axis, seed=measured.seed, explain=False, threads=measured.threads)
    return verify_dump(read_dump(os.fspath(dump)), parse(named[0]), options)


def multiplied(
    operands: Sequence[str], formats: str | Sequence[str] | None, kind: Kind, settings: PlotSettings, dtype: str | None
) -> Any:
    """The product A · Bᵀ of two operands (FILE, FILE::TENSOR or synthetic:…) split as ``fp4sim gemm`` does."""
    from fp4sim.commands.gemm import GemmSettings, gemm_errors
    from fp4sim.commands.gemm_operand import read_operand

    if len(operands) != 2:
        raise UsageError(f"{kind.name} takes two SOURCEs, A and B, or a result of gemm saved as .json")
    a, b = (read_operand(name, dtype) for name in operands)
    measured = GemmSettings(seed=settings.measured.seed, threads=settings.measured.threads)
    return gemm_errors(a, b, [(spec, spec) for spec in specs_of(kind, formats)], measured)


def _result(x: Any, kind: Kind, formats: str | Sequence[str] | None, settings: PlotSettings) -> Any:
    from fp4sim.api import named_tensors
    from fp4sim.checkpoints.checkpoint import open_tensors
    from fp4sim.commands.plot import result_for
    from fp4sim.io.source import ListSource
    from fp4sim.report.figures.registry import result_kind

    is_path = isinstance(x, (str, os.PathLike))
    found = x if result_kind(x) else saved_result(x) if is_path else None
    if found is not None:
        if formats is not None:
            raise UsageError("formats are for tensors to be measured: a result has its own")
        return found
    name = kind.accepts[0]
    if name in WITHOUT_SOURCES:
        if x is not None:
            raise UsageError(f"{kind.name} is drawn from formats alone: leave x out")
        return result_for(name, (), specs_of(kind, formats), settings)
    if x is None:
        raise UsageError(f"{kind.name} needs something to draw: a result, an array, or a source")
    if name == VERIFY:
        if not is_path:
            raise UsageError(f"{kind.name} takes a result of fp4sim.verify, or the path of a dump")
        return verified(x, formats, settings)
    if name == GEMM:
        raise UsageError(
            f"{kind.name} takes a result of fp4sim gemm, saved as .json; the command line takes A and B too"
        )
    specs = specs_of(kind, formats)
    if is_path:
        with open_tensors(x) as source:
            return result_for(name, [(source, source.tensors())], specs, settings)
    tensors, axis = named_tensors(x, settings.measured.axis)
    listed = ListSource("arrays", tensors)
    return result_for(name, [(listed, listed.tensors())], specs, settings.along(axis))
