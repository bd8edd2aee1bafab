"""The adapters of other libraries' kernels, each run on a stand-in that is right, wrong, or refuses."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch")

from fp4sim.crosscheck.check import Check
from fp4sim.crosscheck.registry import all_checks
from fp4sim.crosscheck.run import run_check
from fp4sim.report.evidence_model import CheckResult
from tests.crosscheck import simulated as sim
from tests.crosscheck import stand_ins

CHECKS: dict[str, Check] = {check.name: check for check in all_checks() if check.package and "own-" not in check.name}
LIBRARIES = {
    "transformer-engine": (stand_ins.transformer_engine, "@torchao"),
    "flashinfer": (stand_ins.flashinfer, "nvfp4"),
    "vllm": (stand_ins.vllm, "nvfp4@torchao"),
    "torchao": (stand_ins.torchao, ""),
}


def result(name: str) -> CheckResult:
    return run_check(stand_ins.TorchDevice((10, 0), {}), CHECKS[name], sim.TINY)


def test_every_library_has_a_stand_in() -> None:
    assert set(LIBRARIES) == set(CHECKS)


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_right_library_passes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    LIBRARIES[name][0](monkeypatch)
    found = result(name)
    assert (found.status, found.reason, found.answer, found.diagnosis) == ("pass", "", "", ())
    assert found.totals.total > 10_000


@pytest.mark.parametrize("name", ["transformer-engine", "flashinfer", "vllm"])
def test_another_dialect_is_found_and_explained(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    library, other = LIBRARIES[name]
    library(monkeypatch, other)
    found = result(name)
    assert found.status == "fail"
    assert any("CAUSE" in line for line in found.diagnosis)


def test_inputs_that_a_library_refuses_do_not_hide_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_ins.flashinfer(monkeypatch, refuses=lambda x: x.shape[1] >= 4096)
    found = result("flashinfer")
    assert found.status == "pass"
    assert "refused, first nvfp4@flashinfer on " in found.answer
    assert found.answer.endswith("ValueError: this shape is not supported")


def test_a_library_that_takes_nothing_is_skipped_with_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    def changed(x: Any) -> None:
        """Another signature."""

    stand_ins.install(monkeypatch, "vllm._custom_ops", scaled_fp4_quant=changed)
    found = result("vllm")
    assert found.status == "skip"
    assert found.reason.startswith("every input was refused, first nvfp4@vllm-cuda on ")
    assert "TypeError" in found.reason
