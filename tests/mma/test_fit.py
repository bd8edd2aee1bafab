"""The fit of dense instructions: on real outputs of a Hopper GPU, on models played back, and its steps against the CPU's."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from fp4sim.errors import UsageError
from fp4sim.mma import dense_mma
from fp4sim.mma.dense_steps import Rival, dense_steps
from fp4sim.mma.fit import BATCHES, KINDS, family, fit_mma, fit_recorded, stimuli
from fp4sim.mma.model import MmaModel
from tests.conftest import golden

DENSE = MmaModel("dense", step=16, group=1, fraction=25, floor=-133)
CHANGES = [
    {},
    {"align": "rne", "result": "rne"},
    {"align": "floor", "floor": None},
    {"c_place": "after"},
    {"c_place": "after", "dot": "rne", "result": "rne", "fraction": 22},
    {"step": 8, "align": "rna", "result": "rna"},
]
HOPPER = {
    "mma-fp16": "step 16, F 25, rz then rz to 23 bits, C fused, native",
    "wgmma-fp16": "step 16, F 25, rz then rz to 23 bits, C fused, native",
    "wgmma-e4m3": "step 32, F 13, rz then rz to 13 bits, C fused, native",
}


@pytest.mark.parametrize("instruction", HOPPER)
def test_the_arithmetic_of_a_hopper_gpu(instruction: str) -> None:
    vectors, kind = golden("h200_dense_mma.npz"), instruction.split("-")[1]
    batches = [
        (*(vectors[f"{kind}/{i}/{field}"] for field in "abc"), vectors[f"{instruction}/{i}/d"])
        for i in range(len(BATCHES))
    ]
    found = fit_recorded(kind, batches)
    assert found.models == (HOPPER[instruction],)
    assert found.compared == 1536
    assert json.loads(json.dumps(found.to_dict()))["parameters"]["fraction"] in (25, 13)


@pytest.mark.parametrize(
    "change", [{"align": "rne"}, {"result": "rne"}, {"step": 4}, {"fraction": 24, "align": "floor"}]
)
def test_a_model_played_back_is_named(change: dict) -> None:
    model = replace(DENSE, **change)
    found = fit_mma(lambda a, b, c: dense_steps(a, b, c, KINDS["fp16"][0], Rival(model)), "fp16", outputs=1000)
    (name,) = found.models
    assert replace(dict(family("fp16"))[name].model, name="dense") == model


def test_what_no_model_gives_is_said() -> None:
    found = fit_mma(lambda a, b, c: c ^ np.uint32(1), "fp16", outputs=1000)
    assert found.models == ()
    assert found.nearest is not None
    assert found.nearest[1] > 0
    with pytest.raises(UsageError, match="kind 'int8'"):
        fit_mma(lambda a, b, c: c, "int8")


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("change", CHANGES)
def test_steps_are_those_of_the_cpu(change: dict, batch: str) -> None:
    model, (a, b, c) = replace(DENSE, **change), stimuli("fp16", batch, 2000, 5)
    given = {"kind": "fp16", "model": model}
    if model.step == 8:  # dense_mma's steps are the kind's
        expected = c
        for part in (slice(0, 8), slice(8, 16)):
            pads = [np.pad(x[:, part], ((0, 0), (0, 8))) for x in (a, b)]
            expected = dense_mma(pads[0][:, None], pads[1][:, None], expected[:, None, None], **given).view(np.uint32)
            expected = expected[:, 0, 0]
    else:
        expected = dense_mma(a[:, None], b[:, None], c[:, None, None], **given).view(np.uint32)[:, 0, 0]
    np.testing.assert_array_equal(dense_steps(a, b, c, KINDS["fp16"][0], Rival(model)), expected)
