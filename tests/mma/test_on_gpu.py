"""Which models the GPU computes, and the numbers that its kernels take of them."""

from __future__ import annotations

import numpy as np
import pytest

from fp4sim.errors import UsageError
from fp4sim.floats import E8M0, UE4M3
from fp4sim.kernels.cuda.gemm_launch import NO_FLOOR
from fp4sim.mma import model_named, model_names
from fp4sim.mma.on_gpu import covers, gpu_rule


def test_which_models() -> None:
    probes = {name.removeprefix("probe:") for name in model_names() if covers(model_named(name), 16)}
    assert {"blackwell", "mma-sim-2026-01", "hw_F35", "F24", "F37", "floor-140", "floorNone"} <= probes
    assert {"zero-product groups anchor", "zero scale keeps exponent -6 and anchors"} <= probes
    assert not probes & {"exact", "fp32-rn", "ue5m3-report", "mxf8f6f4", "dense", "group32", "align_RNE", "out_RNE"}
    assert not probes & {"F36_C_only", "only nonzero dots anchor", "UE4M3 sign applied", "-0 kept on underflow"}
    assert not covers(model_named("probe:group16_evenodd(MX)"), 32)
    with pytest.raises(UsageError, match="'exact' is not computed on the GPU"):
        gpu_rule(model_named("exact"), "ue4m3", 16)


def test_numbers_of_a_rule() -> None:
    rule = gpu_rule(model_named("mma-sim-2026-01"), "ue4m3", 16)
    assert (rule.fraction, rule.floor, rule.anchoring, rule.unit, rule.block) == (35, -126, "scales", 3, 16)
    assert gpu_rule(model_named("probe:floorNone"), "ue8m0", 32).floor == NO_FLOOR
    for fmt, floats, block in (("ue4m3", UE4M3, 16), ("ue8m0", E8M0, 32)):
        rule = gpu_rule(model_named("blackwell"), fmt, block)  # type: ignore[arg-type]
        significand, exponent = rule.table.astype(np.int64).T
        values = np.where(significand < 0, np.nan, np.ldexp(significand.astype(float), exponent - rule.unit))
        expected = np.resize(floats.values(), 256) if fmt == "ue4m3" else floats.values()  # bit 7 of UE4M3 is not read
        np.testing.assert_array_equal(values, expected)
