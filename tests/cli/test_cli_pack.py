"""``fp4sim quantize`` and ``fp4sim dequantize``: every bit comes back."""

from __future__ import annotations

import json

import ml_dtypes
import numpy as np
import pytest

import fp4sim
from fp4sim.commands.pack import Select, load_packed, pack_source, save_packed, unpack_file
from fp4sim.errors import UsageError
from fp4sim.grammar import parse
from fp4sim.io.source import open_source
from fp4sim.io.writer import write_safetensors

SPECS = ["nvfp4", "mxfp4+sr", "e2m1/16x16@e4m3", "nvfp4@ts:row", "nvfp4@ts:32", "e2m1/row@fp32", "e2m1/tensor@bf16",
         "e2m1", "e4m3", "bf16", "e1m2/8@e3m2"]  # fmt: skip


def read(path):
    with open_source(path) as source:
        return {tensor.info.name: tensor.read_all() for tensor in source.tensors()}


def same_bits(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("axis", [-1, 0])
def test_round_trip_is_quantize_dequantize(run, checkpoint, arrays, tmp_path, spec, axis):
    packed, values = tmp_path / "q.safetensors", tmp_path / "v.safetensors"
    result = run("quantize", checkpoint, packed, "--format", spec, "--axis", axis, "--seed", 5)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("2 tensors quantized to ")
    assert run("dequantize", packed, values).exit_code == 0
    found = read(values)
    assert set(found) == set(arrays)
    for name, x in arrays.items():
        expected = x
        if name.startswith("w."):
            expected = fp4sim.quantize(x, spec, axis=axis, seed=5, name=name).dequantize()
        assert same_bits(found[name], expected), name


@pytest.mark.parametrize("spec", SPECS)
def test_load_gives_the_packed_tensor_back(tmp_path, arrays, spec):
    before = {name: fp4sim.quantize(arrays[name], spec, seed=9) for name in ("w.bf16", "w.fp32")}
    fp4sim.save(tmp_path / "q.safetensors", before)
    after = fp4sim.load(tmp_path / "q.safetensors")
    assert set(after) == set(before)
    for name, packed in before.items():
        for part in ("packed", "block_scale", "tensor_scale"):
            assert same_bits(getattr(after[name], part), getattr(packed, part))
        for fact in ("spec", "shape", "axis", "dtype", "seed", "nonfinite"):
            assert getattr(after[name], fact) == getattr(packed, fact)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float64"])
def test_output_dtypes(run, checkpoint, arrays, tmp_path, dtype):
    run("quantize", checkpoint, tmp_path / "q.safetensors", "-f", "nvfp4")
    assert run("dequantize", tmp_path / "q.safetensors", tmp_path / "v.safetensors", "--dtype", dtype).exit_code == 0
    expected = fp4sim.quantize(arrays["w.fp32"], "nvfp4").dequantize(dtype)
    assert same_bits(read(tmp_path / "v.safetensors")["w.fp32"], expected)


def test_metadata(run, checkpoint, tmp_path):
    run("quantize", checkpoint, tmp_path / "q.safetensors", "-f", "mxfp4+sr", "--seed", 4)
    raw = (tmp_path / "q.safetensors").read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    metadata = header["__metadata__"]
    assert metadata["format"] == "pt"
    head = json.loads(metadata["fp4sim"])
    assert (head["schema"], head["BITS_VERSION"], head["version"]) == ("fp4sim.packed/1", 1, fp4sim.__version__)
    spec = "e2m1/32@e8m0@floor+sr"
    assert head["tensors"]["w.bf16"] == {
        "spec": spec, "shape": [24, 48], "dtype": "bfloat16", "axis": 1, "seed": 4,
    }  # fmt: skip
    assert header["w.bf16.packed"]["dtype"] == "U8"
    assert header["norm"]["dtype"] == "F32"


def test_excluded_tensors_are_copied(run, checkpoint, arrays, tmp_path):
    result = run("quantize", checkpoint, tmp_path / "q.safetensors", "-f", "nvfp4", "--exclude", "*bf16")
    assert "1 tensor quantized" in result.stdout
    assert same_bits(read(tmp_path / "q.safetensors")["w.bf16"], arrays["w.bf16"])
    assert set(load_packed(tmp_path / "q.safetensors")) == {"w.fp32"}


def test_equal_input_gives_equal_bytes(run, checkpoint, tmp_path):
    for name, threads in (("a", 1), ("b", 2)):
        run("quantize", checkpoint, tmp_path / f"{name}.safetensors", "-f", "nvfp4+sr", "--threads", threads)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


@pytest.mark.parametrize("suffix", [".npz", ".npy"])
def test_numpy_outputs(run, tmp_path, suffix):
    run("quantize", "synthetic:ties:seed=1", tmp_path / "q.safetensors", "-f", "nvfp4")
    out = tmp_path / f"v{suffix}"
    assert run("dequantize", tmp_path / "q.safetensors", out).exit_code == 0
    with open_source("synthetic:ties:seed=1") as source:
        expected = fp4sim.quantize(source.tensors()[0].read_all(), "nvfp4").dequantize()
    loaded = np.load(out)
    assert same_bits(loaded["ties"] if suffix == ".npz" else loaded, expected)
    refused = run("dequantize", tmp_path / "q.safetensors", out, "--dtype", "bfloat16")
    assert refused.exit_code == 2
    assert "bfloat16" in refused.stderr


def test_npz_of_awkward_names(tmp_path):
    x = np.ones((2, 32), np.float32)
    names = ["file", "../../up", "a/b", "<s>\x1b[0m", "日本"]
    save_packed(tmp_path / "q.safetensors", {name: fp4sim.quantize(x, "mxfp4") for name in names})
    unpack_file(tmp_path / "q.safetensors", tmp_path / "v.npz")
    assert set(np.load(tmp_path / "v.npz").files) == set(names)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["q.safetensors", "v.npz"]


def test_npy_of_several_tensors_is_refused(run, checkpoint, tmp_path):
    run("quantize", checkpoint, tmp_path / "q.safetensors", "-f", "nvfp4")
    result = run("dequantize", tmp_path / "q.safetensors", tmp_path / "v.npy")
    assert result.exit_code == 2
    assert not (tmp_path / "v.npy").exists()


def test_colliding_keys(run, tmp_path):
    x = np.ones((2, 32), np.float32)
    np.savez(tmp_path / "x.npz", **{"a": x, "a.packed": np.zeros(3, np.float32)})
    result = run("quantize", tmp_path / "x.npz", tmp_path / "q.safetensors", "-f", "nvfp4")
    assert result.exit_code == 2
    assert "a.packed" in result.stderr
    packed = fp4sim.quantize(x, "nvfp4")
    with pytest.raises(UsageError, match="twice"):
        save_packed(tmp_path / "q.safetensors", {"a": packed}, {"a.block_scale": x})
    with pytest.raises(UsageError, match="twice"):
        save_packed(tmp_path / "q.safetensors", {"a": packed}, {"a": x})
    # two packed tensors of such names do not collide
    save_packed(tmp_path / "q.safetensors", {"a": packed, "a.packed": packed})
    assert set(load_packed(tmp_path / "q.safetensors")) == {"a", "a.packed"}


def test_the_input_is_never_overwritten(run, checkpoint, tmp_path):
    before = checkpoint.read_bytes()
    link = tmp_path / "link.safetensors"
    link.symlink_to(checkpoint)
    for out in (checkpoint, link, tmp_path / "." / "model.safetensors"):
        assert run("quantize", checkpoint, out, "-f", "nvfp4").exit_code == 2
        assert run("dequantize", checkpoint, out).exit_code == 2
    assert run("quantize", tmp_path, checkpoint, "-f", "nvfp4").exit_code == 2
    assert checkpoint.read_bytes() == before


def test_refusals(run, checkpoint, tmp_path):
    out = tmp_path / "q.safetensors"
    for args, code in (
        (["-f", "nvfp4@ts:given"], 2),
        (["-f", "nvfp4+rht"], 2),
        (["-f", "nvfp4", "--axis", "9"], 2),
        (["-f", "nvfp4", "--include", "nothing"], 5),
        (["-f", "nvfp4", "--include", "ids"], 5),
    ):
        assert run("quantize", checkpoint, out, *args).exit_code == code, args
        assert not out.exists()
    assert run("dequantize", checkpoint, tmp_path / "v.safetensors").exit_code == 3
    run("quantize", checkpoint, out, "-f", "nvfp4")
    assert run("quantize", out, tmp_path / "again.safetensors", "-f", "nvfp4").exit_code == 2


def test_nan_stops_and_leaves_nothing(run, tmp_path):
    np.save(tmp_path / "x.npy", np.full((2, 32), np.nan, np.float32))
    result = run("quantize", tmp_path / "x.npy", tmp_path / "q.safetensors", "-f", "nvfp4")
    assert result.exit_code == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.npy"]
    assert (
        run(
            "quantize", tmp_path / "x.npy", tmp_path / "q.safetensors", "-f", "nvfp4", "--nonfinite", "ignore"
        ).exit_code
        == 0
    )
    assert load_packed(tmp_path / "q.safetensors")["x"].nonfinite == 64


def test_summary(checkpoint, tmp_path, arrays):
    done = pack_source(checkpoint, tmp_path / "q.safetensors", parse("mxfp4"), select=Select(include=["w.fp32"]))
    assert (done.quantized, done.copied) == (1, 3)
    assert done.bytes_in == sum(x.nbytes for x in arrays.values())
    assert done.bytes_out == (tmp_path / "q.safetensors").stat().st_size
    # rows of 40 are padded to two blocks of 32: 32 + 2 bytes for 40 elements, and one float32
    assert done.bits_per_element == pytest.approx(8 * (15 * 34 + 4) / 600)


def test_float8_checkpoints_are_quantized(tmp_path):
    x = np.linspace(-8, 8, 64, dtype=np.float32).reshape(2, 32).astype(ml_dtypes.float8_e4m3fn)
    packed = fp4sim.quantize(x, "mxfp4")
    save_packed(tmp_path / "q.safetensors", {"x": packed})
    assert load_packed(tmp_path / "q.safetensors")["x"].dtype == "float8_e4m3fn"


def test_an_output_with_a_slash_behind_it(run, tmp_path):
    done = run("quantize", "synthetic:ties", f"{tmp_path}/q.safetensors/", "-f", "nvfp4")
    assert done.exit_code == 0, done.stderr
    assert run("dequantize", tmp_path / "q.safetensors", f"{tmp_path}/v.npz/").exit_code == 0


def test_block_scales_of_other_tools_are_no_tensors(run, tmp_path):
    scale = np.full((4, 2), 1.5, ml_dtypes.float8_e4m3fn)
    weight = {
        "a.weight": np.ones((4, 16), np.uint8),
        "a.weight_scale": scale,
        "a.weight_scale_2": np.float32(2).reshape(()),
    }
    write_safetensors(tmp_path / "w.safetensors", weight)
    done = run("quantize", tmp_path / "w.safetensors", tmp_path / "q.safetensors", "-f", "nvfp4")
    assert done.exit_code == 5
    assert "quantized already" in done.stderr
    typed = {
        "a.weight": np.ones((4, 32), ml_dtypes.float4_e2m1fn),
        "a.scale": np.ones((4, 1), ml_dtypes.float8_e8m0fnu),
    }
    write_safetensors(tmp_path / "f4.safetensors", typed)
    assert run("quantize", tmp_path / "f4.safetensors", tmp_path / "q.safetensors", "-f", "nvfp4").exit_code == 5
    write_safetensors(tmp_path / "w.safetensors", {**weight, "b": np.ones((4, 16), np.float32), "c": scale})
    assert run("quantize", tmp_path / "w.safetensors", tmp_path / "q.safetensors", "-f", "nvfp4").exit_code == 0
    with open_source(tmp_path / "q.safetensors") as source:
        written = {tensor.info.name: tensor.read_all() for tensor in source.tensors()}
    assert written["a.weight_scale"].tobytes() == scale.tobytes()
    assert {name for name in written if name.endswith(".packed")} == {"b.packed", "c.packed"}
