"""``fp4sim bias --recipe``: the three tensors of a layer from files, or synthetic ones."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from fp4sim.errors import UsageError
from fp4sim.io.files import shown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fp4sim.commands.layer import LayerSettings
    from fp4sim.io.source import Source, Tensor
    from fp4sim.report.layer_model import LayerResult

_SIZE = 256  # tokens, inputs and outputs of the synthetic layer


def refuse_tensor_options(
    sources: Sequence[str] | None,
    estimators: Sequence[str] | None,
    globs: Sequence[str],
    curve: Path | None,
    sampling: bool,
    on_gpu: bool,
) -> None:
    """Raise UsageError for what has no meaning beside --recipe and --layer."""
    given = {
        "SOURCE": sources,
        "--estimators": estimators,
        "--include or --exclude": globs,
        "--curve": curve,
        "--axis or --elements": sampling,
        "--device cuda": on_gpu,
    }
    for name, value in given.items():
        if value:
            raise UsageError(
                f"{name} and --recipe or --layer do not go together: a layer is measured by --layer X W DY"
            )


def run_layer(
    names: Sequence[str], files: tuple[str, str, str] | None, dtype: str | None, settings: LayerSettings
) -> LayerResult:
    """Measure the layer in the files, or a synthetic one, under the recipes. Raises UsageError."""
    from fp4sim.cli.progress import progress_bar
    from fp4sim.commands.layer import layer_bias
    from fp4sim.io.source import open_source
    from fp4sim.io.synthetic_layer import synthetic_layer

    recipes = list(dict.fromkeys(part.strip() for name in names for part in name.split(",") if part.strip()))
    if not recipes:
        raise UsageError("--layer needs --recipe, and that a name: one or more, e.g. --recipe quartet2,nvidia")
    with ExitStack() as stack:
        tensors: list[Tensor]
        if files is None:
            tensors = [*synthetic_layer(_SIZE, _SIZE, _SIZE)]
        else:
            tensors = [_only(stack.enter_context(open_source(name, dtype=dtype))) for name in files]
        x, w, dy = tensors
        elements = sum(tensor.info.size for tensor in tensors)  # about what a draw makes
        with progress_bar(elements * settings.draws * len(recipes)) as bar:
            told = None if bar is None else lambda name, draws: bar(name, draws * elements)
            return layer_bias(x, w, dy, recipes, settings, told)


def _only(source: Source) -> Tensor:
    tensors = source.tensors()
    if len(tensors) != 1:
        raise UsageError(f"{shown(source.label)} holds {len(tensors)} tensors: --layer takes files of one, e.g. .npy")
    return tensors[0]
