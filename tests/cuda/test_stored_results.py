"""The files that a GPU's results are held to are the CPU backend's; and together they reach every kernel of a tensor."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fp4sim.kernels.cuda import load
from tests.cuda import gpu_cases, gpu_checks, packed_cases, product_cases

FEW = [
    ("bits", "adversarial", "float32", "nvfp4"),
    ("bits", "random", "bfloat16", "mxfp4+sr"),
    ("bits", "adversarial", "float16", "nvfp4/16x16"),
    ("bits", "adversarial", "bfloat16", "nvfp4@torchao"),
]
REST = [case for case in packed_cases.CASES if case not in FEW]


@pytest.mark.parametrize("case", [*FEW, *(pytest.param(case, marks=pytest.mark.slow) for case in REST)], ids=" ".join)
def test_bits(case):
    assert packed_cases.on_cpu(*case) == packed_cases.expected()[" ".join(case)]


@pytest.mark.slow
@pytest.mark.parametrize("case", product_cases.CASES, ids=" ".join)
def test_products(case):
    assert product_cases.on_cpu(*case) == packed_cases.expected()[" ".join(case)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", gpu_cases.KINDS)
def test_compare(kind):
    found = gpu_cases.compared(packed_cases.tensor(kind, "float32"), list(packed_cases.COMPARED))
    assert gpu_cases.figures_differ(found, packed_cases.expected()[f"compare {kind}"]) == ""


@pytest.mark.slow
@pytest.mark.parametrize("case", gpu_cases.CASES, ids=" ".join)
def test_sums(case):
    kind, dtype, text = case
    stored = json.loads(gpu_cases.EXPECTED.read_text())[" ".join(case)]
    assert gpu_cases.difference(gpu_cases.on_cpu(gpu_cases.data(kind, dtype), dtype, text), stored) == ""


def test_every_case_is_stored_and_checked():
    stored = packed_cases.expected()
    assert set(stored) == {" ".join(case) for case in (*packed_cases.CASES, *product_cases.CASES)} | {
        f"compare {kind}" for kind in gpu_cases.KINDS
    }
    names = [name for name, _ in gpu_checks.checks()]
    assert len(names) == len(set(names))
    assert {name for name in stored if not name.startswith("compare")} <= set(names)


def test_what_differs_is_named():
    wanted = packed_cases.expected()["bits random float32 nvfp4"]
    assert packed_cases.differing(wanted, wanted) == ""
    assert packed_cases.differing(wanted | {"packed": "0", "stored": "0"}, wanted) == "packed, stored"


def test_adversarial_tensors_hold_what_they_say():
    for dtype, smallest in (("float32", 2.0**-126), ("bfloat16", 2.0**-126), ("float16", 2.0**-14)):
        x = packed_cases.typed(packed_cases.tensor("adversarial", dtype, (64, 4096)), dtype).astype(np.float64)
        assert np.isfinite(x).all()
        assert ((x != 0) & (np.abs(x) < smallest)).any()
        assert (np.signbit(x) & (x == 0)).any()
        assert (x[9::16] * 8 == np.rint(x[9::16] * 8)).all()


GENERAL_KERNELS = {
    "panel.cu": {"block_amax", "te_scales", "encode_panel", "scale_panel", "choose_blocks", "dequantize_panel"}
    | {"widen_floats", "histogram"},
    "stats.cu": {"error_sums"},
    "hadamard.cu": {"rotate_fp32"},
    "eden.cu": {"products"},
}


def test_cases_reach_every_kernel_of_the_general_path(host_device, monkeypatch):
    """On the host as a device and small tensors: which kernels run, and that they give the host's bits."""
    reached: dict[str, set[str]] = {}
    given = load.kernel

    def recorded(source, function, *args, **options):
        reached.setdefault(source, set()).add(function)
        return given(source, function, *args, **options)

    monkeypatch.setattr(load, "kernel", recorded)
    x = packed_cases.tensor("adversarial", "float32", (16, 512))
    with packed_cases.general_path():
        for text in (*packed_cases.GENERAL, *packed_cases.BOTH_WAYS):
            found = packed_cases.bits_of(host_device.asarray(x), text)
            assert packed_cases.differing(found, packed_cases.bits_of(x, text)) == "", text
    half = x.astype(np.float16)
    assert packed_cases.bits_of(host_device.asarray(half), "e1m2/8@e4m3") == packed_cases.bits_of(half, "e1m2/8@e4m3")
    specs = list(packed_cases.COMPARED)
    assert (
        gpu_cases.figures_differ(gpu_cases.compared(host_device.asarray(x), specs), gpu_cases.compared(x, specs)) == ""
    )
    assert "quantize.cu" not in reached
    for source, kernels in GENERAL_KERNELS.items():
        assert kernels <= reached[source], source
