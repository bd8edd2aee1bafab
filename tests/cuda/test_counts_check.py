"""crosscheck's own-counts: compare by counting values, its kernels on the host, passes and names what is planted wrong."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import fp4sim
from fp4sim.crosscheck import cuda_device
from fp4sim.crosscheck.checks import own_counts
from fp4sim.crosscheck.run import run_check
from fp4sim.gpu.arrays import device_array
from fp4sim.gpu.scale_table import scale_table
from fp4sim.kernels.cuda import load, tensor_stats, value_counts
from fp4sim.kernels.cuda.arrays import on_device
from fp4sim.kernels.cuda.value_counts import Counted, Found, count_values, found_of
from fp4sim.kernels.cuda.value_window import window_of
from fp4sim.report.evidence_model import CheckResult
from tests.crosscheck.simulated import TINY, SimulatedDevice
from tests.cuda.host import COUNTERS
from tests.cuda.on_gpu import to_gpu
from tests.cuda.test_tensor_stats import pipeline_of

SHAPE = 64, 512


@lru_cache(maxsize=2)
def counted_once(block: int) -> Counted:
    """What the kernels count in the check's tensor: they take seconds on the host, what faults are planted in does not."""
    x = own_counts.values(*SHAPE)
    raw = on_device(x.view(np.uint16))
    window = window_of(raw, block, scale_table(pipeline_of(x, {16: "nvfp4", 32: "mxfp4"}[block]).quantizer))
    return count_values(raw, block, window, value_counts.on_gpu(window.table()))


@pytest.fixture
def cupy(host_device, monkeypatch):
    monkeypatch.setattr(value_counts, "_THREADS", {16: COUNTERS, 32: COUNTERS})
    monkeypatch.setattr(tensor_stats, "_LEAST_COUNTED", 0)
    monkeypatch.setattr(own_counts, "LEAST", SHAPE)
    monkeypatch.setattr(tensor_stats, "count_values", lambda x, block, *_: counted_once(block))
    return host_device


def checked(cupy) -> CheckResult:
    """The check's result; the device takes arrays as a GPU does."""
    device = SimulatedDevice((9, 0), {})
    device.tensor = lambda x: to_gpu(cupy, x)
    return run_check(device, own_counts.CHECK, replace(TINY, elements=0, compiled=False))


def test_what_is_counted_is_the_cpus(cupy, monkeypatch):
    counted: list[Found] = []

    def kept(*args: Any) -> Found:
        counted.append(found_of(*args))
        return counted[-1]

    monkeypatch.setattr(tensor_stats, "found_of", kept)
    monkeypatch.setattr(tensor_stats, "count_values", count_values)
    found = checked(cupy)
    assert (found.status, found.reason, found.answer, found.diagnosis) == ("pass", "", "", ())
    assert set(found.counts) == {"nvfp4", "mxfp4"}
    assert all(count.total > 45 for count in found.counts.values())
    assert all(0 < one.left.size < 64 * 512 // 128 for one in counted)
    results = fp4sim.compare(own_counts.values(*SHAPE), own_counts.SPECS).tensors[0].results
    assert [one.sums.worst for one in counted] == [one.max_error for one in results]  # no listed block has it


FAULTS = {
    "occupancy": ("occupancy[3]", lambda sums, scales: sums.occupancy.__setitem__(3, sums.occupancy[3] + 1)),
    "histogram": ("scale_histogram.", lambda sums, scales: scales.__setitem__(slice(1, 256), np.roll(scales[1:], 1))),
    "flushed": ("element_share.flushed", lambda sums, scales: sums.counts.__setitem__(2, sums.counts[2] + 1)),
    "squares": ("mse", lambda sums, scales: sums.sums.__imul__(1 + 3e-12)),
    "cancelling": ("mean_error", lambda sums, scales: sums.sums.__setitem__(3, sums.sums[3] + 3e-12 * shift(sums))),
}


def shift(sums: Any) -> float:
    """What the sum of errors is held to."""
    return float(np.sqrt(sums.sums[4] * sums.elements))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_count_or_sum_is_a_failure(fault, cupy, monkeypatch):
    says, spoil = FAULTS[fault]

    def spoiled(*args: Any) -> Found:
        found = found_of(*args)
        spoil(found.sums, found.scales)
        return found

    monkeypatch.setattr(tensor_stats, "found_of", spoiled)
    found = checked(cupy)
    assert found.status == "fail"
    assert all(count.wrong > 0 for count in found.counts.values())
    assert found.diagnosis[0].startswith("nvfp4: ")
    assert says in found.diagnosis[0]


def test_another_worst_element_is_a_failure(cupy, monkeypatch):
    def moved(*args: Any) -> Found:
        found = found_of(*args)
        return replace(found, sums=replace(found.sums, worst_index=found.sums.worst_index + 1))

    monkeypatch.setattr(tensor_stats, "found_of", moved)
    found = checked(cupy)
    assert found.diagnosis == ("nvfp4: max_error_at[1] differ", "mxfp4: max_error_at[1] differ")


def test_an_element_that_a_kernel_does_not_count_is_a_failure(cupy, monkeypatch):
    """As two additions to a bin at once would, if they were not atomic."""
    launch = load.launch

    def losing(function: Any, threads: int, args: Any, **how: Any) -> None:
        launch(function, threads, args, **how)
        if how.get("shared"):
            bins = args[3].array[value_counts._BINS :]
            bins[int(bins.argmax())] -= 1

    monkeypatch.setattr(load, "launch", losing)
    monkeypatch.setattr(tensor_stats, "count_values", count_values)
    found = checked(cupy)
    assert found.status == "fail"
    assert [count.wrong > 0 for count in found.counts.values()] == [True, True]


@pytest.mark.parametrize("text", own_counts.SPECS)
def test_the_tensor_of_a_gpu_is_counted(text, host_device):
    """Its blocks have a window of bins, though not all; the least is as large as counting asks for."""
    x = own_counts.values(*own_counts.LEAST)
    assert x.size == tensor_stats._LEAST_COUNTED
    pipeline = pipeline_of(x, text)
    raw, block = x.view(np.uint16), pipeline.geometry.block.cols
    window = window_of(on_device(raw), block, scale_table(pipeline.quantizer))
    assert window is not None
    magnitudes = raw.reshape(-1, block) & 0x7FFF
    most, least = magnitudes.max(axis=1), np.where(magnitudes, magnitudes, 0x7FFF).min(axis=1)
    listed = (most > 0) & ((most < window.least) | (least <= window.below))
    assert 0 < listed.sum() < listed.size // 8
    assert (most == 0).any()
    assert ((magnitudes == 0).any(axis=1) & (most > 0) & ~listed).any()


def test_gpus_that_cannot_count_say_so():
    device = SimulatedDevice((12, 0), {})
    device.counting = False
    found = run_check(device, own_counts.CHECK, replace(TINY, elements=0))
    assert found.status == "pass"
    assert "too little shared memory to count values" in found.answer


def test_no_library_has_bfloat16():
    device = SimulatedDevice((9, 0), {})
    device.tensor = lambda x: None
    found = run_check(device, own_counts.CHECK, TINY)
    assert (found.status, found.reason) == ("skip", "bfloat16 needs torch or CuPy 14 here")


@pytest.mark.parametrize("release", [13, 14])
def test_bfloat16_without_torch(release, host_device, monkeypatch):
    """CuPy 14 has it by ml_dtypes' name, to fp4sim's functions it is the same bits; before there is none."""
    device = object.__new__(cuda_device.CudaDevice)
    device._cupy = host_device
    monkeypatch.setattr(cuda_device, "find_spec", lambda name: None)
    x = own_counts.values(8, 16)
    if release < 14:
        monkeypatch.setattr(host_device.ndarray, "view", refuse, raising=False)
        assert device.tensor(x) is None
        return
    found = device_array(device.tensor(x))
    assert (found.dtype, found.raw.dtype) == ("bfloat16", np.uint16)
    assert found.raw.get().tobytes() == x.tobytes()
    assert x.dtype == ml_dtypes.bfloat16


def refuse(array: Any, dtype: Any) -> Any:
    raise ValueError(f"Unsupported dtype {dtype}")
