"""Where the command ``fp4sim`` starts. Nothing slow is imported before an interrupt is caught."""

from __future__ import annotations

import sys

from fp4sim.cli.console import complain, open_streams
from fp4sim.errors import ExitCode


def main() -> None:
    """Run the command line and exit."""
    with open_streams():
        try:
            from fp4sim.cli.app import app

            app()
        except KeyboardInterrupt:
            complain("interrupted")
            sys.exit(ExitCode.INTERRUPTED)
