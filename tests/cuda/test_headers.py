"""Which of NVIDIA's headers are taken: not those of a CUDA that the compiler cannot read."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fp4sim.errors import DeviceError
from fp4sim.kernels.cuda import headers


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Headers of CUDA 13 before those of 12, as both wheels lay them; and of a toolkit that does not say."""
    for part, version in (("cu13", "13050"), ("cuda_runtime", "12090")):
        include = tmp_path / "nvidia" / part / "include"
        include.mkdir(parents=True)
        (include / "cuda_fp4.h").touch()
        (include / "cuda_runtime_api.h").write_text(f"#define CUDA_API 1\n#define CUDART_VERSION  {version}\n")
    silent = tmp_path / "toolkit" / "include"
    silent.mkdir(parents=True)
    (silent / "cuda_fp4.h").touch()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    for name in ("CUDA_HOME", "CUDA_PATH"):
        monkeypatch.delenv(name, raising=False)
    return {"13": tmp_path / "nvidia/cu13/include", "12": tmp_path / "nvidia/cuda_runtime/include", "silent": silent}


def test_headers_are_no_newer_than_the_compiler(wheels: dict[str, Path]) -> None:
    assert headers.find_toolkit_include() == wheels["13"]
    assert headers.find_toolkit_include(13) == wheels["13"]
    assert headers.find_toolkit_include(14) == wheels["13"]
    assert headers.find_toolkit_include(12) == wheels["12"]
    assert headers.include_options(12) == (f"-I{wheels['12']}", f"-I{wheels['12'] / 'cccl'}")


def test_a_folder_that_is_named_comes_first(wheels: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_HOME", str(wheels["silent"].parent))
    assert headers.find_toolkit_include(12) == wheels["silent"]
    monkeypatch.setenv("CUDA_HOME", str(wheels["13"].parent))
    assert headers.find_toolkit_include(12) == wheels["12"]


@pytest.mark.parametrize(
    ("major", "wanted"), [(12, "nvidia-cuda-runtime-cu12, "), (13, "nvidia-cuda-runtime nvidia-cuda-crt, ")]
)
def test_what_is_missing_is_named(
    major: int, wanted: str, wheels: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(headers, "_HEADER", "none.h")
    with pytest.raises(
        DeviceError, match=f"is not there: pip install {wanted}or install the CUDA toolkit .*at most {major}.x"
    ):
        headers.include_options(major)


def test_headers_that_are_too_new_are_named(wheels: dict[str, Path]) -> None:
    with pytest.raises(DeviceError, match=r"cuda_fp4.h is there, but of CUDA 13, in .*include: pip install"):
        headers.include_options(11)
