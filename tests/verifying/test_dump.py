"""Dumps in every form; bad ones are one clear line and exit code 3, empty ones exit code 5."""

from __future__ import annotations

import json

import ml_dtypes
import numpy as np
import pytest

import fp4sim
from fp4sim.errors import NothingComparedError, UnreadableError
from fp4sim.io.writer import write_safetensors
from fp4sim.verifying.check import Options, verify_dump
from fp4sim.verifying.dump import dump_of, read_dump
from tests.cli.conftest import *  # noqa: F403  the fixtures run and run_json
from tests.verifying.inputs import many_amax, with_rows
from tests.verifying.kernel import NV, pack

NVFP4 = fp4sim.parse("nvfp4")


@pytest.fixture
def arrays():
    dump = NV(many_amax(21))
    return {**dump, "tensor_scale": np.asarray(dump["tensor_scale"], np.float32)}


def write_bin(folder, arrays):
    entries = {}
    for name, array in arrays.items():
        (folder / f"{name}.bin").write_bytes(np.ascontiguousarray(array).tobytes())
        entries[name] = {"file": f"{name}.bin", "dtype": array.dtype.name, "shape": list(array.shape)}
    (folder / "manifest.json").write_text(json.dumps({"schema": "fp4sim.dump/1", "arrays": entries}))


def write(form, folder, arrays):
    if form == "safetensors":
        write_safetensors(folder / "d.safetensors", arrays)
        return folder / "d.safetensors"
    if form == "npz":
        np.savez(folder / "d.npz", **{**arrays, "x": arrays["x"].view(np.uint16)})
        return folder / "d.npz"
    if form == "npy":
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array.view(np.uint16) if name == "x" else array)
        return folder
    write_bin(folder, arrays)
    return folder if form == "folder" else folder / "manifest.json"


@pytest.mark.parametrize("form", ["safetensors", "npz", "npy", "folder", "manifest"])
def test_forms(tmp_path, arrays, form, run_json):
    path = write(form, tmp_path, arrays)
    assert verify_dump(read_dump(path), NVFP4).ok
    data = run_json("verify", path, "--spec", "nvfp4", "--json")
    assert data["schema"] == "fp4sim.verify/1"
    assert data["ok"] is True
    assert data["cases"][0]["counts"]["codes"] == {"wrong": 0, "total": 32768}


@pytest.mark.parametrize(
    "names",
    [
        {"x": "input", "codes": "packed", "scales": "sf", "tensor_scale": "weight_scale_2"},
        {"x": "a/x", "codes": "a/q", "scales": "a/weight_scale", "tensor_scale": "a/ts"},
        {"x": "deep.case.1.x", "codes": "deep.case.1.codes", "scales": "deep.case.1.block_scale"},
    ],
)
def test_aliases(arrays, names):
    dump = dump_of({names[key]: array for key, array in arrays.items() if key in names})
    assert len(dump.cases) == 1
    assert verify_dump(dump, NVFP4).ok


def test_dtypes_and_layouts(arrays):
    from fp4sim.layouts import swizzle

    scales = arrays["scales"]
    tall = with_rows(many_amax(22), 100)
    small = NV(tall)
    for changed in (
        {"codes": pack(arrays["codes"])},
        {"codes": pack(arrays["codes"]).reshape(-1)},
        {"codes": arrays["codes"].view(ml_dtypes.float4_e2m1fn)},
        {"scales": scales.view(ml_dtypes.float8_e4m3fn)},
        {"scales": scales.view(ml_dtypes.float8_e4m3fn).astype(np.float32)},
        {"x": arrays["x"].astype(np.float32)},
    ):
        assert verify_dump(dump_of({**arrays, **changed}), NVFP4).ok
    swizzled = dump_of({**arrays, "scales": swizzle(scales, "128x4")})
    assert verify_dump(swizzled, NVFP4, Options(layout="128x4")).ok
    by_size = verify_dump(dump_of({**small, "scales": swizzle(small["scales"], "128x4").reshape(-1)}), NVFP4)
    assert by_size.ok
    assert by_size.totals["padding"].total > 0
    assert "128x4" in by_size.cases[0].notes[0]


def test_divisor(arrays):
    top = np.abs(arrays["x"].astype(np.float32)).max()
    divisor = np.float32(np.float32(448 * 6) / top)
    rest = {key: array for key, array in arrays.items() if key != "tensor_scale"}
    assert verify_dump(dump_of({**rest, "global_scale": divisor.reshape(1)}), NVFP4).ok
    result = verify_dump(dump_of({**rest, "global_scale": arrays["tensor_scale"]}), NVFP4)
    assert result.cases[0].findings[0].cause == "tensor_scale.inverted"


def test_given_tensor_scale(arrays):
    x, scale = arrays["x"], np.float32(0.01)
    packed = fp4sim.quantize(x, "nvfp4@ts:given", tensor_scale=scale)
    result = fp4sim.verify(x, "nvfp4@ts:given", codes=packed.packed, block_scale=packed.block_scale, tensor_scale=scale)
    assert result.ok
    assert "tensor_scale" not in result.totals


def test_several_cases(arrays):
    named = {f"c{i}.{key}": array for i in range(3) for key, array in arrays.items()}
    named["c1.codes"] = named["c1.codes"] ^ np.uint8(8)
    result = verify_dump(dump_of(named), NVFP4)
    assert [case.ok for case in result.cases] == [True, False, True]
    assert result.cases[1].findings[0].cause == "code.sign_inverted"


def nan_like(array):
    return np.full(array.shape, np.nan, np.float32)


BAD = {
    "no input": (lambda a: {k: v for k, v in a.items() if k != "x"}, "no input"),
    "unknown names": (lambda a: {"foo": a["x"], "bar": a["codes"]}, "known name"),
    "codes too few": (lambda a: {**a, "codes": a["codes"][:-1]}, "codes have shape"),
    "codes too wide": (lambda a: {**a, "codes": np.concatenate([a["codes"]] * 2, axis=1)}, "codes have shape"),
    "codes of floats": (lambda a: {**a, "codes": a["codes"].astype(np.float32)}, "dtype float32"),
    "codes above 15": (lambda a: {**a, "codes": a["codes"] | np.uint8(0x30)}, "above 0x0f"),
    "scales too few": (lambda a: {**a, "scales": a["scales"][:, :-1]}, "block scales of shape"),
    "scales of int64": (lambda a: {**a, "scales": a["scales"].astype(np.int64)}, "dtype int64"),
    "scales not on the grid": (lambda a: {**a, "scales": np.full(a["scales"].shape, 1.01, np.float32)}, "no e4m3 value"),
    "tensor scales": (lambda a: {**a, "tensor_scale": np.ones(7, np.float32)}, "7 tensor scales"),
    "tensor scale of ints": (lambda a: {**a, "tensor_scale": np.ones((), np.int32)}, "dtype int32"),
    "input of ints": (lambda a: {**a, "x": a["x"].view(np.uint16).astype(np.int32)}, "dtype int32"),
    "input of nothing": (lambda a: {**a, "x": np.zeros((0, 16), np.float32)}, "shape (0, 16)"),
    "input of NaN": (lambda a: {**a, "x": nan_like(a["x"])}, "is NaN"),
    "values of NaN": (lambda a: {**a, "out": nan_like(a["x"])}, "is NaN"),
    "scales of NaN": (lambda a: {**a, "scales": np.full(a["scales"].shape, 0x7F, np.uint8).view(ml_dtypes.float8_e4m3fn)},
                      "is NaN"),
    "tensor scale NaN": (lambda a: {**a, "tensor_scale": np.float32("nan").reshape(1)}, "is NaN"),
    "values of another shape": (lambda a: {**a, "out": np.zeros((3, 4), np.float32)}, "dequantized values of shape"),
    "two names of one": (lambda a: {**a, "packed": a["codes"]}, "keep one of them"),
    "two tensor scales": (lambda a: {**a, "global_scale": a["tensor_scale"]}, "keep one of them"),
}  # fmt: skip


@pytest.mark.parametrize("change", BAD, ids=list(BAD))
def test_bad_dumps_are_one_line(tmp_path, arrays, change, run):
    make, words = BAD[change]
    path = tmp_path / "bad.safetensors"
    write_safetensors(path, make(arrays))
    result = run("verify", path, "--spec", "nvfp4")
    assert result.exit_code == 3, result.output
    assert result.stderr.count("\n") == 1
    assert words in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("form", ["safetensors", "npz", "npy", "manifest"])
def test_truncated_dumps(tmp_path, arrays, form, run):
    path = write(form, tmp_path, arrays)
    file = tmp_path / ("codes.npy" if form == "npy" else "codes.bin" if form == "manifest" else path.name)
    file.write_bytes(file.read_bytes()[:-100])
    result = run("verify", path, "--spec", "nvfp4")
    assert result.exit_code == 3, result.output
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        "nope",
        '{"schema": "fp4sim.dump/1"}',
        '{"schema": "fp4sim.dump/1", "arrays": {"x": 3}}',
        '{"schema": "fp4sim.dump/1", "arrays": {"x": {"file": "../x.bin", "dtype": "float32", "shape": [2]}}}',
        '{"schema": "fp4sim.dump/1", "arrays": {"x": {"file": "/etc/passwd", "dtype": "float32", "shape": [2]}}}',
        '{"schema": "fp4sim.dump/1", "arrays": {"x": {"file": "x.bin", "dtype": "float99", "shape": [2]}}}',
        '{"schema": "fp4sim.dump/1", "arrays": {"x": {"file": "x.bin", "dtype": "float32", "shape": [-2]}}}',
        '{"schema": "fp4sim.dump/1", "arrays": {"x": {"file": "x.bin", "dtype": "float32", "shape": [true]}}}',
        '{"schema": "fp4sim.dump/1", "arrays": {"x": {"file": "gone.bin", "dtype": "float32", "shape": [2]}}}',
    ],
)
def test_bad_manifests(tmp_path, text, run):
    (tmp_path / "x.bin").write_bytes(b"\0" * 8)
    (tmp_path / "manifest.json").write_text(text)
    result = run("verify", tmp_path / "manifest.json", "--spec", "nvfp4")
    assert result.exit_code == 3, result.output
    assert result.stderr.count("\n") == 1


def test_missing_and_foreign_files(tmp_path, run):
    (tmp_path / "x.txt").write_text("hello")
    (tmp_path / "empty").mkdir()
    for path in ("gone.npz", tmp_path / "x.txt", tmp_path / "empty"):
        assert run("verify", path, "--spec", "nvfp4").exit_code == 3


def test_comparing_nothing(tmp_path, arrays, run):
    write_safetensors(tmp_path / "x.safetensors", {"x": arrays["x"]})
    result = run("verify", tmp_path / "x.safetensors", "--spec", "nvfp4")
    assert result.exit_code == 5
    assert result.stderr.count("\n") == 1
    with pytest.raises(NothingComparedError):
        fp4sim.verify(arrays["x"], "nvfp4")


def test_given_needs_a_positive_scale(arrays):
    for scale in (0.0, -1.0, np.inf):
        with pytest.raises(UnreadableError, match="positive"):
            fp4sim.verify(arrays["x"], "nvfp4@ts:given", codes=arrays["codes"], tensor_scale=np.float32(scale))


def test_usage_errors(tmp_path, arrays, run):
    write_safetensors(tmp_path / "d.safetensors", arrays)
    path = tmp_path / "d.safetensors"
    for more in (
        ["--spec", "nope"],
        ["--spec", "nvfp4", "--scale-layout", "4x4"],
        ["--spec", "nvfp4", "--padding", "some"],
        ["--spec", "nvfp4", "-o", "x.doc"],
        ["--spec", "nvfp4", "-o", tmp_path / "gone" / "x.json"],
        ["--spec", "nvfp4", "--markdown", path],
        [],
    ):
        assert run("verify", path, *more).exit_code == 2
