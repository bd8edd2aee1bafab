"""``--identify`` finds the dialect that made a dump, among all that do not differ on the data."""

from __future__ import annotations

import numpy as np
import pytest

import fp4sim
from fp4sim.verifying.dialects import variants
from tests.verifying.inputs import many_amax, wide


def dump_by(spec, x):
    packed = fp4sim.quantize(x, spec, nonfinite="propagate")
    return {"codes": packed.packed, "block_scale": packed.block_scale, "tensor_scale": packed.tensor_scale}, packed


@pytest.mark.parametrize("base", ["nvfp4", "mxfp4@rceil"])
def test_every_dialect_is_identified(base):
    x = np.concatenate([many_amax(seed, (64, 256)).astype(np.float32) for seed in range(2)] + [wide(3, (64, 256))])
    specs = variants(fp4sim.parse(base))
    assert len(specs) > 1
    for spec in specs:
        outputs, packed = dump_by(spec, x)
        result = fp4sim.verify(x, base, **outputs, identify=True)
        candidates = result.cases[0].candidates
        exact = {candidate.spec for candidate in candidates if candidate.exact}
        assert spec.short in exact
        assert candidates[0].exact
        for other in exact - {spec.short}:  # whoever else is named does not differ
            twin = fp4sim.quantize(x, other, nonfinite="propagate")
            assert np.array_equal(twin.packed, packed.packed)
            assert np.array_equal(twin.block_scale, packed.block_scale)
