"""``fp4sim inspect``: layout, convention and evidence by name."""

from __future__ import annotations

import pytest

from tests.checkpoints import make

Q = "model.layers.0.self_attn.q_proj"


@pytest.fixture
def compressed(tmp_path):
    tensors = {
        **make.compressed_tensors(Q)[0],
        **make.bf16("lm_head.weight", (4, 32)),
        **make.bf16("norm.weight", (4,)),
    }
    return make.folder(tmp_path, tensors, make.CT_CONFIG)


def test_compressed_tensors(compressed, run_json):
    data = run_json("inspect", compressed)
    assert data["schema"] == "fp4sim.inspect/1"
    (group,) = data["groups"]
    assert (group["layout"], group["format"], group["block"]) == ("compressed-tensors", "NVFP4", 16)
    assert (group["tensor_scale"], group["value"]) == ("divisor", "code × block scale / *.weight_global_scale")
    assert (group["scale"], group["scale_layout"], group["weights"]) == ("E4M3", "linear", 1)
    assert data["unquantized"] == ["lm_head.weight"]
    assert data["others"] == 1
    assert any("quant_method compressed-tensors" in line for line in data["evidence"])
    assert any("*.weight_packed uint8 + *.weight_scale float8_e4m3fn" in line for line in data["evidence"])
    assert data["weights"][0]["parts"]["global scale"] == f"{Q}.weight_global_scale"


def test_modelopt_by_tensors_alone_and_with_its_configuration(tmp_path, run_json):
    tensors = make.modelopt(Q)[0]
    plain = run_json("inspect", make.folder(tmp_path, tensors, name="plain"))
    named = run_json("inspect", make.folder(tmp_path, tensors, hf=make.HF_CONFIG, name="named"))
    assert plain["groups"] == named["groups"]
    assert plain["groups"][0]["value"] == "code × block scale × *.weight_scale_2"
    assert any("producer modelopt 0.41.0" in line for line in named["evidence"])


def test_quark_is_told_by_its_configuration(tmp_path, run_json):
    tensors = make.modelopt(Q, kind="e8m0")[0]
    data = run_json("inspect", make.folder(tmp_path, tensors, {"quantization_config": {"quant_method": "quark"}}))
    assert "Quark" in data["groups"][0]["title"]


@pytest.mark.parametrize("columns", ["60", "100"])
def test_it_fits(compressed, run, columns):
    result = run("inspect", compressed, "--verbose", env={"COLUMNS": columns})
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= int(columns)
    assert "divisor" in result.stdout


def test_gguf(tmp_path, run_json):
    (tmp_path / "m.gguf").write_bytes(make.gguf(make.gguf_tensors()[0]))
    data = run_json("inspect", tmp_path / "m.gguf")
    assert {(group["layout"], group["format"]) for group in data["groups"]} == {("gguf", "MXFP4"), ("gguf", "NVFP4")}
    assert all("half a block" in group["nibbles"] for group in data["groups"])


def test_nothing_quantized_is_exit_code_5(tmp_path, run):
    result = run("inspect", make.folder(tmp_path, make.bf16("w.weight", (4, 4))))
    assert result.exit_code == 5
    assert len(result.stderr.splitlines()) == 1
    assert run("lint", tmp_path / "model").exit_code == 5


def test_own_packed_files_say_what_they_are(tmp_path, run):
    make.safetensors(tmp_path / "f.safetensors", {"w": ("F32", (2, 16), make.f32(*range(32)))})
    assert run("quantize", tmp_path / "f.safetensors", tmp_path / "q.safetensors", "-f", "nvfp4").exit_code == 0
    result = run("inspect", tmp_path / "q.safetensors")
    assert result.exit_code == 2
    assert "fp4sim quantize" in result.stderr


def test_hostile_names_are_escaped(tmp_path, run):
    tensors = make.compressed_tensors("\x1b[31mred\n")[0]
    where = make.folder(tmp_path, tensors, {"quantization_config": {"quant_method": "\x1b[2J"}})
    for command in (["inspect", where, "--verbose"], ["lint", where], ["compare", where]):
        result = run(*command)
        assert "\x1b" not in result.stdout + result.stderr
