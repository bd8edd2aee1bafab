"""How long the gradient bias of one linear layer takes: 1,024 draws at 1024 × 1024 and 1,024 tokens.

python benchmarks/layer.py [--recipe quartet2] [--draws 1024] [--size 1024] [--threads 2]
"""

from __future__ import annotations

import argparse
import resource
import time

from fp4sim.commands.layer import LayerSettings, layer_bias
from fp4sim.io.synthetic_layer import synthetic_layer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", default="quartet2", help="names separated by commas")
    parser.add_argument("--draws", type=int, default=1024)
    parser.add_argument("--size", type=int, default=1024, help="tokens, inputs and outputs")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    for name in given.recipe.split(","):
        measure(name, given.draws, given.size, given.threads)


def measure(name: str, draws: int, size: int, threads: int) -> None:
    layer = synthetic_layer(size, size, size)
    layer_bias(*layer, [name], LayerSettings(2, threads=threads))  # compiles the kernels
    start = time.perf_counter()
    result = layer_bias(*layer, [name], LayerSettings(draws, threads=threads))
    seconds = time.perf_counter() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{name}: {draws} draws at {size}: {seconds:.1f} s, {1e3 * seconds / draws:.1f} ms a draw, {memory:.0f} MiB")
    for row in result.rows:
        bias = row.bias
        if bias.mse and bias.relative_bias:
            found = bias.relative_bias
            span = "exact" if row.exact else f"{found.low:.2e} .. {found.high:.2e}"
            figures = f"mse {bias.mse.estimate:.3e}, relative bias {found.estimate:.2e} ({span})"
            print(f"  {row.output:2} against {row.reference}: {figures}, {bias.verdict}")


if __name__ == "__main__":
    main()
