"""The table of targets against the compiler, and the machine code of every source."""

from __future__ import annotations

import pytest

from fp4sim.errors import DeviceError
from fp4sim.kernels.cuda.build_check import Build, check_builds, machine_code
from fp4sim.kernels.cuda.disassembly import disassemble, find_nvdisasm, missing_instructions
from fp4sim.kernels.cuda.nvrtc import find_nvrtc
from fp4sim.kernels.cuda.sources import source_folder
from fp4sim.kernels.cuda.targets import CI_TARGETS, SOURCES, machine_patterns, refusal, source_of, target_for
from tests.cuda.host import lacking

BLACKWELL = [name for name in SOURCES if source_of(name).needs is not None]


@pytest.fixture(scope="module")
def compiler() -> str:
    try:
        find_nvrtc(None)
    except DeviceError as error:
        lacking(str(error))
    return "nvrtc"


def test_the_table_names_sources_that_there_are() -> None:
    assert {path.name for path in source_folder().glob("*.cu")} >= set(SOURCES)


@pytest.mark.parametrize("name", BLACKWELL)
@pytest.mark.parametrize("target", ["sm_90", *CI_TARGETS[2:]])
def test_the_compiler_takes_what_the_table_says_and_nothing_else(compiler: str, name: str, target: str) -> None:
    if refusal(name, target):
        with pytest.raises(DeviceError, match="cannot compile"):
            machine_code(name, target, compiler)
    else:
        assert machine_code(name, target, compiler)[:4] == b"\x7fELF"


@pytest.mark.parametrize("name", [name for name in SOURCES if source_of(name).machine])
def test_the_instructions_are_in_the_machine_code(compiler: str, name: str) -> None:
    if find_nvdisasm() is None:
        lacking("needs nvdisasm: pip install nvidia-cuda-nvdisasm")
    target = next(
        target for target in reversed(CI_TARGETS) if machine_patterns(name, target) and not refusal(name, target)
    )
    try:
        text = disassemble(machine_code(name, target, compiler))
    except DeviceError as error:
        if "cuda_fp4.h" in str(error):
            lacking(str(error))
        raise
    assert missing_instructions(name, target, text) == ()
    assert missing_instructions(
        name, target, text.replace("F2FP", "XXXX").replace("MMA", "XXX").replace("MUFU", "XXXX")
    )


def test_devices_get_the_target_that_has_their_instructions() -> None:
    assert target_for("blackwell_mma.cu", (12, 0)) == "sm_120a"
    assert target_for("nvidia_casts.cu", (10, 3)) == "sm_103a"
    assert target_for("nvidia_casts.cu", (9, 0)) == "sm_90"
    assert target_for("dense_mma.cu", (9, 0)) == "sm_90a"
    assert target_for("reciprocal.cu", (12, 0)) == "sm_120"
    assert refusal("blackwell_stochastic.cu", "sm_120a") == (
        "sm_120a has no stochastic conversion to FP4 (compute capability 10.0 and 10.3)"
    )


def test_a_build_that_lacks_its_instructions_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    from fp4sim.kernels.cuda import build_check

    monkeypatch.setattr(build_check, "machine_code", lambda *args: b"")
    monkeypatch.setattr(build_check, "disassemble", lambda code: "MUFU.RCP R1, R2")
    found = {(build.source, build.target): build for build in check_builds(("sm_120a",), "nvrtc")}
    assert found["reciprocal.cu", "sm_120a"] == Build("reciprocal.cu", "sm_120a")
    assert "OMMA" in found["blackwell_mma.cu", "sm_120a"].problem
    assert "stochastic" in found["blackwell_stochastic.cu", "sm_120a"].left_out
