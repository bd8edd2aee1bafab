"""CUDA tensors of torch: no copy in, torch out, on the caller's stream."""

from __future__ import annotations

import numpy as np
import pytest

import fp4sim
from tests.cuda.on_gpu import assert_same

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("by_definition")]


@pytest.fixture
def torch(gpu):
    found = pytest.importorskip("torch")
    if not found.cuda.is_available():
        pytest.skip("torch has no CUDA")
    return found


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
@pytest.mark.parametrize("spec", ["nvfp4", "mxfp4+sr", "nvfp4@torchao"])
def test_torch_in_torch_out(spec, dtype, torch):
    x = torch.randn(256, 512, dtype=getattr(torch, dtype), generator=torch.Generator().manual_seed(1))
    device, host = fp4sim.quantize(x.cuda(), spec), fp4sim.quantize(x, spec)
    assert_same(device, host)
    values = device.dequantize(dtype)
    assert (values.dtype, values.device.type) == (x.dtype, "cuda")
    assert torch.equal(values.cpu(), host.dequantize(dtype))
    fake = fp4sim.fake_quant(x.cuda(), spec)
    assert torch.equal(fake.cpu(), host.dequantize(dtype))
    parts = device.to_torch()
    assert parts["block_scale"].is_cuda
    assert parts["packed"].data_ptr() == device.packed.data.ptr


def test_views_and_gradients(torch):
    x = torch.randn(64, 96, device="cuda", requires_grad=True)
    assert_same(fp4sim.quantize(x.t(), "nvfp4"), fp4sim.quantize(x.detach().cpu().t(), "nvfp4"))
    assert_same(fp4sim.quantize(x[::2, 16:48], "nvfp4"), fp4sim.quantize(x.detach().cpu()[::2, 16:48], "nvfp4"))


def test_runs_on_the_callers_stream(torch):
    stream = torch.cuda.Stream()
    x = torch.zeros(4096, 4096, device="cuda", dtype=torch.bfloat16)
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(200_000_000)  # what is written next is read only if the order holds
        x.fill_(3.0)
        values = fp4sim.fake_quant(x, "mxfp4")
        total = values.float().sum()
    stream.synchronize()
    assert float(total) == 3.0 * 4096 * 4096


def test_tensor_scale_from_torch(torch):
    x = torch.randn(32, 64)
    device = fp4sim.quantize(x.cuda(), "nvfp4@ts:given", tensor_scale=torch.tensor(0.01, device="cuda"))
    assert_same(device, fp4sim.quantize(x, "nvfp4@ts:given", tensor_scale=np.float32(0.01)))
