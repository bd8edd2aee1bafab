"""Checks on a real GPU, each a function that says what is wrong or nothing; run by pytest (-m gpu), or alone by
``python -m tests.cuda.gpu_checks`` where pytest is not installed. The exit code is then 1 at a difference."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import lru_cache, partial
from itertools import product
from typing import Any

import numpy as np

from fp4sim.kernels.cuda import load
from fp4sim.statistic import by_definition
from tests.cuda import packed_cases, product_cases
from tests.cuda.gpu_cases import (
    CASES,
    DTYPES,
    EXPECTED,
    KINDS,
    SMALL,
    biased,
    compared,
    data,
    difference,
    figures_differ,
    on_gpu,
)


@lru_cache(maxsize=1)
def expected() -> dict[str, Any]:
    """The CPU's results."""
    return json.loads(EXPECTED.read_text()) | packed_cases.expected()


@lru_cache(maxsize=1)  # cases that share an input follow one another
def given(make: Callable[[str, str], np.ndarray], kind: str, dtype: str) -> Any:
    """An input of 2^24 elements on the GPU."""
    return load.get_cupy().asarray(make(kind, dtype))


def case(kind: str, dtype: str, text: str) -> str:
    """Statistics or a rotation of 2^24 elements."""
    return difference(on_gpu(given(data, kind, dtype), dtype, text), expected()[f"{kind} {dtype} {text}"])


def bits(kind: str, dtype: str, text: str, general: bool = False) -> str:
    """quantize and fake_quant of 2^24 elements; ``general``: by the general path although there is a fused kernel."""
    x = packed_cases.typed(given(packed_cases.tensor, kind, dtype), dtype)
    with packed_cases.general_path() if general else nullcontext():
        found = packed_cases.bits_of(x, text)
    return packed_cases.differing(found, expected()[f"bits {kind} {dtype} {text}"])


def compare_large(kind: str) -> str:
    """fp4sim.compare of 2^24 elements, by the general path."""
    x = given(packed_cases.tensor, kind, "float32")
    return figures_differ(compared(x, list(packed_cases.COMPARED)), expected()[f"compare {kind}"])


def product_of(*case: str) -> str:
    """A block-scaled product whose left operand has 2^24 elements, by every path."""
    return product_cases.differing_on_gpu(expected()[" ".join(case)], *case[1:])


def compare_cupy() -> str:
    """fp4sim.compare of a CuPy array, every estimator of the catalogue; what the host does of it, by the reference."""
    x = load.get_cupy().asarray(data("adversarial", "float32", SMALL))
    with by_definition():
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
        source, x = host.cuda(), torch.full(SMALL, 7.0, device="cuda")
        torch.cuda.synchronize()
        torch.cuda._sleep(200_000_000)  # still under way when compare is called
        x.copy_(source)
        few = {spec: expected()["compare"][spec] for spec in ("nvfp4", "nvfp4+sr", "nvfp4+mseden")}
        wrong = figures_differ(compared(x, list(few)), few)
        narrow = data("adversarial", "bfloat16", SMALL)
        raw = torch.from_numpy(narrow.view(np.int16)).cuda().view(torch.bfloat16)
        return wrong or _same_in_bfloat16(raw, narrow)


def _same_in_bfloat16(tensor: Any, narrow: np.ndarray) -> str:
    import fp4sim

    wide = (narrow.astype(np.uint32) << np.uint32(16)).view(np.float32)
    one, other = (
        fp4sim.compare(x, ("nvfp4", "mxfp4")).tensors[0].results for x in (tensor, load.get_cupy().asarray(wide))
    )
    same = all(abs(a.mse - b.mse) <= 1e-12 * b.mse for a, b in zip(one, other, strict=True))
    return "" if same else "bfloat16 and its float32 differ"


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
    for check in (same_every_time, compare_torch, compare_cupy, bias_cupy):
        yield check.__name__, check
    for one in CASES:
        yield " ".join(one), partial(case, *one)
    for kind, dtype in product(KINDS, DTYPES):
        if dtype == "float32":
            yield f"compare large {kind}", partial(compare_large, kind)
        for text in (*packed_cases.FUSED, *packed_cases.GENERAL):
            yield f"bits {kind} {dtype} {text}", partial(bits, kind, dtype, text)
        for text in packed_cases.BOTH_WAYS:
            yield f"bits {kind} {dtype} {text} by the general path", partial(bits, kind, dtype, text, general=True)
    for parts in product_cases.CASES:
        yield " ".join(parts), partial(product_of, *parts)


def main() -> int:
    """Print what differs."""
    wrong, count, start = 0, 0, time.perf_counter()
    for name, check in checks():
        count, began = count + 1, time.perf_counter()
        try:
            found = check()
        except Exception as error:  # one failing check must not hide the others
            found = f"{type(error).__name__}: {str(error)[:300]}"
        if time.perf_counter() - began > 2:
            print(f"{name}: {time.perf_counter() - began:.1f} s", flush=True)
        if found:
            wrong += 1
            print(f"{name}: {found[:600]}", flush=True)
    print(f"{count - wrong} of {count} checks as on the CPU, {time.perf_counter() - start:.1f} s", flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
