"""A model is found from outputs alone, whatever it is, and what the outputs cannot tell is said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fp4sim.crosscheck.checks import mma_fit
from fp4sim.crosscheck.dense_products import BF16, E4M3, FP16, TF32, DenseKind, expected_dense, operands
from fp4sim.crosscheck.fitting import Candidate, fit
from fp4sim.crosscheck.registry import FIT, all_checks
from fp4sim.crosscheck.run import run_check
from fp4sim.mma import dense_mma
from fp4sim.mma.instances import DENSE
from fp4sim.mma.model import MmaModel
from tests.crosscheck import simulated as sim

START = Candidate(replace(DENSE, name="fit", step=16))


def found(kind: DenseKind, planted: Candidate, steps: tuple[int, ...]) -> object:
    a, b, c = operands(kind, 512)
    mask = np.uint32(0xFFFFFFFF << (23 - planted.kept) & 0xFFFFFFFF)
    words = expected_dense(kind, a, b, c, planted.model) & mask
    start = replace(START, model=replace(START.model, step=kind.k))
    return fit(words, lambda model: expected_dense(kind, a, b, c, model), start, steps)


@pytest.mark.parametrize("kind", [FP16, BF16, TF32], ids=lambda kind: kind.name)
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"fraction": 24},
        {"fraction": 13},
        {"result": "rne"},
        {"align": "rne"},
        {"c_place": "after", "dot": "rne"},
        {"step": 8},
    ],
    ids=str,
)
def test_a_planted_model_is_found(kind: DenseKind, changes: dict[str, object]) -> None:
    planted = Candidate(
        replace(START.model, step=kind.k, **changes) if "step" not in changes else replace(START.model, step=4)
    )
    best = found(kind, planted, (4, 8, 16))
    assert best.missed == 0
    for name in ("fraction", "result", "align", "c_place", "step"):
        if not any(words.startswith(name.split("_")[0]) for words in best.tied):
            assert getattr(best.best.model, name) == getattr(planted.model, name)
    assert not any(words.startswith("fraction") for words in best.tied)


@pytest.mark.parametrize("kind", [BF16, TF32], ids=lambda kind: kind.name)
@pytest.mark.parametrize(
    "changes",
    [{"floor": -126}, {"floor": None}, {"flush_result": True}, {"subnormal_c": "flushed"}, {"negative_zero": True}],
    ids=str,
)
def test_corners_of_small_numbers_are_found(kind: DenseKind, changes: dict[str, object]) -> None:
    best = found(kind, Candidate(replace(START.model, step=kind.k, **changes)), (4, 8, 16))
    assert best.missed == 0
    assert {name: getattr(best.best.model, name) for name in changes} == changes
    name = next(iter(changes)).replace("_", " ")
    assert not [words for words in best.tied if words.startswith(name)]


def test_fewer_mantissa_bits_of_the_result_are_found() -> None:
    planted = Candidate(replace(START.model, step=32, fraction=13), 13)
    a, b, _ = operands(E4M3, 64)

    def predict(model: MmaModel) -> np.ndarray:
        return (
            dense_mma(a, b, np.zeros((64, 64), np.float32), kind="e4m3", model=model, step=model.step)
            .view(np.uint32)
            .ravel()
        )

    words = predict(planted.model) & np.uint32(0xFFFFFC00)
    best = fit(words, predict, replace(START, model=replace(START.model, step=32)), (8, 16, 32))
    assert (best.missed, best.best.model.fraction, best.best.kept) == (0, 13, 13)


def test_outputs_of_no_model_are_said_to_be_that() -> None:
    a, b, c = operands(FP16, 256)
    words = expected_dense(FP16, a, b, c, START.model)
    words[7] ^= np.uint32(2)
    best = fit(words, lambda model: expected_dense(FP16, a, b, c, model), START, (8, 16))
    assert best.missed == 1


def test_the_check_names_the_models_of_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mma_fit, "_OUTPUTS", 256)
    check = next(check for check in all_checks() if check.name == FIT)
    device = sim.SimulatedDevice((8, 0), sim.dense(replace(DENSE, step=8, fraction=24)))
    result = run_check(device, check, sim.TINY)
    assert result.status == "pass", result
    assert (
        "fp16: steps of 8, cut 24 bits below the largest exponent (rz), C among the addends, result rz" in result.answer
    )
    assert any(line.startswith("bf16: changes miss at least") for line in result.diagnosis)
