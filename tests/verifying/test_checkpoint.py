"""``fp4sim verify QUANTIZED --against FLOATS``: checkpoints of every layout, bit for bit against the floats they came from."""

from __future__ import annotations

import json

import ml_dtypes
import numpy as np
import pytest

import fp4sim
from fp4sim.io.writer import write_safetensors
from tests.checkpoints import make
from tests.cli.conftest import *  # noqa: F403  the fixtures run and run_json

LAYER = "model.layers.0."
DOWN = f"{LAYER}mlp.down_proj.weight"
SIZES = {"self_attn.q_proj": 0.02, "self_attn.k_proj": 0.05, "self_attn.v_proj": 0.01, "mlp.down_proj": 0.03}


def weights():
    rng = np.random.default_rng(3)
    made = {f"{LAYER}{name}.weight": rng.standard_normal((32, 128)) * size for name, size in SIZES.items()}
    return {name: array.astype(ml_dtypes.bfloat16) for name, array in made.items()}


@pytest.fixture
def floats(tmp_path):
    write_safetensors(tmp_path / "floats.safetensors", {**weights(), "model.norm.weight": np.ones(64, np.float32)})
    return tmp_path / "floats.safetensors"


def converted(run, floats, tmp_path, target, spec="nvfp4"):
    result = run("convert", floats, tmp_path / "out", "--to", target, "--spec", spec)
    assert result.exit_code == 0, result.stderr
    return tmp_path / "out"


def changed(folder, name, change):
    """A checkpoint with one of its tensors spoilt."""
    from fp4sim.io.source import open_source

    with open_source(folder) as source:
        tensors = {tensor.info.name: np.array(tensor.read_all()) for tensor in source.tensors()}
    tensors[name] = change(tensors[name])
    write_safetensors(folder / "model.safetensors", tensors)


@pytest.mark.parametrize("spec", ["nvfp4", "nvfp4@torchao", "nvfp4@compressed-tensors", "mxfp4", "mxfp4@rceil"])
@pytest.mark.parametrize("target", ["compressed-tensors", "modelopt"])
def test_what_convert_writes_is_right(run_json, run, floats, tmp_path, target, spec):
    out = converted(run, floats, tmp_path, target, spec)
    data = run_json("verify", out, "--against", floats, "--spec", spec, "--json")
    assert data["ok"] is True
    names = {case["name"] for case in data["cases"]}
    fused = {f"{LAYER}self_attn.q_proj+k_proj+v_proj", DOWN}
    assert names == (fused if spec.startswith("nvfp4") else set(weights()))
    assert sum(case["counts"]["codes"]["total"] for case in data["cases"]) == 4 * 32 * 128


def test_wrong_bits_are_counted_and_explained(run, floats, tmp_path):
    out = converted(run, floats, tmp_path, "modelopt")
    changed(out, f"{LAYER}mlp.down_proj.weight", lambda codes: codes << np.uint8(4) | codes >> np.uint8(4))
    result = run("verify", out, "--against", floats, "--spec", "nvfp4")
    assert result.exit_code == 1
    assert "layout.nibbles_swapped" in result.stdout
    assert f"FAILED case {DOWN}" in result.stdout
    assert "FAILED: 1 of 2 cases" in result.stdout
    assert f"--against {floats}" in result.stdout.splitlines()[-1]


def test_a_divisor_stored_as_multiplier(run, floats, tmp_path):
    out = converted(run, floats, tmp_path, "modelopt")
    changed(out, f"{LAYER}mlp.down_proj.weight_scale_2", lambda scale: (np.float32(1) / scale).astype(np.float32))
    result = run("verify", out, "--source", floats, "--spec", "nvfp4")
    assert result.exit_code == 1
    assert "tensor_scale.inverted" in result.stdout


def test_both_forms_of_a_divisor(run, floats, tmp_path):
    """Libraries store F·6/amax; convert stores the rounded inverse of amax/(F·6). Another bit is wrong."""
    out = converted(run, floats, tmp_path, "compressed-tensors")
    amax = np.abs(weights()[DOWN].astype(np.float32)).max()
    divisor = np.float32(448 * 6) / amax
    for value, code in ((divisor, 0), (np.nextafter(divisor, np.float32(2)) * np.float32(1.001), 1)):
        changed(out, f"{LAYER}mlp.down_proj.weight_global_scale", lambda _, v=value: np.full(1, v, np.float32))
        assert run("verify", out, "--against", floats, "--spec", "nvfp4").exit_code == code


def test_identify(run_json, run, floats, tmp_path):
    out = converted(run, floats, tmp_path, "compressed-tensors", "nvfp4@compressed-tensors")
    result = run("verify", out, "--against", floats, "--spec", "nvfp4@compressed-tensors", "--identify", "--json")
    data = json.loads(result.stdout)
    for case in data["cases"]:
        exact = [c["spec"] for c in case["candidates"] if not any(n["wrong"] for n in c["counts"].values())]
        assert "nvfp4@compressed-tensors" in exact
        assert "nvfp4@llamacpp" not in exact


def test_shared_with_floats_that_are_missing(run, floats, tmp_path):
    out = converted(run, floats, tmp_path, "modelopt")
    kept = {name: array for name, array in weights().items() if "k_proj" not in name}
    write_safetensors(floats, kept)
    result = run("verify", out, "--against", floats, "--spec", "nvfp4")
    text = " ".join(result.stdout.split())
    assert "3 quantized weights, model.layers.0.self_attn.k_proj" in text.split("Not compared")[1]
    assert result.exit_code == 0, text
    write_safetensors(floats, {name: array for name, array in weights().items() if "q_proj" in name})
    assert run("verify", out, "--against", floats, "--spec", "nvfp4").exit_code == 5


def test_members_that_do_not_share_are_compared_alone(run_json, tmp_path, floats):
    tensors = {}
    for name, x in weights().items():
        packed = fp4sim.quantize(x, "nvfp4")
        tensors[name] = packed.packed
        tensors[f"{name}_scale"] = packed.block_scale.view(ml_dtypes.float8_e4m3fn)
        tensors[f"{name}_scale_2"] = packed.tensor_scale
    write_safetensors(tmp_path / "own.safetensors", tensors)
    data = run_json("verify", tmp_path / "own.safetensors", "--against", floats, "--spec", "nvfp4", "--json")
    assert {case["name"] for case in data["cases"]} == set(weights())
    assert data["ok"] is True


def nvfp4_gguf(x):
    packed = fp4sim.quantize(x, "nvfp4")
    return make.gguf_nvfp4(packed.codes, packed.block_scale), float(packed.tensor_scale)


@pytest.mark.parametrize("kind", ["gguf", "gguf experts", "gpt-oss", "native"])
def test_other_layouts(run_json, tmp_path, kind):
    rng = np.random.default_rng(8)
    x = (rng.standard_normal((2, 16, 128)) * [[[0.02]], [[0.5]]]).astype(np.float32)
    name = "blk.0.ffn_down.weight"
    spec, path = "nvfp4", tmp_path / "m.gguf"
    if kind == "gguf":
        x = x[0]
        raw, scale = nvfp4_gguf(x)
        tensors = {name: (40, x.shape, raw), "blk.0.ffn_down.scale": (0, (1,), make.f32(scale))}
        path.write_bytes(make.gguf(tensors))
    elif kind == "gguf experts":
        parts = [nvfp4_gguf(one) for one in x]
        tensors = {name: (40, x.shape, b"".join(raw for raw, _ in parts))}
        tensors["blk.0.ffn_down.scale"] = (0, (2,), make.f32(*(scale for _, scale in parts)))
        path.write_bytes(make.gguf(tensors))
    else:
        spec, path = "mxfp4", tmp_path / "m.safetensors"
        packed = fp4sim.quantize(x if kind == "gpt-oss" else x[0], spec)
        if kind == "gpt-oss":
            name = "m.experts.down_proj"
            blocks, scales = packed.packed.reshape(2, 16, 4, 16), packed.block_scale
            make.safetensors(
                path, {f"{name}_blocks": ("U8", blocks.shape, blocks), f"{name}_scales": ("U8", scales.shape, scales)}
            )
        else:
            x, name = x[0], "m.weight"
            make.safetensors(
                path,
                {
                    name: ("F4", x.shape, packed.packed),
                    "m.scale": ("F8_E8M0", packed.block_scale.shape, packed.block_scale),
                },
            )
    stored = np.ascontiguousarray(x.swapaxes(-1, -2)) if kind == "gpt-oss" else x
    write_safetensors(tmp_path / "f.safetensors", {name: stored})
    data = run_json("verify", path, "--against", tmp_path / "f.safetensors", "--spec", spec, "--json")
    assert [case["name"] for case in data["cases"]] == ([f"{name}[0]", f"{name}[1]"] if "experts" in kind else [name])
    assert sum(case["counts"]["codes"]["total"] for case in data["cases"]) == x.size
    assert ("other way round" in str(data["cases"][0]["notes"])) == (kind == "gpt-oss")


def test_given_takes_every_tensor_scale_as_stored(run, floats, tmp_path):
    out = converted(run, floats, tmp_path, "modelopt", "nvfp4@modelopt")
    result = run("verify", out, "--against", floats, "--spec", "nvfp4@modelopt@ts:given")
    assert result.exit_code == 0, result.stdout
    assert "tensor scale" not in result.stdout.split("OK:")[1]


def test_errors(run, floats, tmp_path):
    out = converted(run, floats, tmp_path, "modelopt")
    other = tmp_path / "other.safetensors"
    write_safetensors(other, {"another.weight": np.ones((4, 64), np.float32)})
    small = tmp_path / "small.safetensors"
    write_safetensors(small, {DOWN: np.ones((4, 64), np.float32)})
    filled = tmp_path / "nan.safetensors"
    write_safetensors(filled, {DOWN: np.full((32, 128), np.nan, np.float32)})
    for args, code in (
        ([out, "--against", other, "--spec", "nvfp4"], 5),
        ([floats, "--against", floats, "--spec", "nvfp4"], 5),
        ([out, "--against", floats, "--spec", "mxfp4"], 5),
        ([out, "--against", small, "--spec", "nvfp4"], 3),
        ([out, "--against", filled, "--spec", "nvfp4"], 3),
        ([out, "--against", tmp_path / "gone.safetensors", "--spec", "nvfp4"], 3),
        ([tmp_path / "gone", "--against", floats, "--spec", "nvfp4"], 3),
        ([out, "--against", floats, "--spec", "nvfp4@ts:row"], 2),
        ([out, "--against", floats, "--spec", "nvfp4+rht"], 2),
        ([out, "--against", floats, "--spec", "nvfp4", "--axis", "0"], 2),
        ([out, "--against", floats, "--spec", "nvfp4", "--mutations"], 2),
        ([out, "--against", floats, "--spec", "nvfp4", "--junit", floats], 2),
    ):
        result = run("verify", *args)
        assert result.exit_code == code, (args, result.output)
        assert result.stderr.count("\n") == 1, result.stderr
        assert result.stdout == ""


def test_a_checkpoint_without_floats_and_floats_that_were_quantized(run, floats, tmp_path):
    out = converted(run, floats, tmp_path, "compressed-tensors")
    for path in (out, out / "model.safetensors"):
        result = run("verify", path, "--spec", "nvfp4")
        assert result.exit_code == 3
        assert "--against" in result.stderr
        assert result.stderr.count("\n") == 1
    result = run("verify", out, "--against", out, "--spec", "nvfp4", "--identify")
    assert "Identified over 2 cases: all are reproduced exactly by nvfp4," in result.stdout
    assert "the floats were dequantized from NVFP4" in " ".join(result.stdout.split())
