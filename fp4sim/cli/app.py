"""The command ``fp4sim``: what there is to run. Each command is a file of its own and imports its work when it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from fp4sim.cli.bias import bias
from fp4sim.cli.compare import compare
from fp4sim.cli.convert import convert
from fp4sim.cli.crosscheck import crosscheck
from fp4sim.cli.dequantize import dequantize
from fp4sim.cli.dialects import dialects
from fp4sim.cli.diff import diff
from fp4sim.cli.estimators import estimators
from fp4sim.cli.formats import formats
from fp4sim.cli.gemm import gemm
from fp4sim.cli.golden import golden
from fp4sim.cli.guard import GuardedGroup
from fp4sim.cli.inspect import inspect
from fp4sim.cli.lint import lint
from fp4sim.cli.mutations import mutations
from fp4sim.cli.plot import plot
from fp4sim.cli.quantize import quantize
from fp4sim.cli.report import report
from fp4sim.cli.reproduce import reproduce
from fp4sim.cli.sources import sources
from fp4sim.cli.spec import spec
from fp4sim.cli.verify import verify

_EPILOG = """\b
Exit codes:
  0    done
  1    a mismatch, or a threshold of --fail-on crossed, and nothing else
  2    wrong usage: an unknown name or option, arguments that do not fit
  3    input that cannot be read, is damaged, or holds NaN or Inf
  4    no usable device, or a kernel that failed on it
  5    nothing was there to compare or quantize
  70   a bug in fp4sim: please report it
  130  interrupted

\b
FP4SIM_DEBUG=1 shows the traceback of a bug. NO_COLOR and COLUMNS are respected.
"""

app = typer.Typer(
    name="fp4sim",
    cls=GuardedGroup,
    help="The reference instrument for 4-bit floating point: bit-exact NVFP4, MXFP4 and relatives.",
    epilog=_EPILOG,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False,
) -> None:
    """Print the version, or the help where no command is given."""
    from fp4sim import BITS_VERSION, __version__
    from fp4sim.cli.console import emit
    from fp4sim.errors import ExitCode

    if version:
        emit(f"fp4sim {__version__} (bits version {BITS_VERSION})\n")
        raise typer.Exit()
    if context.invoked_subcommand is None:
        emit(context.get_help() + "\n")
        raise typer.Exit(ExitCode.USAGE)


for _command in (
    compare,
    verify,
    bias,
    quantize,
    dequantize,
    inspect,
    lint,
    convert,
    plot,
    reproduce,
    diff,
    gemm,
    formats,
    dialects,
    spec,
    estimators,
    sources,
    mutations,
    crosscheck,
):
    app.command()(_command)
app.add_typer(golden)
app.add_typer(report)
