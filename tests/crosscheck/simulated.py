"""A GPU that is not there: every kernel by its name as a Python function, right or planted wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from fp4sim.api import quantize
from fp4sim.crosscheck.casts import CASTS, Cast
from fp4sim.crosscheck.check import Effort
from fp4sim.crosscheck.checks.stochastic_cast import predicted
from fp4sim.crosscheck.device import DeviceInfo
from fp4sim.floats import E2M1, E4M3, FloatFormat
from fp4sim.kernels.reference.blocks import pack
from fp4sim.kernels.reference.encode import decode
from fp4sim.kernels.reference.kernels import ReferenceKernels
from fp4sim.mma import block_scaled_mma
from fp4sim.mma.dense_steps import Rival, dense_steps
from fp4sim.rcp import approximate_reciprocal, hopper_table
from tests.crosscheck import warp

TINY = Effort("tiny", 1 << 14, (1 << 18) + 1, 1 << 14)

Kernel = Callable[..., None]


class SimulatedDevice:
    """Arrays are numpy's; ``kernels``: by name, each writes its results in place."""

    def __init__(self, capability: tuple[int, int], kernels: Mapping[str, Kernel]) -> None:
        facts = {"name": "Simulated GPU", "compute_capability": "{}.{}".format(*capability), "driver": "none"}
        self.info = DeviceInfo(capability, facts, {"numpy": np.__version__})
        self.kernels = dict(kernels)
        self.launched: list[str] = []
        self.library: Any = "blackwell"
        self.dense: dict[str, Any] = {}  # instructions by name: the kind of codes, and the function
        self.gain = 1.0  # what the own quantization kernels multiply their input by
        self.backend: Any = ReferenceKernels
        self.counting = True  # whether it has the shared memory to count values

    def put(self, array: np.ndarray) -> np.ndarray:
        return np.array(array, order="C")

    def tensor(self, array: np.ndarray) -> np.ndarray:
        return array if self.gain == 1 else (np.asarray(array, np.float32) * np.float32(self.gain)).astype(array.dtype)

    def get(self, array: np.ndarray) -> np.ndarray:
        return array.copy()

    def counts_values(self, elements: int) -> bool:
        return self.counting

    def call(self, source: str, kernel: str, threads: int, *args: Any) -> None:
        assert threads > 0
        self.launched.append(f"{source}:{kernel}")
        self.kernels[kernel](*args)

    def own_kernels(self) -> Any:
        return self.backend

    def multiply_by_library(self, kind: str, a: np.ndarray, b: np.ndarray, scales: Any = None) -> np.ndarray:
        """cuBLASLt, as a chain of the steps of ``library``."""
        if kind == "e4m3":
            values = decode(a, E4M3), decode(b, E4M3)
            return (values[0] @ values[1].T).astype(np.float32).view(np.uint32)
        zero = np.zeros((a.shape[0], b.shape[0]), np.float32)
        how = {"nvf4": ("ue4m3", 16), "mxf4": ("ue8m0", 32)}[kind]
        given = {"scale_format": how[0], "block": how[1], "model": self.library}
        return block_scaled_mma(a, b, zero, *scales, **given).view(np.uint32)

    def instructions(self) -> dict[str, Any]:
        return self.dense

    def torch(self, array: np.ndarray) -> Any:
        raise RuntimeError("a simulated GPU has no torch")


def tallying(tested: Callable[[np.ndarray], np.ndarray], expected: Callable[[np.ndarray], np.ndarray]) -> Kernel:
    """What cuda/tally.cuh does."""

    def run(first: int, stride: int, count: int, *rest: Any) -> None:
        histogram, differing, where = rest[-3:]
        assert int(count) <= 1 << 20
        bits = (np.uint64(first) + np.arange(int(count), dtype=np.uint64) * np.uint64(stride)).astype(np.uint32)
        codes, wanted = tested(bits).astype(np.uint64), expected(bits).astype(np.uint64)
        histogram += np.bincount(codes.astype(np.int64), minlength=256).astype(np.uint64)
        wrong = np.flatnonzero(codes != wanted)
        differing += np.uint64(wrong.size)
        if wrong.size:
            i = wrong[0]
            where[0] = min(int(where[0]), int(i) << 16 | int(codes[i]) << 8 | int(wanted[i]))

    return run


def encoding(cast: Cast = CASTS[0]) -> dict[str, Kernel]:
    """What cuda/exhaustive.cu does, with a general encoder that may be planted wrong."""

    def run(limits: np.ndarray, counts: np.ndarray, first: int, patterns: int) -> None:
        bits = (np.int64(first) + np.arange(int(patterns), dtype=np.int64)).astype(np.uint32)
        magnitude = (bits & np.uint32(0x7FFFFFFF)).view(np.float32)
        expected = (~(magnitude[:, None] < limits)).sum(axis=1).astype(np.uint8)
        expected[~np.isnan(magnitude)] |= (bits[~np.isnan(magnitude)] >> 31 << 3).astype(np.uint8)
        counts[0] += np.uint64(np.count_nonzero(cast.codes(bits) != expected))
        counts[2:] += np.bincount(expected, minlength=16).astype(np.uint64)

    return {"encode_every_float": run}


def casting(prefix: str, casts: tuple[Cast, ...] = CASTS) -> dict[str, Kernel]:
    return {
        f"{prefix}_{cast.name}": tallying(cast.codes, right.codes) for cast, right in zip(casts, CASTS, strict=True)
    }


def reciprocal(table: np.ndarray) -> dict[str, Kernel]:
    def rcp_table(delta: np.ndarray) -> None:
        delta[:] = table

    def rcp_compare(first: int, stride: int, count: int, delta: np.ndarray, *rest: Any) -> None:
        def words(bits: np.ndarray, ulps: np.ndarray) -> np.ndarray:
            return approximate_reciprocal(bits.view(np.float32), ulps).view(np.uint32)

        tallying(lambda bits: words(bits, table) != words(bits, delta), lambda bits: np.zeros(bits.size, bool))(
            first, stride, count, *rest
        )

    return {"rcp_table": rcp_table, "rcp_compare": rcp_compare}


def convert_e2m1x2(x: np.ndarray, packed: np.ndarray, pairs: int) -> None:
    packed[:] = pack(CASTS[0].codes(x.view(np.uint32)))


def decode_e2m1x2(packed: np.ndarray, halves: np.ndarray, count: int) -> None:
    for i in range(int(count)):
        low, high = (np.float16(E2M1.value(int(code))).view(np.uint16) for code in (packed[i] & 15, packed[i] >> 4))
        halves[i] = int(low) | int(high) << 16


def stochastic(order: tuple[int, ...]) -> Kernel:
    def run(x: np.ndarray, rbits: np.ndarray, d: np.ndarray, count: int) -> None:
        d[:] = predicted(x, rbits, order)

    return run


def matrix(scales: int, scale_format: str, model: Any, bits: int = 4, swap_rows: bool = False) -> Kernel:
    """What cuda/blackwell_mma.cu does; ``swap_rows``: as if rows group and group + 8 of A were exchanged."""

    def run(a: Any, b: Any, scale_a: Any, scale_b: Any, c: Any, d: Any, tiles: int, steps: int) -> None:
        for tile in range(int(tiles)):
            total = c[tile]
            for step in range(int(steps)):
                left = a[tile, step][:, [1, 0, 3, 2]] if swap_rows else a[tile, step]
                total = warp.mma(
                    left,
                    b[tile, step],
                    scale_a[tile, step],
                    scale_b[tile, step],
                    total,
                    scales=scales,
                    scale_format=scale_format,
                    model=model,
                    bits=bits,
                )
            d[tile] = total

    return run


def products(model: Any = "blackwell", **planted: Any) -> dict[str, Kernel]:
    return {
        "mma_mxf4": matrix(2, "ue8m0", model, **planted),
        "mma_mxf4nvf4_2x": matrix(2, "ue8m0", model, **planted),
        "mma_mxf4nvf4_4x": matrix(4, "ue4m3", model, **planted),
        "mma_mxf8f6f4": matrix(1, "ue8m0", "mxf8f6f4", 8),
    }


def quantizing(
    nvfp4: str = "nvfp4", mxfp4: Mapping[int, str] = {0: "mxfp4@floor", 1: "mxfp4@rceil"}
) -> dict[str, Kernel]:
    """The kernels of cuda/blackwell_quantize.cu, by other specs where planted."""
    import ml_dtypes

    dtypes = {"f32": np.float32, "bf16": ml_dtypes.bfloat16, "f16": np.float16}
    kernels: dict[str, Kernel] = {}
    for suffix, dtype in dtypes.items():

        def amax(x: np.ndarray, count: int, out: np.ndarray) -> None:
            return None

        def two_level(x: Any, blocks: int, amax: Any, packed: Any, scales: Any, dtype: Any = dtype) -> None:
            q = quantize(x.view(dtype), nvfp4, nonfinite="propagate", threads=1)
            packed[:], scales[:] = q.packed.reshape(packed.shape), q.block_scale.reshape(-1)

        def one_level(x: Any, blocks: int, up: int, packed: Any, scales: Any, dtype: Any = dtype) -> None:
            q = quantize(x.view(dtype), mxfp4[int(up)], nonfinite="propagate", threads=1)
            packed[:], scales[:] = q.packed.reshape(packed.shape), q.block_scale.reshape(-1)

        kernels |= {
            f"tensor_amax_{suffix}": amax,
            f"quantize_nvfp4_{suffix}": two_level,
            f"quantize_mxfp4_{suffix}": one_level,
        }
    return kernels


def right() -> dict[str, Kernel]:
    """Every kernel as fp4sim says that a GPU with all instructions behaves."""
    halves = {f"nvidia_e2m1_{half}": tallying(CASTS[0].codes, CASTS[0].codes) for half in ("low", "high")}
    return {
        **casting("nvidia"),
        **encoding(),
        **halves,
        **casting("instruction"),
        **reciprocal(hopper_table()),
        "convert_e2m1x2": convert_e2m1x2,
        "decode_e2m1x2": decode_e2m1x2,
        "convert_rs_e2m1x4": stochastic((3, 1, 2, 0)),
        **products(),
        **quantizing(),
    }


def planted_cast(name: str, **changes: Any) -> tuple[Cast, ...]:
    """The casts with one changed."""
    return tuple(replace(cast, **changes) if cast.name == name else cast for cast in CASTS)


def dense(rival: Rival, fmt: FloatFormat) -> Callable[..., np.ndarray]:
    """A dense instruction by a model."""
    return lambda a, b, c: dense_steps(a, b, c, fmt, rival)
