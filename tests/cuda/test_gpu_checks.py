"""On a real GPU: statistics, quantization, rotation, products, compare and bias against the CPU's stored results."""

from __future__ import annotations

import pytest

from tests.cuda.gpu_checks import checks

pytestmark = pytest.mark.gpu

NAMED = dict(checks())


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("name", NAMED)
def test_as_on_the_cpu(name):
    if "torch" in name:
        pytest.importorskip("torch")
    assert NAMED[name]() == ""
