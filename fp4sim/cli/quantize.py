"""``fp4sim quantize``: a checkpoint to packed codes and scales."""

from __future__ import annotations

from typing import Annotated

import typer

from fp4sim.cli.options import (
    Axis,
    Device,
    Exclude,
    Include,
    InputDtype,
    Nonfinite,
    OnDevice,
    OnNonfinite,
    Seed,
    Threads,
)


def quantize(
    source: Annotated[str, typer.Argument(metavar="IN", help="A file, folder of shards, or synthetic[:NAME...].")],
    out: Annotated[str, typer.Argument(metavar="OUT", help="The .safetensors file to write.")],
    format: Annotated[str, typer.Option("--format", "-f", metavar="SPEC", help="The format, e.g. nvfp4.")],
    include: Include = None,
    exclude: Exclude = None,
    dtype: InputDtype = None,
    axis: Axis = -1,
    seed: Seed = 0,
    nonfinite: Nonfinite = OnNonfinite.error,
    threads: Threads = None,
    device: Device = OnDevice.cpu,
) -> None:
    """Quantize a checkpoint bit-exactly and write codes and scales.

    Float tensors with at least 2 axes become NAME.packed, NAME.block_scale and NAME.tensor_scale, with NAME.signs of a
    rotation and NAME.extra.* of estimators that keep more; every other tensor, and what --include and --exclude leave
    out, is copied unchanged.
    """
    from fp4sim.cli.console import emit
    from fp4sim.commands.compare import Settings
    from fp4sim.commands.pack import Select, pack_source
    from fp4sim.grammar import parse
    from fp4sim.io.files import shown
    from fp4sim.report.cells import count_of

    spec = parse(format)
    settings = Settings(axis, seed, nonfinite.value, threads, "cuda" if device is OnDevice.cuda else None)
    done = pack_source(source, out, spec, settings, select=Select(include or (), exclude or (), dtype))
    tensors = count_of(done.quantized, "tensor")
    emit(
        f"{tensors} quantized to {spec.short} ({spec}) at {done.bits_per_element:.4g} bits per element,"
        f" {done.copied:,} copied\n{done.bytes_in:,} bytes in, {done.bytes_out:,} bytes in {shown(out)}\n"
    )
