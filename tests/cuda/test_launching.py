"""Finding, compiling and caching CUDA sources, and what is said where CuPy, driver or GPU is missing. No GPU needed."""

from __future__ import annotations

import subprocess
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fp4sim.errors import DeviceError
from fp4sim.kernels.cuda import compile as compiling
from fp4sim.kernels.cuda import load, nvrtc, sources
from tests.cuda.host import lacking

ROOT = Path(__file__).parents[2]


def need_nvrtc() -> None:
    try:
        nvrtc.find_nvrtc(None)
    except DeviceError as error:
        lacking(str(error))


def test_sources_are_those_of_the_checkout():
    """Whether fp4sim is installed or is the checkout itself."""
    found, own = (
        {path.name: path.read_bytes() for path in folder.glob("*.cu*")}
        for folder in (sources.source_folder(), ROOT / "cuda")
    )
    assert found == own
    assert not (ROOT / "cuda" / "__init__.py").exists()  # it would hide NVIDIA's package
    assert "codec.cuh" in sources.headers()
    with pytest.raises(DeviceError, match=r"no CUDA source nothing\.cu"):
        sources.read_source("nothing.cu")


def test_compiles_from_an_installed_wheel(tmp_path):
    need_nvrtc()
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(tmp_path)]
    copied = tmp_path / "source"
    copied.mkdir()
    for name in ("fp4sim", "cuda", "pyproject.toml", "setup.py", "README.md", "LICENSE", "NOTICE"):
        (copied / name).symlink_to(ROOT / name)
    built = subprocess.run([*command, str(copied)], capture_output=True, text=True)
    if built.returncode != 0 and "No module named" in built.stderr:
        lacking("setuptools or wheel is not installed, which building without isolation needs")
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    installed = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(installed)
    script = (
        "from fp4sim.kernels.cuda.compile import compile_source\n"
        "from fp4sim.kernels.cuda.sources import source_folder\n"
        "print(source_folder(), len(compile_source('panel.cu', 'sm_90')[0]))"
    )
    environment = {"PYTHONPATH": str(installed), "FP4SIM_CACHE_DIR": str(tmp_path / "cache"), "PATH": "/usr/bin:/bin"}
    ran = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    folder, size = ran.stdout.split()
    assert folder == str(installed / "fp4sim" / "_cuda")
    assert int(size) > 1000


def test_cache_is_hit_and_keyed_by_everything(tmp_path, monkeypatch):
    need_nvrtc()
    monkeypatch.setenv("FP4SIM_CACHE_DIR", str(tmp_path))
    first, path = compiling.compile_source("panel.cu", "sm_90")
    assert path is not None
    assert path.read_bytes() == first
    path.write_bytes(b"from the cache")
    assert compiling.compile_source("panel.cu", "sm_90") == (b"from the cache", path)
    others = [
        compiling.compile_source("panel.cu", "sm_80"),
        compiling.compile_source("panel.cu", "sm_90", ["A=1"]),
    ]
    changed = {**sources.headers(), "codec.cuh": sources.headers()["codec.cuh"] + "\n"}
    monkeypatch.setattr(compiling, "headers", lambda: changed)
    others.append(compiling.compile_source("panel.cu", "sm_90"))
    assert len({path, *(where for _, where in others)}) == 4
    assert not list(tmp_path.rglob("*.part"))


def test_the_key_holds_the_compilers_patch_level(tmp_path, monkeypatch):
    need_nvrtc()
    monkeypatch.setenv("FP4SIM_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(compiling, "read_source", lambda name: 'extern "C" __global__ void one(int* x) { *x = 1; }')
    own = nvrtc.release_of(nvrtc.find_nvrtc(None), "sm_90")
    assert own.startswith(f"{'.'.join(map(str, nvrtc.find_nvrtc(None).version))}.")
    before = compiling.compile_source("one.cu", "sm_90")[1]
    monkeypatch.setattr(compiling, "release_of", lambda *_: f"{own}1")
    assert compiling.compile_source("one.cu", "sm_90")[1] != before
    silent = nvrtc.Nvrtc("CuPy", (13, 0), lambda *_: b"machine code")
    assert len(nvrtc.release_of(silent, "sm_90")) == 64


def test_what_two_threads_ask_for_is_compiled_once(tmp_path, monkeypatch):
    runs = []

    def slow(*_):
        runs.append(1)
        time.sleep(0.3)
        return b"machine code"

    monkeypatch.setenv("FP4SIM_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(compiling, "release_of", lambda *_: "1.2.3")
    monkeypatch.setattr(compiling, "find_nvrtc", lambda _: nvrtc.Nvrtc("CuPy", (13, 0), slow))
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: compiling.compile_source("panel.cu", "sm_90"), range(2)))
    assert found[0] == found[1]
    assert len(runs) == 1


def test_unwritable_cache_means_uncached(tmp_path, monkeypatch):
    need_nvrtc()
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("FP4SIM_CACHE_DIR", str(tmp_path / "file"))
    cubin, path = compiling.compile_source("panel.cu", "sm_90")
    assert path is None
    assert compiling.uncached_file("panel.cu", cubin).read_bytes() == cubin


def test_compile_errors_take_one_line(monkeypatch):
    need_nvrtc()
    monkeypatch.setattr(compiling, "read_source", lambda name: 'extern "C" __global__ void broken() { nonsense; }')
    with pytest.raises(DeviceError, match=r"NVRTC cannot compile broken\.cu: .*nonsense"):
        compiling.compile_source("broken.cu", "sm_90")


def test_compiler_does_not_outrun_the_driver(monkeypatch):
    old, new = (nvrtc.Nvrtc("CuPy", (12, 9), lambda *_: b""), nvrtc.Nvrtc("cuda-bindings", (13, 0), lambda *_: b""))
    monkeypatch.setattr(nvrtc, "_by_cupy", lambda: old)
    monkeypatch.setattr(nvrtc, "_by_cuda_bindings", lambda: new)
    find = nvrtc.find_nvrtc.__wrapped__
    assert find(None) is new
    assert find(13) is new
    assert find(12) is old
    with pytest.raises(DeviceError, match="newer than the driver's CUDA 11"):
        find(11)
    monkeypatch.setattr(nvrtc, "_by_cupy", lambda: None)
    monkeypatch.setattr(nvrtc, "_by_cuda_bindings", lambda: None)
    with pytest.raises(DeviceError, match=r"fp4sim\[cuda\]"):
        find(13)


def refusal(cupy, monkeypatch) -> str:
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    with pytest.raises(DeviceError) as caught:
        load._usable_cupy.__wrapped__()
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 4
    return str(caught.value)


class FakeCupy:
    """CuPy's module as far as the search for a GPU looks at it."""

    def __init__(self, answer):
        self.answer = answer
        self.cuda = self.runtime = self

    def getDeviceCount(self):  # noqa: N802
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_what_is_missing_is_said_in_one_line(monkeypatch):
    assert "pip install 'fp4sim[cuda]'" in refusal(None, monkeypatch)
    assert "driver" in refusal(FakeCupy(RuntimeError("cudaErrorInsufficientDriver: CUDA driver\nversion")), monkeypatch)
    assert "cudaErrorNoDevice" in refusal(FakeCupy(RuntimeError("cudaErrorNoDevice: none")), monkeypatch)
    assert refusal(FakeCupy(0), monkeypatch) == "no CUDA GPU is present"


def test_device_failures_become_device_errors():
    for kind in ("OutOfMemoryError", "CUDARuntimeError", "CUDADriverError"):
        with pytest.raises(DeviceError, match="went wrong"), load.device_errors():
            raise type(kind, (RuntimeError,), {})("it went wrong\nsecond line")
    with pytest.raises(KeyError), load.device_errors():
        raise KeyError("not the device's")


def test_nothing_is_imported_before_it_is_needed():
    script = (
        "import sys; import fp4sim, fp4sim.kernels.cuda.load, fp4sim.kernels.cuda.compile;"
        "print([name for name in ('cupy', 'cuda', 'torch', 'numba', 'scipy') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
