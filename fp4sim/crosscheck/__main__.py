"""``python -m fp4sim.crosscheck``: the command ``fp4sim crosscheck`` for hosts without typer and rich."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fp4sim.crosscheck.command import check_output, crosscheck, default_output, read_evidence, write_evidence
from fp4sim.errors import ExitCode, Fp4simError
from fp4sim.report.evidence_text import evidence_text
from fp4sim.report.json_text import strict_json


def main(arguments: list[str] | None = None) -> int:
    """Run it; the exit code is that of ``fp4sim crosscheck``."""
    parser = argparse.ArgumentParser("python -m fp4sim.crosscheck", description="Hold a GPU against fp4sim's bits.")
    parser.add_argument("--show", metavar="FILE", help="render an evidence file; needs no GPU")
    parser.add_argument("--only", metavar="CHECK", action="append", default=[], help="run only this check; repeatable")
    parser.add_argument("--quick", action="store_true", help="a sample instead of every float32 pattern")
    parser.add_argument("--fit-mma", action="store_true", help="also fit the arithmetic of the tensor cores")
    parser.add_argument("--json", action="store_true", help="print the evidence as JSON")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="the evidence file to write")
    given = parser.parse_args(arguments)
    try:
        if given.show is not None:
            evidence = read_evidence(given.show)
        else:
            check_output(given.output)
            evidence = crosscheck(given.only, quick=given.quick, fit_mma=given.fit_mma, progress=_progress)
            path = given.output or default_output(evidence)
            write_evidence(evidence, path)
            print(f"evidence: {path}", file=sys.stderr)
    except Fp4simError as error:
        print(f"fp4sim: {error}", file=sys.stderr)
        return int(error.exit_code)
    except KeyboardInterrupt:
        return int(ExitCode.INTERRUPTED)
    sys.stdout.write(strict_json(evidence.to_dict()) if given.json else evidence_text(evidence))
    if evidence.interrupted and given.show is None:
        return int(ExitCode.INTERRUPTED)
    return int(ExitCode.OK if evidence.ok else ExitCode.MISMATCH)


def _progress(name: str, number: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"{number + 1} of {total}: {name}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
