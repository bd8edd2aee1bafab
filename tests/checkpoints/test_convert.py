"""``fp4sim convert``: what is written is found, clean, and has the values it should."""

from __future__ import annotations

import json

import ml_dtypes
import numpy as np
import pytest

import fp4sim
from fp4sim.checkpoints.checkpoint import open_checkpoint, open_tensors
from fp4sim.commands.lint_checkpoint import lint_checkpoint
from fp4sim.io.source import open_source
from fp4sim.io.writer import write_safetensors
from tests.checkpoints import make

LAYER = "model.layers.0."
TARGETS = ("compressed-tensors", "modelopt")


def arrays():
    rng = np.random.default_rng(3)
    shapes = {"self_attn.q_proj": 0.02, "self_attn.k_proj": 0.05, "self_attn.v_proj": 0.01, "mlp.down_proj": 0.03}
    made = {f"{LAYER}{name}.weight": rng.standard_normal((16, 64)) * size for name, size in shapes.items()}
    made |= {"lm_head.weight": rng.standard_normal((8, 64)), "model.norm.weight": np.ones(64)}
    return {name: array.astype(ml_dtypes.bfloat16) for name, array in made.items()}


@pytest.fixture
def floats(tmp_path):
    where = tmp_path / "floats"
    where.mkdir()
    write_safetensors(where / "model.safetensors", arrays())
    (where / "config.json").write_text(json.dumps({"model_type": "llama", "vocab_size": 8}))
    return where


def decoded(path):
    with open_tensors(path) as source:
        return {tensor.info.name: tensor.read_all() for tensor in source.tensors()}


def raw(path):
    with open_source(path) as source:
        return {tensor.info.name: tensor.read_all() for tensor in source.tensors()}


@pytest.mark.parametrize("spec", ["nvfp4", "mxfp4", "mxfp4@even"])
@pytest.mark.parametrize("target", TARGETS)
def test_floats_to_a_layout_and_back(tmp_path, run, run_json, floats, target, spec):
    out = tmp_path / "out"
    result = run("convert", floats, out, "--to", target, "--spec", spec)
    assert result.exit_code == 0, result.stderr
    fmt = spec.partition("@")[0].upper()
    data = run_json("inspect", out)
    assert [(group["layout"], group["format"], group["weights"]) for group in data["groups"]] == [(target, fmt, 4)]
    assert data["unquantized"] == ["lm_head.weight"]
    assert run("lint", out, "--fail-on", "warning").exit_code == 0, run("lint", out).stdout
    values = decoded(out)
    assert values["lm_head.weight"].tobytes() == arrays()["lm_head.weight"].tobytes()
    own = fp4sim.quantize(arrays()[f"{LAYER}mlp.down_proj.weight"], spec).dequantize()
    exact = target == "modelopt" or fmt == "MXFP4"
    np.testing.assert_allclose(values[f"{LAYER}mlp.down_proj.weight"], own, rtol=0 if exact else 2**-22)
    config = json.loads((out / "config.json").read_text())
    assert config["model_type"] == "llama"
    assert config["quantization_config"]["ignore"] == ["lm_head"]


@pytest.mark.parametrize("target", TARGETS)
def test_fused_weights_share_the_largest_tensor_scale(tmp_path, run, floats, target):
    assert run("convert", floats, tmp_path / "out", "--to", target, "--spec", "nvfp4").exit_code == 0
    with open_checkpoint(tmp_path / "out") as checkpoint:
        scales = {weight.name.split(".")[-2]: float(weight.globals[0]) for weight in checkpoint.found.weights}
    assert scales["q_proj"] == scales["k_proj"] == scales["v_proj"] != scales["down_proj"]
    alone = fp4sim.quantize(arrays()[f"{LAYER}self_attn.k_proj.weight"], "nvfp4").tensor_scale
    assert scales["k_proj"] == (float(alone) if target == "modelopt" else float(np.float32(1) / alone))
    name = f"{LAYER}self_attn.q_proj.weight"
    error = decoded(tmp_path / "out")[name] - arrays()[name].astype(np.float32)
    assert np.abs(error).max() < 0.2 * 0.02 * 4


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("spec", ["nvfp4", "mxfp4"])
def test_packed_files_keep_their_bits(tmp_path, run, floats, target, spec):
    packed = tmp_path / "packed.safetensors"
    include = f"{LAYER}*_proj.weight"
    assert run("quantize", floats, packed, "-f", spec, "--include", include).exit_code == 0
    result = run("convert", packed, tmp_path / "out", "--to", target)
    assert result.exit_code == 0, result.stderr
    loaded, written = fp4sim.load(packed), raw(tmp_path / "out")
    codes = ".weight_packed" if target == "compressed-tensors" else ".weight"
    for name, one in loaded.items():
        module = name.removesuffix(".weight")
        assert np.array_equal(written[module + codes], one.packed)
        assert np.array_equal(written[f"{module}.weight_scale"].view(np.uint8), one.block_scale)
    if target == "modelopt":
        values = decoded(tmp_path / "out")
        assert all(np.array_equal(values[name], one.dequantize()) for name, one in loaded.items())


def test_from_one_layout_to_the_other(tmp_path, run):
    tensors, expected = make.compressed_tensors("m.q")
    where = make.folder(tmp_path, tensors, make.CT_CONFIG)
    assert run("convert", where, tmp_path / "mo", "--to", "modelopt").exit_code == 0
    assert run("convert", tmp_path / "mo", tmp_path / "ct", "--to", "compressed-tensors").exit_code == 0
    there = raw(tmp_path / "mo")
    assert there["m.q.weight"].tobytes() == tensors["m.q.weight_packed"][2].tobytes()
    assert float(there["m.q.weight_scale_2"]) == np.float32(1 / 40000)
    np.testing.assert_allclose(decoded(tmp_path / "mo")["m.q.weight"], expected, rtol=2**-22)
    np.testing.assert_allclose(decoded(tmp_path / "ct")["m.q.weight"], expected, rtol=2**-22)


@pytest.mark.parametrize("source", ["gguf", "gpt-oss"])
def test_stacks_of_experts_go_to_modelopt_alone(tmp_path, run, source):
    if source == "gpt-oss":
        tensors, expected = make.gpt_oss("m.experts.down_proj")
        where, name = make.folder(tmp_path, tensors), "m.experts.down_proj"
    else:
        tensors, values = make.gguf_tensors()
        name = "blk.0.ffn_down_exps.weight"
        where, expected = tmp_path / "m.gguf", values[name]
        where.write_bytes(make.gguf({key: t for key, t in tensors.items() if "exps" in key or "norm" in key}))
    assert run("convert", where, tmp_path / "mo", "--to", "modelopt").exit_code == 0
    assert np.array_equal(decoded(tmp_path / "mo")[name], expected)
    result = run("convert", where, tmp_path / "ct", "--to", "compressed-tensors")
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["--to", "modelopt"], 2, "--spec"),
        (["--to", "modelopt", "--spec", "e2m1/16@ufp32"], 2, ""),
        (["--to", "modelopt", "--spec", "nvfp4+rht"], 2, "no place"),
        (["--to", "modelopt", "--spec", "e2m1/64@e8m0"], 2, "no place"),
        (["--to", "modelopt", "--spec", "nvfp4@ts:row"], 2, "no place"),
        (["--to", "modelopt", "--spec", "nvfp4", "--include", "nothing"], 5, "nothing"),
        (["--to", "gguf", "--spec", "nvfp4"], 2, "gguf"),
    ],
)
def test_refusals(tmp_path, run, floats, args, code, says):
    result = run("convert", floats, tmp_path / "out", *args)
    assert result.exit_code == code, result.stderr
    assert says in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"floats"}


def test_odd_rows_are_refused_by_name(tmp_path, run):
    make.safetensors(tmp_path / "f.safetensors", {"m.weight": ("F32", (2, 20), make.f32(*range(40)))})
    result = run("convert", tmp_path / "f.safetensors", tmp_path / "out", "--to", "modelopt", "--spec", "nvfp4")
    assert result.exit_code == 2
    assert "m.weight" in result.stderr
    assert "rows of 20" in result.stderr


def test_the_target_must_be_new(tmp_path, run, floats):
    (tmp_path / "out").mkdir()
    args = (floats, tmp_path / "out", "--to", "modelopt", "--spec", "nvfp4")
    assert run("convert", *args).exit_code == 0  # an empty folder is taken
    before = (tmp_path / "out" / "model.safetensors").read_bytes()
    assert run("convert", *args).exit_code == 2
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == before
    assert run("convert", floats, tmp_path / "a" / "b", "--to", "modelopt", "--spec", "nvfp4").exit_code == 2


def test_equal_input_gives_equal_bytes(tmp_path, run, floats):
    for name in ("a", "b"):
        assert run("convert", floats, tmp_path / name, "--to", "modelopt", "--spec", "nvfp4").exit_code == 0
    for file in ("model.safetensors", "config.json", "hf_quant_config.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_all_zero_members_of_a_fused_group(tmp_path):
    rng = np.random.default_rng(1)
    made = {"m.gate_proj.weight": rng.standard_normal((4, 64)), "m.up_proj.weight": np.zeros((4, 64))}
    write_safetensors(tmp_path / "f.safetensors", {name: array.astype(np.float32) for name, array in made.items()})
    from fp4sim.commands.convert_checkpoint import Selection, convert_checkpoint

    convert_checkpoint(tmp_path / "f.safetensors", tmp_path / "out", "modelopt", Selection(fp4sim.parse("nvfp4")))
    assert not lint_checkpoint(tmp_path / "out").fails("warning")
    values = decoded(tmp_path / "out")
    assert not values["m.up_proj.weight"].any()
    own = fp4sim.quantize(made["m.gate_proj.weight"].astype(np.float32), "nvfp4").dequantize()
    assert np.array_equal(values["m.gate_proj.weight"], own)
