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

        code = exit_code_of(run, self._path_of(sys.argv[1:] if args is None else args))
        if standalone_mode:
            sys.exit(code)
        return code

    def _path_of(self, words: Sequence[str]) -> str:
        """The command that ``words`` name, for errors that do not say where they were found."""
        path, inside = ["fp4sim"], self.commands
        for word in words:
            if word not in inside:
                break
            path.append(word)
            inside = getattr(inside[word], "commands", {})
        return " ".join(path)


def exit_code_of(run: Callable[[], Any], command: str = "fp4sim") -> int:
    """Call ``run`` and say in one line what went wrong, if anything did. ``command``: whose help an error names."""
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
        return _usage(error, command) if hasattr(error, "format_message") else _unexpected(error)
    if returned == ExitCode.INTERRUPTED:
        return _interrupted()
    return returned if isinstance(returned, int) else int(ExitCode.OK)


def _usage(error: Any, command: str) -> int:
    """An error of the command line itself; click's classes live in different modules in different versions of typer."""
    if getattr(error, "ctx", None):
        command = error.ctx.command_path
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
