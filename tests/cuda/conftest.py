"""The host as a device, for tests without a GPU."""

from __future__ import annotations

import pytest

from fp4sim import statistic
from fp4sim.errors import DeviceError
from fp4sim.kernels.cuda import gemm_launch, load
from tests.cuda.fake_cupy import FakeCupy, fake_kernel


@pytest.fixture
def host_device(monkeypatch):
    """CuPy and its kernels replaced by tests/cuda/fake_cupy.py."""
    fake = FakeCupy()
    monkeypatch.setattr(load, "get_cupy", lambda: fake)
    monkeypatch.setattr(load, "kernel", fake_kernel)
    monkeypatch.setattr(load, "processors", lambda: 1)
    monkeypatch.setattr(load, "shared_memory", lambda: 227 << 10)
    monkeypatch.setattr(load, "target", lambda: "sm_80")
    gemm_launch.forget()
    yield fake
    gemm_launch.forget()


@pytest.fixture(scope="session")
def gpu():
    """CuPy on a usable GPU; without one the reason is the skip's."""
    try:
        return load.get_cupy()
    except DeviceError as error:
        pytest.skip(str(error))


@pytest.fixture
def by_definition():
    """The host's side by the reference: compiling kernels takes longer than the small tensors of most GPU tests."""
    with statistic.by_definition():
        yield
