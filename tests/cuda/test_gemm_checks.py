"""The expectations of tests/cuda/gemm_checks.py are the CPU's, its checks find differences, and a GPU passes them."""

from __future__ import annotations

import json
from functools import partial

import pytest

from tests.cuda import gemm_checks
from tests.cuda.gemm_checks import EXPECTED, held, product, results, same, steps


def test_expectations_are_the_cpus():
    expected = json.loads(EXPECTED.read_text())
    names = [name for name, _ in results(same, "compiled")]
    assert list(expected) == names
    for name, result in results(same, "compiled"):
        if name.startswith(("cancelling ue4m3", "gemm nvfp4")):
            assert result() == expected[name], name


def test_checks_with_the_kernels_on_the_host(host_device):
    expected = json.loads(EXPECTED.read_text())
    kind = ("ue4m3", 16)
    for start, order in (("earlier", "chain"), ("ordinary", "split-k:3:backward")):
        result = partial(steps, "cancelling", kind, start, order, host_device.asarray, "compiled")
        assert held(f"cancelling ue4m3/16 {start} {order}", result, expected) == ""
        assert "on the CPU" in held("cancelling ue4m3/16 none chain", result, expected)
    specs, order = ("nvfp4", "nvfp4@ts:row"), "split-k:3"
    found = product(specs, order, "bfloat16", host_device.asarray)
    assert found == expected[f"gemm {' '.join(specs)} {order} bfloat16"]


@pytest.mark.gpu
@pytest.mark.parametrize("path", [*gemm_checks.PATHS, "large"])
def test_a_gpu_passes(path, gpu):
    wrong = {name: found for name, check in gemm_checks.checks() if name.startswith(path) and (found := check())}
    assert wrong == {}
