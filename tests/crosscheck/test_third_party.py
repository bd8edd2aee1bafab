"""The adapters of other libraries' kernels, each run on a stand-in that is right, wrong, or refuses."""

from __future__ import annotations

import os
from typing import Any

import pytest

pytest.importorskip("torch")

from fp4sim.crosscheck.check import Check
from fp4sim.crosscheck.checks.flashinfer import kernels_of
from fp4sim.crosscheck.registry import all_checks
from fp4sim.crosscheck.run import run_check
from fp4sim.crosscheck.third_party import environment
from fp4sim.report.evidence_model import CheckResult
from tests.crosscheck import simulated as sim
from tests.crosscheck import stand_ins

CHECKS: dict[str, Check] = {check.name: check for check in all_checks() if check.package and "own-" not in check.name}
LIBRARIES = {
    "transformer-engine": (stand_ins.transformer_engine, "@torchao"),
    "flashinfer": (stand_ins.flashinfer, "nvfp4"),
    "vllm": (stand_ins.vllm, "nvfp4@torchao"),
    "vllm-emulation": (stand_ins.vllm_emulation, "nvfp4@torchao"),
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


@pytest.mark.parametrize("name", ["transformer-engine", "flashinfer", "vllm", "vllm-emulation"])
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
    assert "refused, first nvfp4@flashinfer:v0.7.4 on " in found.answer
    assert {label.split()[0] for label in found.counts} == {"nvfp4@flashinfer:v0.7.4", "nvfp4@flashinfer-exact:ftz"}
    assert found.answer.endswith("ValueError: this shape is not supported")


def test_a_library_that_takes_nothing_is_skipped_with_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    def changed(x: Any) -> None:
        """Another signature."""

    stand_ins.install(monkeypatch, "vllm._custom_ops", scaled_fp4_quant=changed)
    found = result("vllm")
    assert found.status == "skip"
    assert found.reason.startswith("every input was refused, first nvfp4@vllm-cuda on ")
    assert "TypeError" in found.reason


@pytest.mark.parametrize("version", ["0.6.16.post3", "0.7.2"])
def test_an_older_flashinfer_is_held_to_its_own_bits(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_ins.flashinfer(monkeypatch, version=version)
    found = result("flashinfer")
    assert found.status == "pass"
    assert {label.split()[0] for label in found.counts} == {"nvfp4@flashinfer", "nvfp4@flashinfer-exact:ftz"}


@pytest.mark.parametrize(
    ("version", "specs"),
    [
        ("0.5.3", ["nvfp4@flashinfer"]),
        ("0.7.10", ["nvfp4@flashinfer:v0.7.4", "nvfp4@flashinfer-exact:ftz"]),
        ("0.8.0rc1", ["nvfp4@flashinfer:v0.7.4", "nvfp4@flashinfer-exact:ftz"]),
        ("0.0.0+unknown", ["nvfp4@flashinfer:v0.7.4", "nvfp4@flashinfer-exact:ftz"]),
        ("", ["nvfp4@flashinfer:v0.7.4", "nvfp4@flashinfer-exact:ftz"]),
    ],
)
def test_a_version_of_flashinfer_says_what_it_is_held_to(version: str, specs: list[str]) -> None:
    assert list(kernels_of(version)) == specs


def test_flashinfers_modes_taken_for_each_other_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_ins.flashinfer(monkeypatch, flips=True)
    found = result("flashinfer")
    assert found.status == "fail"
    assert found.counts["nvfp4@flashinfer:v0.7.4 codes"].wrong
    assert found.counts["nvfp4@flashinfer-exact:ftz codes"].wrong


def test_variables_are_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASHINFER_NVFP4_4OVER6", "1")
    monkeypatch.delenv("FLASHINFER_DISABLE_FP4_QUANT_FAST_MATH", raising=False)
    stand_ins.flashinfer(monkeypatch, refuses=lambda x: x.shape[1] >= 4096)
    assert result("flashinfer").status == "pass"
    assert os.environ["FLASHINFER_NVFP4_4OVER6"] == "1"
    assert "FLASHINFER_DISABLE_FP4_QUANT_FAST_MATH" not in os.environ


def test_variables_are_as_they_were_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FP4SIM_ONE", "before")
    monkeypatch.delenv("FP4SIM_TWO", raising=False)

    @environment(FP4SIM_TWO="2", FP4SIM_ONE="1")
    def fails() -> None:
        assert (os.environ["FP4SIM_ONE"], os.environ.pop("FP4SIM_TWO")) == ("1", "2")  # a library may do that
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fails()
    assert os.environ["FP4SIM_ONE"] == "before"
    assert "FP4SIM_TWO" not in os.environ


def test_scales_that_come_swizzled_are_not_read_as_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_ins.transformer_engine(monkeypatch, swizzled=True)
    found = result("transformer-engine")
    assert (found.status, found.reason.endswith("swizzled, which is not expected of this call")) == ("skip", True)


def test_a_library_that_cannot_be_imported_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise ImportError(f"{name}: libcuda.so.1")

    stand_ins.flashinfer(monkeypatch)
    monkeypatch.setattr("fp4sim.crosscheck.checks.flashinfer.import_module", broken)
    found = result("flashinfer")
    assert (found.status, found.reason) == (
        "skip",
        "flashinfer cannot be imported: ImportError: flashinfer: libcuda.so.1",
    )


@pytest.mark.parametrize("name", LIBRARIES)
def test_below_blackwell_only_what_is_torch_runs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    LIBRARIES[name][0](monkeypatch)
    found = run_check(stand_ins.TorchDevice((9, 0), {}), CHECKS[name], sim.TINY)
    torch_alone = name in ("torchao", "vllm-emulation")
    assert (found.status, found.reason) == (("pass", "") if torch_alone else ("skip", found.reason))
    assert torch_alone or found.reason == "needs compute capability 10.0, this is 9.0"
