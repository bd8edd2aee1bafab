"""NVRTC from a file: the same compiler as by its binding, and what is said of a file that is none."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from fp4sim.errors import DeviceError
from fp4sim.kernels.cuda import nvrtc
from fp4sim.kernels.cuda.build_check import machine_code
from fp4sim.kernels.cuda.nvrtc_library import builtins_name, load_nvrtc
from fp4sim.kernels.cuda.targets import one_target
from tests.cuda.host import lacking

VERSION = "int nvrtcVersion(int* major, int* minor) { *major = 99; *minor = 7; return 0; }"


@pytest.fixture(scope="module")
def library() -> Path:
    """The file that cuda-bindings loads."""
    if nvrtc._by_cuda_bindings() is None:
        lacking("cuda-bindings or NVRTC is not installed")
    from cuda.pathfinder import load_nvidia_dynamic_lib

    return Path(load_nvidia_dynamic_lib("nvrtc").abs_path)


def shared_object(path: Path, text: str) -> Path:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        lacking("no C compiler")
    path.with_suffix(".c").write_text(text)
    command = [compiler, "-shared", "-fPIC", f"-Wl,-soname,{path.name}", "-o", str(path), str(path.with_suffix(".c"))]
    subprocess.run(command, check=True)
    return path


@pytest.mark.parametrize("source", ["panel.cu", "blackwell_mma.cu"])
def test_the_same_library_gives_the_same_machine_code(library: Path, source: str) -> None:
    by_path, bound = load_nvrtc(library), nvrtc._by_cuda_bindings()
    assert by_path.version == bound.version
    code = machine_code(source, one_target(source), by_path)
    assert code[:4] == b"\x7fELF"
    assert code == machine_code(source, one_target(source), bound)


def test_a_source_that_is_refused_takes_one_line(library: Path) -> None:
    with pytest.raises(DeviceError, match=r"^NVRTC cannot compile broken\.cu: .*nonsense") as caught:
        load_nvrtc(library).run("__global__ void broken() { nonsense; }", "broken.cu", ("--gpu-architecture=sm_90",))
    assert "\n" not in str(caught.value)


def test_an_option_that_is_refused_takes_one_line(library: Path) -> None:
    with pytest.raises(DeviceError, match=r"^NVRTC cannot compile one\.cu: .*gpu-architecture") as caught:
        load_nvrtc(library).run("__device__ int one;", "one.cu", ("--gpu-architecture=sm_1",))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_library_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "libnvrtc.so.13"
    text.write_text("not a library")
    circle = tmp_path / "circle.so"
    circle.symlink_to(circle)
    for path in (text, tmp_path / "nothing.so", circle):
        with pytest.raises(DeviceError, match="cannot be loaded as a library") as caught:
            load_nvrtc(path)
        assert str(path) in str(caught.value)


@pytest.mark.skipif(os.name == "nt", reason="makes shared objects")
def test_another_library_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"is not NVRTC 11\.1 or later: it has no function nvrtcVersion"):
        load_nvrtc(shared_object(tmp_path / "libother.so", "int other(void) { return 0; }"))
    with pytest.raises(DeviceError, match=r"nvrtcVersion failed \(error 3\)"):
        load_nvrtc(shared_object(tmp_path / "libbad.so", "int nvrtcVersion(int* a, int* b) { return 3; }"))


@pytest.mark.skipif(not hasattr(os, "RTLD_NOLOAD"), reason="this system does not tell what is loaded")
def test_its_built_in_functions_are_loaded_from_its_own_folder(tmp_path: Path) -> None:
    path = shared_object(tmp_path / "libnvrtc.so.99", VERSION)
    with pytest.raises(DeviceError, match=r"NVRTC 99\.7 needs libnvrtc-builtins\.so\.99\.7 in its own folder"):
        load_nvrtc(path)
    shared_object(tmp_path / "libnvrtc-builtins.so.99.7", "int one(void) { return 1; }")
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "libnvrtc.so"
    link.symlink_to(path)
    with pytest.raises(OSError, match="libnvrtc-builtins"):
        ctypes.CDLL("libnvrtc-builtins.so.99.7", mode=os.RTLD_NOW | os.RTLD_NOLOAD)
    found = load_nvrtc(link)
    assert found.version == (99, 7)
    with pytest.raises(DeviceError, match="it has no function nvrtcCreateProgram"):
        found.run("", "one.cu", ())
    assert ctypes.CDLL("libnvrtc-builtins.so.99.7", mode=os.RTLD_NOW | os.RTLD_NOLOAD).one() == 1


def test_the_names_are_those_of_nvidias_wheels() -> None:
    assert builtins_name("libnvrtc.so.12", (12, 9)) == "libnvrtc-builtins.so.12.9"
    assert builtins_name("libnvrtc.alt.so.13", (13, 0)) == "libnvrtc-builtins.alt.so.13.0"
    assert builtins_name("nvrtc64_130_0.dll", (13, 0)) == "nvrtc-builtins64_130.dll"
    assert builtins_name("nvrtc64_120_0.alt.dll", (12, 9)) == "nvrtc-builtins64_129.dll"
