"""Which 4-bit format for which tensor? ``python examples/choose_format.py model.safetensors 18``

Takes the format of fewest bits per element whose SNR reaches the wanted dB, and lists the tensors that none serves:
candidates to keep in BF16.
"""

from __future__ import annotations

import sys

import fp4sim

CANDIDATES = ["mxfp4@even", "mxfp4@rceil", "nvfp4", "nvfp4/16x16"]


def main(path: str, wanted_db: float) -> None:
    """Compare every tensor of a file and print the choice."""
    result = fp4sim.compare(path, CANDIDATES)
    order = sorted(range(len(CANDIDATES)), key=lambda i: result.formats[i].bits_per_element)
    for tensor in result.tensors:
        snr = [metrics.snr_db for metrics in tensor.results]
        good = [i for i in order if snr[i] is None or snr[i] >= wanted_db]  # None: no error at all
        choice = result.formats[good[0]].short if good else "keep in bf16"
        print(f"{tensor.name:50} {choice:14} {'  '.join('exact' if s is None else f'{s:.2f}' for s in snr)} dB")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "synthetic", float(sys.argv[2]) if len(sys.argv) > 2 else 18.5)
