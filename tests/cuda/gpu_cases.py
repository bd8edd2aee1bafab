"""What GPU tests of statistics and rotation compute, 2^24 elements a case, on either backend; no pytest, no numba needed.

``python -m tests.cuda.gpu_cases`` computes the cases on the CPU and writes tests/data/cuda_sums.json, which the GPU's results
are held to: codes and scales by their SHA-256, counts exactly, sums to 1e-12. Inputs are made of integers alone, so that every
NumPy makes the same.
"""

from __future__ import annotations

import hashlib
import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

EXPECTED = Path(__file__).parents[1] / "data" / "cuda_sums.json"
SHAPE = 4096, 4096
DTYPES = ("float32", "bfloat16", "float16")
KINDS = ("random", "adversarial")
STATS = ("nvfp4", "mxfp4", "mxfp4@rceil")
ROTATED = ("nvfp4+mseden", "nvfp4+rht:16", "nvfp4+h:32")
CASES = tuple(product(KINDS, DTYPES, (*STATS, *ROTATED)))
SMALL = 256, 1024
BIASED = ("nvfp4+sr", "nvfp4+mseden", "mxfp4", "mxfp4+rht:32+sr", "nvfp4+4over6")
DRAWS = 64


def data(kind: str, dtype: str, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """Float32, float16, or bfloat16 as uint16."""
    rng = np.random.default_rng(12345)
    parts = rng.integers(0, 1 << 16, (3, *shape), dtype=np.uint16).astype(np.int32)
    x = ((parts.sum(axis=0) - 98303) / np.float32(32768)).astype(np.float32)
    if kind == "adversarial":
        powers = np.array(2.0 ** rng.integers(-12, 5, shape[0]), np.float32)
        x *= powers[:, None]
        x[1::8] = rng.integers(-12, 13, x[1::8].shape).astype(np.float32) / 2
        x[2::8] = np.array([0.0, -0.0, 1.0, -6.0, 0.25, 5.0], np.float32)[rng.integers(0, 6, x[2::8].shape)]
        x[3::8, : shape[1] // 2] = 0
        x[4::8] *= np.float32(2.0**-18)
        x[5::8] *= np.array(2.0 ** rng.integers(-24, 1, x[5::8].shape), np.float32)
        x[6::8] = x[1]
        x[7::8] = 0
        x[7::8, ::97] = 3
    if dtype == "bfloat16":
        return (x.view(np.uint32) >> np.uint32(16)).astype(np.uint16)
    return x.astype(dtype)


def catalogue() -> list[str]:
    """The example of every estimator."""
    from fp4sim.estimators.catalogue import CATALOGUE

    return list(dict.fromkeys(info.example for _, info in CATALOGUE))


def compared(x: Any) -> dict[str, Any]:
    """What compare says of every estimator of the catalogue, x an array or a GPU's."""
    import fp4sim

    result = fp4sim.compare({"w": x}, catalogue())
    return {spec: _figures(one) for spec, one in zip(catalogue(), result.tensors[0].results, strict=True)}


def biased(x: Any) -> dict[str, Any]:
    """What bias says of a few estimators."""
    import fp4sim

    result = fp4sim.bias({"w": x}, BIASED, draws=DRAWS)
    return {spec: _figures(one) for spec, one in zip(BIASED, result.tensors[0].results, strict=True)}


def _figures(result: Any) -> dict[str, Any]:
    """The fields that are numbers, counts or places."""
    plain = {name: value for name, value in vars(result).items() if isinstance(value, (int, float, str))}
    for name in ("occupancy", "scale_histogram", "max_error_at"):
        value = getattr(result, name, None)
        plain[name] = list(value) if isinstance(value, tuple) else value
    for name in ("bias2", "variance", "mse", "alignment", "misalignment"):
        value = getattr(result, name, None)
        plain[name] = value if value is None or isinstance(value, float) else next(iter(vars(value).values()))
    return plain


def figures_differ(found: dict[str, Any], expected: dict[str, Any]) -> str:
    """What is wrong: counts, places and words must be equal, numbers to 1e-9 of an error that may cancel."""
    wrong = []
    for spec, theirs in expected.items():
        for name, value in theirs.items():
            mine = found[spec][name]
            if isinstance(value, float) and isinstance(mine, float):
                near = abs(mine - value) <= 1e-9 * abs(value) + 1e-9 * abs(theirs.get("mse") or 0.0) ** 0.5
            else:
                near = mine == value or (name in ("sentence", "draws_needed"))
            if not near:
                wrong.append(f"{spec} {name}: {mine} instead of {value}")
    return "; ".join(wrong)


def digest(array: np.ndarray) -> str:
    """SHA-256 of the bytes."""
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def sums_as_json(sums: Any, scales: np.ndarray, lost: int, at: int) -> dict[str, Any]:
    """Error sums as numbers that JSON keeps."""
    return {
        "elements": sums.elements,
        "sums": [float(one).hex() for one in sums.sums],
        "counts": sums.counts.tolist(),
        "occupancy": sums.occupancy.tolist(),
        "worst": float(sums.worst).hex(),
        "at": at,
        "scales": scales.tolist(),
        "lost": lost,
    }


def on_gpu(x: Any, dtype: str, text: str) -> dict[str, Any]:
    """A case's result, x a CuPy array."""
    from fp4sim.geometry import Geometry
    from fp4sim.gpu.rotated import is_fused, quantize_rotated
    from fp4sim.grammar import parse
    from fp4sim.kernels.cuda.tensor_stats import tensor_stats
    from fp4sim.randbits import Stream

    spec = parse(text)
    geometry = Geometry.for_spec(x.shape, -1, spec)
    if text in ROTATED:
        assert is_fused(spec, geometry, x)
        found = quantize_rotated(x, spec, geometry, Stream.of(7, "w", 3))
        return {
            "packed": digest(found.packed.get()),
            "scales": digest(found.scales.get()),
            "stored": float(found.stored).hex(),
        }
    found = tensor_stats(x, spec.block.cols, table_of(x, dtype, text))
    return sums_as_json(found.sums, found.scales, found.lost, found.sums.worst_index)


def table_of(x: Any, dtype: str, text: str) -> Any:
    """The scale table of a format on a tensor of the GPU."""
    from fp4sim.geometry import Geometry
    from fp4sim.gpu.scale_table import scale_table
    from fp4sim.grammar import parse
    from fp4sim.quantizer import Quantizer
    from fp4sim.randbits import Stream
    from fp4sim.statistic import Statistic

    wide = (x.astype(np.uint32) << np.uint32(16)).view(np.float32) if dtype == "bfloat16" else x
    amax, spec = np.float32(abs(wide).max().get()), parse(text)
    geometry = Geometry.for_spec(x.shape, -1, spec)
    table = scale_table(Quantizer(spec, geometry, Statistic(amax, np.zeros(0, np.float32), 0, geometry), Stream()))
    assert table is not None
    return table


def on_cpu(x: np.ndarray, dtype: str, text: str) -> dict[str, Any]:
    """The same by the CPU backend."""
    import ml_dtypes

    import fp4sim
    from fp4sim.estimators.pipeline import prepare
    from fp4sim.geometry import Geometry
    from fp4sim.grammar import parse
    from fp4sim.io.source import ArrayTensor
    from fp4sim.panels import Panels
    from fp4sim.randbits import Stream
    from fp4sim.stats.metrics import ScaleCounts
    from fp4sim.stats.sums import SumTree

    spec, x = parse(text), x.view(ml_dtypes.bfloat16) if dtype == "bfloat16" else x
    if text in ROTATED:
        packed = fp4sim.quantize(x, spec, seed=7, draw=3, name="w")
        return {
            "packed": digest(packed.packed),
            "scales": digest(packed.block_scale),
            "stored": float(packed.tensor_scale).hex(),
        }
    geometry = Geometry.for_spec(x.shape, -1, spec)
    pipeline = prepare(Panels(ArrayTensor("", x), 1), spec, geometry, Stream())
    tree, counts, worst, at = SumTree(), None, -1.0, -1
    for run in geometry.runs:
        sums, scales = pipeline.errors(run, pipeline.load(run.whole))
        for k, one in enumerate(sums):
            tree.add(one)
            if one.worst > worst:
                worst, at = one.worst, (run.whole.row0 + k * run.cell_rows) * geometry.length + one.worst_index
        one = ScaleCounts.of(scales.codes, scales.amax, spec.scale, pipeline.quantizer.kernels.histogram)
        counts = one if counts is None else counts + one
    assert counts is not None
    histogram = np.pad(counts.histogram, (0, 256 - counts.histogram.size))
    total = tree.total()
    assert total is not None
    return sums_as_json(total, histogram, counts.lost, at)


def difference(found: dict[str, Any], expected: dict[str, Any]) -> str:
    """What is wrong, or nothing: sums may differ by 1e-12 (those of errors, which cancel, by that of their root)."""
    wrong = [key for key in expected if key != "sums" and found[key] != expected[key]]
    if "sums" in expected:
        mine, theirs = (np.array([float.fromhex(one) for one in each["sums"]]) for each in (found, expected))
        scale = np.abs(theirs)
        scale[3] = np.sqrt(theirs[4] * expected["elements"])
        if not (np.abs(mine - theirs) <= 1e-12 * scale).all():
            wrong.append(f"sums {mine} instead of {theirs}")
    return ", ".join(wrong)


def main() -> None:
    """Write what is expected."""
    expected: dict[str, Any] = {" ".join(case): on_cpu(data(*case[:2]), case[1], case[2]) for case in CASES}
    small = data("adversarial", "float32", SMALL)
    expected["compare"], expected["bias"] = compared(small), biased(small)
    EXPECTED.write_text(json.dumps(expected, indent=0) + "\n")


if __name__ == "__main__":
    main()
