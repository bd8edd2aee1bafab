"""From exceptions to exit codes: what goes wrong is one line on stderr."""

from __future__ import annotations

import errno
import os
import sys
from typing import TYPE_CHECKING, Any

from typer.core import TyperGroup

from fp4sim import __version__
from fp4sim.cli.console import complain
from fp4sim.cli.stamp import Invocation
from fp4sim.errors import ExitCode, Fp4simError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class GuardedGroup(TyperGroup):
    """The command group with fp4sim's exit codes; typer's own handling is switched off."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run and exit (or return the exit code where ``standalone_mode`` is off)."""

        extra.setdefault("obj", Invocation.of(args))

        def run() -> Any:
            return super(GuardedGroup, self).main(
                args, prog_name or "fp4sim", complete_var, False, windows_expand_args, **extra
            )

        code = exit_code_of(run)
        if standalone_mode:
            sys.exit(code)
        return code


def exit_code_of(run: Callable[[], Any]) -> int:
    """Call ``run`` and say in one line what went wrong, if anything did."""
    try:
        returned = run()
    except Fp4simError as error:
        complain(f"error: {error}")
        return int(error.exit_code)
    except KeyboardInterrupt:
        return _interrupted()
    except SystemExit as leaving:
        # typer turns a reader that went away while help was printed into exit code 1, which here means a mismatch
        if isinstance(leaving.__context__, BrokenPipeError):
            return int(ExitCode.OK)
        return leaving.code if isinstance(leaving.code, int) else int(ExitCode.OK)
    except MemoryError:
        complain("error: out of memory; compare fewer tensors at once (--include) or use fewer --threads")
        return int(ExitCode.UNEXPECTED)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            return _unexpected(error)
        complain("error: no space left on device")
        return int(ExitCode.USAGE)
    except Exception as error:
        return _usage(error) if hasattr(error, "format_message") else _unexpected(error)
    if returned == ExitCode.INTERRUPTED:
        return _interrupted()
    return returned if isinstance(returned, int) else int(ExitCode.OK)


def _usage(error: Any) -> int:
    """An error of the command line itself; click's classes live in different modules in different versions of typer."""
    command = error.ctx.command_path if getattr(error, "ctx", None) else "fp4sim"
    complain(f"error: {error.format_message().rstrip('.')}; see {command} --help")
    return int(ExitCode.USAGE)


def _interrupted() -> int:
    complain("interrupted")
    return int(ExitCode.INTERRUPTED)


def _unexpected(error: Exception) -> int:
    if type(error).__name__ == "Abort":
        return _interrupted()
    if os.environ.get("FP4SIM_DEBUG") == "1":
        import traceback

        traceback.print_exception(error)
    complain(
        f"error: unexpected {type(error).__name__}: {error}; this is a bug in fp4sim {__version__}, please report it"
        " (FP4SIM_DEBUG=1 shows the traceback)"
    )
    return int(ExitCode.UNEXPECTED)
