"""Every check on a simulated GPU: it passes where all is right and names what is planted wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fp4sim.api import quantize
from fp4sim.crosscheck import cuda_device
from fp4sim.crosscheck.check import QUICK, Check, Effort, Outcome, SkipCheckError
from fp4sim.crosscheck.checks import own_gemm, own_quantize
from fp4sim.crosscheck.registry import FIT, all_checks
from fp4sim.crosscheck.run import run_check, run_checks, why_not
from fp4sim.errors import DeviceError, NothingComparedError
from fp4sim.kernels.cpu.kernels import CpuKernels
from fp4sim.kernels.cuda.sources import source_folder
from fp4sim.kernels.reference.kernels import ReferenceKernels
from fp4sim.mma.dense_steps import Rival
from fp4sim.mma.fit import KINDS
from fp4sim.mma.gemm import gemm
from fp4sim.mma.instances import BLACKWELL as BLACKWELL_MODEL
from fp4sim.mma.model import MmaModel
from fp4sim.rcp import hopper_table
from fp4sim.report.evidence_model import CheckResult
from fp4sim.rounding import CastPolicy, Rounding
from fp4sim.statistic import default_kernels
from tests.crosscheck import simulated as sim

OURS = {check.name: check for check in all_checks() if check.package in ("", "ml_dtypes") and not check.on_request}
RUN_HERE = [name for name, check in OURS.items() if all((source_folder() / part).is_file() for part in check.sources)]
OTHERS = {"cvt-rs": (10, 0)}  # all else runs on 12.0


def result(name: str, planted: dict[str, Any] | None = None) -> CheckResult:
    device = sim.SimulatedDevice(OTHERS.get(name, (12, 0)), sim.right() | (planted or {}))
    return run_check(device, OURS[name], sim.TINY)


@pytest.mark.parametrize("name", RUN_HERE)
def test_a_right_device_passes(name: str) -> None:
    found = result(name)
    assert (found.status, found.reason) == ("pass", "")
    assert found.totals.total > 0
    assert found.totals.wrong == 0
    assert found.diagnosis == ()


def test_a_cast_that_truncates_is_found_and_shown() -> None:
    found = result("nvidia-casts", sim.casting("nvidia", sim.planted_cast("e2m1", rounding=Rounding.RZ)))
    assert found.status == "fail"
    assert found.counts["e2m1"].wrong > 0
    assert found.counts["e4m3"].wrong == 0
    assert any(line.startswith("e2m1: first at 0x") for line in found.diagnosis)


def test_a_wrong_encoder_of_the_own_kernels_is_found() -> None:
    wrong = sim.planted_cast("e2m1", rounding=Rounding.RNA)[0]
    found = result("own-encode", sim.encoding(wrong))
    assert found.status == "fail"
    assert (found.counts["general"].wrong, found.counts["fused"].wrong) == (1, 0)  # 0.25, the tie


def test_a_fault_that_codec_and_instruction_share_shows_in_the_histogram() -> None:
    dropped = CastPolicy(negative_zero="never")
    both = sim.planted_cast("e2m1", policy=dropped)[0].codes
    found = result("blackwell-casts", {"instruction_e2m1": sim.tallying(both, both)})
    assert found.counts["e2m1"].wrong == 0
    assert found.counts["e2m1 histogram"].wrong == 2
    assert found.status == "fail"


def test_swapped_nibbles_are_found() -> None:
    def swapped(x: np.ndarray, packed: np.ndarray, pairs: int) -> None:
        sim.convert_e2m1x2(x, packed, pairs)
        packed[:] = packed << 4 | packed >> 4

    assert result("blackwell-casts", {"convert_e2m1x2": swapped}).counts["packed array"].wrong > 0


def test_another_reciprocal_is_an_answer_and_a_broken_one_a_fault() -> None:
    other = hopper_table().copy()
    other[[5, 77]] = 1 - np.abs(other[[5, 77]])
    found = result("rcp-approx", sim.reciprocal(other))
    assert found.status == "pass"
    assert "differs from Hopper's in 2 of" in found.answer
    assert "table_minus_hopper_int8_zlib_base64" in found.raw
    broken = other.copy()
    broken[9] = 3
    assert result("rcp-approx", sim.reciprocal(broken)).counts["one ulp"].wrong == 1
    hopper = sim.SimulatedDevice((9, 0), sim.reciprocal(other))
    assert run_check(hopper, OURS["rcp-approx"], sim.TINY).counts["Hopper's table"].wrong == 2


@pytest.mark.parametrize(
    ("order", "says"),
    [
        ((3, 1, 2, 0), "f by bits 7:0: as deduced"),
        ((3, 2, 1, 0), "b by bits 23:16, e by bits 15:8"),
        ((0, 1, 2, 3), "a by bits 7:0"),
    ],
)
def test_the_byte_map_of_the_stochastic_cast_is_named(order: tuple[int, ...], says: str) -> None:
    found = result("cvt-rs", {"convert_rs_e2m1x4": sim.stochastic(order)})
    assert found.status == "pass"
    assert says in found.answer
    assert ("not as deduced" in found.answer) == (order != (3, 1, 2, 0))
    assert len(found.raw["probes"].split()) == 20


def test_a_stochastic_cast_of_another_arithmetic_fails() -> None:
    def nearest(x: np.ndarray, rbits: np.ndarray, d: np.ndarray, count: int) -> None:
        d[:] = sim.predicted(x, np.full_like(rbits, 0x80808080), (3, 1, 2, 0))

    found = result("cvt-rs", {"convert_rs_e2m1x4": nearest})
    assert found.status == "fail"
    assert "no order of bytes" in found.diagnosis[0]


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("mma-sim-2026-01", "mmasim_c785138"),
        ("ue5m3-report", "ue5m3_report(64 exact RNE, RZ add)"),
        ("probe:F36", "F36"),
    ],
)
def test_a_rival_tensor_core_is_named(model: str, says: str) -> None:
    found = result("mma-probes", sim.products(model))
    assert found.status == "fail"
    assert found.answer == f"all probes as the model {says}"
    assert found.diagnosis


def test_a_tensor_core_of_no_known_model_gets_the_nearest() -> None:
    def noisy(*args: Any) -> None:
        sim.products()["mma_mxf4nvf4_4x"](*args)
        args[5][0, :, :] ^= np.uint32(1)

    found = result("mma-probes", {"mma_mxf4nvf4_4x": noisy})
    assert found.status == "fail"
    assert found.answer.startswith("none of 50 models")
    assert "nearest models" in found.diagnosis[0]


@pytest.mark.slow
def test_batches_name_the_nearest_model() -> None:
    found = result("mma-batches", sim.products("mma-sim-2026-01"))
    assert found.status == "fail"
    assert "nearest mmasim_c785138, which misses 0 of" in " ".join(found.diagnosis)
    assert len(found.raw["mxf4nvf4.4X"].split()) == 2048


def test_the_models_of_dense_instructions_are_named_and_unknown_ones_get_the_nearest() -> None:
    fp16, e4m3 = KINDS["fp16"][0], KINDS["e4m3"][0]
    hopper = Rival(MmaModel("", step=32, group=1, fraction=13, floor=-133), 13)
    unknown = Rival(MmaModel("", step=16, group=1, fraction=18, floor=-133))
    device = sim.SimulatedDevice((9, 0), {})
    device.dense = {"wgmma-e4m3": ("e4m3", sim.dense(hopper, e4m3)), "mma-fp16": ("fp16", sim.dense(unknown, fp16))}
    check = next(check for check in all_checks() if check.name == FIT)
    found = run_check(device, check, sim.TINY)
    assert found.status == "fail"
    assert found.answer.startswith("wgmma-e4m3: step 32, F 13, rz then r")
    assert found.counts["wgmma-e4m3"].wrong == 0
    assert found.counts["mma-fp16"].wrong > 0
    assert "models gives all outputs; the nearest" in found.diagnosis[-1]


def test_a_wrong_layout_of_registers_shows_as_one() -> None:
    assert result("mma-tiles", sim.products(swap_rows=True)).status == "fail"
    assert result("mma-probes", sim.products(swap_rows=True)).status == "pass"  # both rows hold the same there


def test_the_eight_bit_instruction_of_another_model_is_named() -> None:
    planted = {"mma_mxf8f6f4": sim.matrix(1, "ue8m0", "mxf8f6f4:F24", 8)}
    found = result("mma-eight-bit", planted)
    assert found.status == "fail"
    assert found.answer == "all probes as the model F24"


def test_another_dialect_of_a_quantization_kernel_is_explained() -> None:
    found = result("blackwell-quantize", sim.quantizing("nvfp4@torchao"))
    assert found.status == "fail"
    assert any("CAUSE" in line for line in found.diagnosis)
    assert found.counts["mxfp4@rceil codes"].wrong == 0


def test_another_step_of_the_library_is_named_and_another_arithmetic_fails() -> None:
    device = sim.SimulatedDevice((10, 3), {})
    device.library = replace(BLACKWELL_MODEL, step=96)
    found = run_check(device, OURS["cublaslt-fp4"], sim.TINY)
    assert (found.status, found.answer) == ("pass", "nvf4 is a chain of steps of 96; mxf4 is a chain of steps of 96")
    device.library = "ue5m3-report"
    assert run_check(device, OURS["cublaslt-fp4"], sim.TINY).status == "fail"


def test_a_format_that_the_library_lacks_does_not_hide_the_other() -> None:
    class OneFormat(sim.SimulatedDevice):
        def multiply_by_library(self, kind: str, *args: Any) -> np.ndarray:
            if kind == "mxf4":
                raise DeviceError("cublasLtMatmulAlgoGetHeuristic failed with status 7")
            return super().multiply_by_library(kind, *args)

    found = run_check(OneFormat((10, 0), {}), OURS["cublaslt-fp4"], sim.TINY)
    assert found.status == "pass"
    assert found.answer.startswith("nvf4 is a chain of steps of 64; mxf4 was not computed: cublasLt")
    assert set(found.counts) == {"nvf4"}

    class NoFormat(sim.SimulatedDevice):
        def multiply_by_library(self, kind: str, *args: Any) -> np.ndarray:
            raise SkipCheckError("no algorithm")

    found = run_check(NoFormat((10, 0), {}), OURS["cublaslt-fp4"], sim.TINY)
    assert (found.status, found.reason) == ("skip", "no algorithm")


@pytest.mark.parametrize("error", [AssertionError, AttributeError, MemoryError])
def test_no_check_can_end_a_run(error: type[Exception]) -> None:
    def broken(*args: Any) -> None:
        raise error("unforeseen")

    found = result("rcp-approx", {"rcp_table": broken})
    assert (found.status, found.reason) == ("error", f"{error.__name__}: unforeseen")


def test_a_check_that_compares_nothing_has_not_passed() -> None:
    check = Check("x", "x", lambda device, effort: Outcome({}))
    found = run_check(sim.SimulatedDevice((9, 0), {}), check, sim.TINY)
    assert (found.status, found.reason) == ("skip", "it found nothing to compare")


def test_a_wrong_primitive_of_the_own_backend_is_found() -> None:
    class Truncating(ReferenceKernels):
        @staticmethod
        def encode(x: Any, factor: Any, tile: Any, cast: Any, *random: Any) -> Any:
            wrong = replace(cast, rounding=Rounding.RZ) if cast.rounding is Rounding.RN else cast
            return ReferenceKernels.encode(x, factor, tile, wrong, *random)

    device = sim.SimulatedDevice((9, 0), {})
    device.backend = Truncating
    found = run_check(device, OURS["own-primitives"], sim.TINY)
    assert found.status == "fail"
    assert found.counts["encode e2m1"].wrong > 0
    assert found.counts["block amax"].wrong == 0


def test_a_wrong_quantization_on_the_device_is_found_and_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_quantize, "SPECS", ("nvfp4", "mxfp4"))
    device = sim.SimulatedDevice((9, 0), {})
    device.gain = 0.75
    found = run_check(device, OURS["own-quantize"], sim.TINY)
    assert found.status == "fail"
    assert found.counts["mxfp4 packed"].wrong > 0
    assert any("CAUSE" in line for line in found.diagnosis)


def test_wrong_statistics_on_the_device_are_found() -> None:
    device = sim.SimulatedDevice((9, 0), {})
    device.gain = 1 + 2.0**-20
    found = run_check(device, OURS["own-compare"], sim.TINY)
    assert found.status == "fail"
    assert found.counts["nvfp4"].wrong > 0
    assert found.diagnosis[0].startswith("nvfp4 on normal: ")


@pytest.mark.parametrize("name", [name for name in OURS if name.startswith(("blackwell", "mma", "cvt"))])
def test_hopper_skips_blackwells_checks_with_the_reason(name: str) -> None:
    found = run_check(sim.SimulatedDevice((9, 0), {}), OURS[name], sim.TINY)
    assert found.status == "skip"
    assert found.reason.startswith("sm_90a has no ")


def test_what_takes_longest_to_compile_is_begun_first(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def refuse(source: str, *_: Any, **__: Any) -> None:
        asked.append(source)
        raise DeviceError("no compiler")

    for name, found in (("target", lambda: "sm_90"), ("driver_major", lambda: 13), ("compile_source", refuse)):
        monkeypatch.setattr(cuda_device, name, found)
    device = object.__new__(cuda_device.CudaDevice)
    device.compile_ahead([OURS["own-encode"]]).join()
    assert asked == []
    device.compile_ahead(list(OURS.values())).join()
    assert asked == ["hadamard.cu", "eden.cu", "stats.cu"]
    assert all(source in OURS["own-compare"].sources for source in asked)


def test_the_rules_of_targets() -> None:
    assert "stochastic" in why_not(sim.SimulatedDevice((12, 0), {}), OURS["cvt-rs"])
    assert "mma.sync" in why_not(sim.SimulatedDevice((10, 0), {}), OURS["mma-tiles"])
    assert why_not(sim.SimulatedDevice((10, 3), {}), OURS["cvt-rs"]) == ""
    missing = Check("x", "x", OURS["rcp-approx"].run, package="no_such_package")
    assert why_not(sim.SimulatedDevice((9, 0), {}), missing) == "no_such_package is not installed"


def test_a_check_that_breaks_off_is_an_error_and_the_rest_run() -> None:
    def broken(*args: Any) -> None:
        raise DeviceError("the GPU reports: an illegal address")

    device = sim.SimulatedDevice((9, 0), sim.right() | {"rcp_table": broken})
    evidence = run_checks(device, [OURS["rcp-approx"], OURS["nvidia-casts"]], sim.TINY)
    assert [check.status for check in evidence.checks] == ["error", "pass"]
    assert evidence.checks[0].reason == "the GPU reports: an illegal address"
    assert not evidence.ok


def test_an_interrupt_keeps_what_was_found() -> None:
    def interrupt(*args: Any) -> None:
        raise KeyboardInterrupt

    device = sim.SimulatedDevice((9, 0), sim.right() | {"rcp_table": interrupt})
    checks = [OURS[name] for name in ("nvidia-casts", "rcp-approx", "mma-tiles", "own-encode")]
    evidence = run_checks(device, checks, sim.TINY)
    assert [(check.status, check.reason) for check in evidence.checks] == [
        ("pass", ""),
        *[("skip", "interrupted")] * 3,
    ]
    assert (evidence.interrupted, evidence.ok, evidence.verdict) == (True, False, "INCOMPLETE")
    assert [check.name for check in evidence.checks] == evidence.settings["checks"]
    with pytest.raises(KeyboardInterrupt):  # nothing was found that could be written
        run_checks(device, checks[1:], sim.TINY)


def test_a_sample_is_held_to_the_reference_and_leaves_the_host_as_it_was() -> None:
    seen = []

    def look(device: Any, effort: Effort) -> Outcome:
        seen.append(default_kernels())
        raise SkipCheckError("seen")

    for effort in (replace(sim.TINY, compiled=False), sim.TINY):
        run_check(sim.SimulatedDevice((9, 0), {}), Check("x", "x", look), effort)
    assert seen == [ReferenceKernels, CpuKernels]
    assert not QUICK.compiled


def test_products_by_definition_are_those_of_gemm() -> None:
    for _, x, w in own_gemm.operands(sim.TINY):
        for left, right, model, order in own_gemm.CASES:
            a, b = quantize(x[:7], left), quantize(w[:7], right)
            found, expected = own_gemm.by_definition(a, b, model, order), gemm(a, b, model=model, order=order)
            np.testing.assert_array_equal(found.view(np.uint32), expected.view(np.uint32))


@pytest.mark.parametrize("place", [(0, 0), (135, 11)])
def test_a_sample_of_a_product_reaches_its_corners(place: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty(a: Any, b: Any, **given: Any) -> Any:
        d = gemm(a, b, **given)
        d[place] = -d[place]
        return d

    sample = replace(sim.TINY, compiled=False)
    device = sim.SimulatedDevice((9, 0), {})
    right = run_check(device, OURS["own-gemm"], sample)
    assert (right.status, right.totals.total) == ("pass", 2 * len(own_gemm.CASES) * 12 * 12)
    monkeypatch.setattr("fp4sim.mma.gemm.gemm", faulty)
    found = run_check(device, OURS["own-gemm"], sample)
    assert found.status == "fail"
    assert found.totals.wrong == 2 * len(own_gemm.CASES)


def test_a_run_that_compares_nothing_is_no_success() -> None:
    with pytest.raises(NothingComparedError, match="every check was skipped: sm_90a has no"):
        run_checks(sim.SimulatedDevice((9, 0), {}), [OURS["mma-tiles"]], sim.TINY)
