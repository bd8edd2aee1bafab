"""``fp4sim dequantize``: packed codes and scales back to values."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class OutputDtype(StrEnum):
    """What values can be written as."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"
    float64 = "float64"


def dequantize(
    source: Annotated[str, typer.Argument(metavar="IN", help="A file that fp4sim quantize wrote.")],
    out: Annotated[
        str, typer.Argument(metavar="OUT", help="A .safetensors or .npz file to write, or .npy for a single tensor.")
    ],
    dtype: Annotated[
        OutputDtype, typer.Option("--dtype", help="Each value is the exact product rounded once to this type.")
    ] = OutputDtype.float32,
) -> None:
    """Turn a quantized checkpoint back into values.

    Every tensor is written under its own name; what was copied stays as it is.
    """
    from fp4sim.cli.console import emit
    from fp4sim.commands.pack import unpack_file
    from fp4sim.io.files import shown
    from fp4sim.report.cells import count_of

    done = unpack_file(source, out, dtype.value)
    emit(
        f"{count_of(done.quantized, 'tensor')} dequantized to {dtype.value}, {done.copied:,} copied\n"
        f"{done.bytes_in:,} bytes in, {done.bytes_out:,} bytes in {shown(out)}\n"
    )
