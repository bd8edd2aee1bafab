"""Speed of fp4sim against its peers, in one process on the same data: ``python benchmarks/peers.py [--write]``.

Each figure is the best of several runs (the machine's noise only ever adds), two threads on every side. Both sides of
the NVFP4 rows include the tensor amax. Ratios are peer time / fp4sim time: above 1 fp4sim is faster.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

import fp4sim
from fp4sim.commands.compare import Settings, compare_sources
from fp4sim.io.source import ArrayTensor, ListSource
from fp4sim.packing import quantize_tensor

SIZE = 1 << 24
THREADS = 2


@dataclass(frozen=True)
class Row:
    """One measured operation."""

    name: str
    seconds: float

    @property
    def rate(self) -> float:
        """Elements per second, in units of 1e9."""
        return SIZE / self.seconds / 1e9


def best(function: Callable[[], Any], runs: int) -> float:
    """The shortest of ``runs`` wall-clock times, after one warm-up."""
    function()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def ours(x: np.ndarray, runs: int) -> dict[str, Row]:
    """fp4sim's rows."""
    tensor = ArrayTensor("x", x)
    source = ListSource("x", [tensor])

    def quantize(spec: str) -> Callable[[], Any]:
        parsed = fp4sim.parse(spec)
        return lambda: quantize_tensor(tensor, parsed, threads=THREADS)

    def errors(spec: str) -> Callable[[], Any]:
        specs = [fp4sim.parse(spec)]
        return lambda: compare_sources([(source, source.tensors())], specs, Settings(threads=THREADS))

    jobs = {
        "quantize nvfp4": quantize("nvfp4"),
        "quantize nvfp4+sr": quantize("nvfp4+sr"),
        "quantize mxfp4": quantize("mxfp4"),
        "quantize mxfp4@rceil": quantize("mxfp4@rceil"),
        "error pass nvfp4": errors("nvfp4"),
        "error pass mxfp4": errors("mxfp4"),
    }
    return {name: Row(name, best(job, runs)) for name, job in jobs.items()}


def copy_row(x: np.ndarray, runs: int) -> Row:
    """A plain memory copy of the input."""
    target = np.empty_like(x)
    return Row("memory copy (numpy)", best(lambda: np.copyto(target, x), runs))


def ml_dtypes_row(x: np.ndarray) -> Row:
    """ml_dtypes' element cast alone: no scales, one code a byte."""
    return Row("ml_dtypes cast to float4_e2m1fn", best(lambda: x.astype(ml_dtypes.float4_e2m1fn), 3))


def torchao_rows(x: np.ndarray) -> list[Row]:
    """torchao's quantizers, eager and compiled; empty if it is not installed."""
    try:
        import torch
        from torchao.prototype.mx_formats.config import ScaleCalculationMode
        from torchao.prototype.mx_formats.mx_tensor import to_mx
        from torchao.prototype.mx_formats.nvfp4_tensor import nvfp4_quantize, per_tensor_amax_to_scale
    except ImportError as error:
        print(f"torchao rows are left out: {error}")
        return []
    torch.set_num_threads(THREADS)
    tensor = torch.from_numpy(x)

    def nvfp4(t: Any) -> Any:
        return nvfp4_quantize(t, 16, per_tensor_amax_to_scale(t.abs().max()))

    def mxfp4(t: Any) -> Any:
        return to_mx(t, torch.float4_e2m1fn_x2, 32, ScaleCalculationMode.FLOOR)

    rows = [
        Row("torchao nvfp4_quantize, eager", best(lambda: nvfp4(tensor), 3)),
        Row("torchao to_mx floor, eager", best(lambda: mxfp4(tensor), 3)),
    ]
    for name, function in (
        ("torchao nvfp4_quantize, torch.compile", nvfp4),
        ("torchao to_mx floor, torch.compile", mxfp4),
    ):
        try:
            compiled = torch.compile(function)
            rows.append(Row(name, best(lambda compiled=compiled: compiled(tensor), 5)))
        except Exception as error:
            print(f"{name} is left out: {str(error).splitlines()[0][:100]}")
    return rows


def table(rows: list[Row], mine: dict[str, Row]) -> str:
    """All rows with their ratios."""
    lines = ["| operation | ms | Gelem/s | time / fp4sim's |", "|---|---|---|---|"]
    for row in rows:
        base = mine["quantize mxfp4" if "mx" in row.name and "nvfp4" not in row.name else "quantize nvfp4"]
        ratio = "" if row.name in mine else f"{row.seconds / base.seconds:.2f}"
        lines.append(f"| {row.name} | {row.seconds * 1e3:.1f} | {row.rate:.3f} | {ratio} |")
    return "\n".join(lines)


def targets(rows: list[Row], mine: dict[str, Row], copy: Row) -> str:
    """The ratios that the project promises, measured."""
    by_name = {row.name: row for row in rows}
    nvfp4 = mine["quantize nvfp4"]

    def against(name: str) -> str:
        return f"{by_name[name].seconds / nvfp4.seconds:.1f}" if name in by_name else "not measured"

    promised = [
        ("nvfp4 over torchao eager", against("torchao nvfp4_quantize, eager"), "25"),
        ("nvfp4 over torchao torch.compile", against("torchao nvfp4_quantize, torch.compile"), "7"),
        ("nvfp4 rate over memory-copy rate", f"{nvfp4.rate / copy.rate:.2f}", "0.3"),
        ("stochastic over nearest-even rate", f"{mine['quantize nvfp4+sr'].rate / nvfp4.rate:.2f}", "0.3"),
        ("error-pass over quantize rate", f"{mine['error pass nvfp4'].rate / nvfp4.rate:.2f}", "0.5"),
    ]
    lines = ["| ratio | measured | wanted at least |", "|---|---|---|"]
    return "\n".join(lines + [f"| {name} | {value} | {goal} |" for name, value, goal in promised])


def main() -> None:
    """Measure, print, and with --write put the tables into benchmarks/README.md."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--write", action="store_true")
    arguments.add_argument("--runs", type=int, default=15)
    options = arguments.parse_args()
    x = np.random.default_rng(0).standard_normal((4096, SIZE // 4096), dtype=np.float32)
    copy = copy_row(x, options.runs)
    mine = ours(x, options.runs)
    rows = [copy, *mine.values(), ml_dtypes_row(x), *torchao_rows(x)]
    versions = f"numpy {np.__version__}, ml_dtypes {ml_dtypes.__version__}, fp4sim {fp4sim.__version__}"
    text = (
        f"2^24 float32 N(0,1), {THREADS} threads, {platform.machine()} {platform.system()}; {versions}.\n\n"
        f"{targets(rows, mine, copy)}\n\n{table(rows, mine)}\n"
    )
    print(text)
    if options.write:
        path = Path(__file__).with_name("README.md")
        marker = "<!-- measured by benchmarks/peers.py --write -->\n"
        head = path.read_text(encoding="utf-8").split(marker)[0]
        path.write_text(head + marker + text, encoding="utf-8")


if __name__ == "__main__":
    main()
