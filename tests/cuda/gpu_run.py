"""Every case of gpu_cases on the GPU, without pytest: ``python -m tests.cuda.gpu_run``; exits 1 at a difference."""

from __future__ import annotations

import json
import sys
import time

from fp4sim.kernels.cuda import load
from tests.cuda.gpu_cases import CASES, EXPECTED, data, difference, on_gpu


def main() -> int:
    """Print what differs."""
    cupy, expected, wrong = load.get_cupy(), json.loads(EXPECTED.read_text()), 0
    start, inputs = time.perf_counter(), {}
    for kind, dtype, text in CASES:
        if (kind, dtype) not in inputs:
            inputs = {(kind, dtype): cupy.asarray(data(kind, dtype))}
        try:
            found = difference(on_gpu(inputs[kind, dtype], dtype, text), expected[f"{kind} {dtype} {text}"])
        except Exception as error:  # one failing case must not hide the others
            found = f"{type(error).__name__}: {str(error)[:300]}"
        if found:
            wrong += 1
            print(f"{kind} {dtype} {text}: {found[:600]}", flush=True)
    print(f"{len(CASES) - wrong} of {len(CASES)} cases as on the CPU, {time.perf_counter() - start:.1f} s", flush=True)
    return wrong > 0


if __name__ == "__main__":
    sys.exit(main())
