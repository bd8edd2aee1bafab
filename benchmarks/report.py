"""How long a report takes (processor time) and how large it is: 1,000 tensors under 6 formats, half and twice as many.

python benchmarks/report.py
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

import fp4sim
from fp4sim.report.render import render

FORMATS = "nvfp4,nvfp4/16x16,nvfp4+4over6,mxfp4,mxfp4@rceil,mxfp4@even"
MODULES = (
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
)


def result_of(tensors: int) -> fp4sim.report.model.CompareResult:
    """A comparison of so many tensors with a transformer's names; 48 are measured, the others are copies of them."""
    rng = np.random.default_rng(0)
    arrays = {str(i): rng.standard_t(3 + i % 5, (64, 256)).astype(np.float32) for i in range(48)}
    measured = fp4sim.compare(arrays, FORMATS)
    names = (f"model.layers.{i // len(MODULES)}.{MODULES[i % len(MODULES)]}.weight" for i in range(tensors))
    return replace(
        measured, tensors=tuple(replace(measured.tensors[i % 48], name=name) for i, name in enumerate(names))
    )


def main() -> None:
    """Print a line a size and format."""
    print(f"{'tensors':>8} {'formats':>8} {'kind':>6} {'CPU s':>8} {'bytes':>10}")
    for tensors in (500, 1000, 2000):
        result = result_of(tensors)
        for suffix in (".html", ".json", ".md", ".csv", ".xml", ".txt"):
            start = time.process_time()
            text = render(result, suffix)
            seconds = time.process_time() - start
            print(f"{tensors:8,} {len(result.formats):8} {suffix:>6} {seconds:8.2f} {len(text.encode()):10,}")


if __name__ == "__main__":
    main()
