"""Checks on a real GPU, each a function that says what is wrong or nothing; run by pytest (-m gpu), or alone by
``python -m tests.cuda.gpu_checks`` where pytest is not installed. The exit code is then 1 at a difference."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from fp4sim.kernels.cuda import load
from tests.cuda.gpu_cases import CASES, EXPECTED, SMALL, biased, compared, data, difference, figures_differ, on_gpu


def expected() -> dict[str, Any]:
    """The CPU's results."""
    return dict(json.loads(EXPECTED.read_text()))


def case(kind: str, dtype: str, text: str) -> str:
    """One kernel on 2^24 elements."""
    x = load.get_cupy().asarray(data(kind, dtype))
    return difference(on_gpu(x, dtype, text), expected()[f"{kind} {dtype} {text}"])


def compare_cupy() -> str:
    """fp4sim.compare of a CuPy array, every estimator of the catalogue."""
    x = load.get_cupy().asarray(data("adversarial", "float32", SMALL))
    return figures_differ(compared(x), expected()["compare"])


def bias_cupy() -> str:
    """fp4sim.bias of a CuPy array."""
    x = load.get_cupy().asarray(data("adversarial", "float32", SMALL))
    return figures_differ(biased(x), expected()["bias"])


def compare_torch() -> str:
    """A torch tensor on a stream of its own, written there just before; bfloat16 as such."""
    import torch

    host = torch.from_numpy(data("adversarial", "float32", SMALL))
    with torch.cuda.stream(torch.cuda.Stream()):
        x = torch.empty(SMALL, device="cuda")
        for _ in range(50):  # work that is still under way when compare is called
            x = x @ torch.ones((SMALL[1], SMALL[1]), device="cuda") * 0
        x = x + host.cuda(non_blocking=True)
        wrong = figures_differ(compared(x), expected()["compare"])
        narrow = data("adversarial", "bfloat16", SMALL)
        raw = torch.from_numpy(narrow.view(np.int16)).cuda().view(torch.bfloat16)
        return wrong or _same_in_bfloat16(raw, narrow)


def _same_in_bfloat16(tensor: Any, narrow: np.ndarray) -> str:
    import fp4sim

    wide = (narrow.astype(np.uint32) << np.uint32(16)).view(np.float32)
    one, other = (
        fp4sim.compare(x, ("nvfp4", "mxfp4")).tensors[0].results for x in (tensor, load.get_cupy().asarray(wide))
    )
    return "" if [r.mse for r in one] == [r.mse for r in other] else "bfloat16 and its float32 differ"


def same_every_time() -> str:
    """Twenty runs on different grids: every digit the same."""
    from fp4sim.kernels.cuda.tensor_stats import tensor_stats
    from tests.cuda.gpu_cases import table_of

    x = load.get_cupy().asarray(data("adversarial", "bfloat16"))
    table, seen = table_of(x, "bfloat16", "nvfp4"), set()
    for run in range(20):
        found = tensor_stats(x, 16, table, grid=(1 + run * 37) % 300 + 1)
        seen.add((found.sums.sums.tobytes(), found.sums.worst, found.sums.worst_index, found.scales.tobytes()))
    return "" if len(seen) == 1 else f"{len(seen)} different results"


def checks() -> Iterator[tuple[str, Callable[[], str]]]:
    """All by name."""
    for one in CASES:
        yield " ".join(one), partial(case, *one)
    for check in (compare_cupy, bias_cupy, compare_torch, same_every_time):
        yield check.__name__, check


def main() -> int:
    """Print what differs."""
    wrong, count, start = 0, 0, time.perf_counter()
    for name, check in checks():
        count += 1
        try:
            found = check()
        except Exception as error:  # one failing check must not hide the others
            found = f"{type(error).__name__}: {str(error)[:300]}"
        if found:
            wrong += 1
            print(f"{name}: {found[:600]}", flush=True)
    print(f"{count - wrong} of {count} checks as on the CPU, {time.perf_counter() - start:.1f} s", flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
