"""Every layout: what is found, what it means, and its values bit for bit."""

from __future__ import annotations

import json

import numpy as np
import pytest

import fp4sim
from fp4sim.checkpoints.checkpoint import open_checkpoint, open_tensors
from tests.checkpoints import make

GGUF_TENSORS, GGUF_VALUES = make.gguf_tensors()


def stacked(name):
    """ModelOpt's stack of experts: a scale for each."""
    c, s = make.drawn(4, "e4m3", (3, make.ROWS, make.LENGTH))
    factors = np.array([1e-5, 2e-5, 7e-5], np.float32)
    tensors = {
        name: ("U8", (3, make.ROWS, make.LENGTH // 2), make.pairs(c)),
        f"{name}_weight_scale": ("F8_E4M3", s.shape, s),
        f"{name}_weight_scale_2": ("F32", (3,), factors),
    }
    return tensors, make.values(c, s, "e4m3", factors.astype(np.float64)[:, None, None])


CASES = {
    "compressed-tensors NVFP4": ("m.q.weight", make.compressed_tensors("m.q"), "divisor"),
    "compressed-tensors MXFP4": ("m.q.weight", make.compressed_tensors("m.q", kind="e8m0"), "none"),
    "modelopt NVFP4": ("m.q.weight", make.modelopt("m.q"), "multiplier"),
    "modelopt MXFP4": ("m.q.weight", make.modelopt("m.q", kind="e8m0"), "none"),
    "modelopt  NVFP4": ("m.experts.up", stacked("m.experts.up"), "multiplier"),
    "gpt-oss MXFP4": ("m.experts.down_proj", make.gpt_oss("m.experts.down_proj"), "none"),
    "gpt-oss  MXFP4": ("block.1.mlp.mlp1_weight", make.gpt_oss("block.1.mlp.mlp1_weight", mark="."), "none"),
    "native-f4 MXFP4": ("m.w1.weight", make.native("m.w1"), "none"),
    "native-f4 NVFP4": ("m.w1.weight", make.native("m.w1", kind="e4m3"), "none"),
    "native-f4  MXFP4": ("m.w1.weight", make.native("m.w1", dtype="I8"), "none"),
}


@pytest.mark.parametrize("case", CASES)
def test_values_and_meaning(tmp_path, case):
    layout, fmt = case.split()
    name, (tensors, expected), convention = CASES[case]
    path = make.safetensors(tmp_path / "m.safetensors", {**make.bf16("m.norm.weight", (4,)), **tensors})
    with open_checkpoint(path) as checkpoint:
        (weight,) = checkpoint.found.weights
        assert (weight.name, weight.layout, weight.format) == (name, layout, fmt)
        assert (weight.convention, weight.shape) == (convention, expected.shape)
        assert weight.dequantize(0, weight.rows).tobytes() == expected.tobytes()
        assert "m.norm.weight" in {tensor.info.name for tensor in checkpoint.others}


def test_gguf_values(tmp_path):
    path = tmp_path / "m.gguf"
    path.write_bytes(make.gguf(GGUF_TENSORS))
    with open_checkpoint(path) as checkpoint:
        assert [weight.format for weight in checkpoint.found.weights] == ["MXFP4", "NVFP4"]
        for weight in checkpoint.found.weights:
            values = weight.dequantize(0, weight.rows).reshape(weight.shape)
            assert values.tobytes() == GGUF_VALUES[weight.name].tobytes()
        plain = {tensor.info.name: tensor for tensor in checkpoint.others}
        assert np.array_equal(plain["blk.0.attn_norm.weight"].read_all(), np.arange(64, dtype=np.float32))
        assert plain["output.weight"].info.dtype == "gguf Q4_K"


@pytest.mark.parametrize("name", ["blk.0.ffn_gate.scale", "blk.0.ffn_gate.weight.scale"])
def test_both_names_of_a_gguf_scale(tmp_path, name):
    c, s = make.drawn(2, "e4m3", (4, 64))
    tensors = {"blk.0.ffn_gate.weight": (40, (4, 64), make.gguf_nvfp4(c, s)), name: (0, (1,), make.f32(0.5))}
    (tmp_path / "m.gguf").write_bytes(make.gguf(tensors))
    with open_checkpoint(tmp_path / "m.gguf") as checkpoint:
        (weight,) = checkpoint.found.weights
        assert np.array_equal(weight.dequantize(0, 4), make.values(c, s, "e4m3", 0.5))


@pytest.mark.parametrize("kind", ["swizzled", "linear"])
def test_padded_scale_matrices(tmp_path, kind):
    c, s = make.drawn(5, "e4m3", (130, 96))
    padded = np.zeros((256, 8), np.uint8)
    padded[:130, :6] = s
    if kind == "swizzled":  # tiles of 128 x 4: 32 rows of 4 groups of 4 bytes
        padded = padded.reshape(2, 4, 32, 2, 4).transpose(0, 3, 2, 1, 4).reshape(256, 8)
    tensors, _ = make.modelopt("w", shape=(130, 96))
    tensors["w.weight"] = ("U8", (130, 48), make.pairs(c))
    tensors["w.weight_scale"] = ("F8_E4M3", (256, 8), padded)
    with open_checkpoint(make.safetensors(tmp_path / "m.safetensors", tensors)) as checkpoint:
        (weight,) = checkpoint.found.weights
        assert weight.blocks.arrangement.startswith(kind)
        assert not weight.blocks.padding().size
        assert np.array_equal(weight.dequantize(0, 130), make.values(c, s, "e4m3", np.float32(3e-5)))


@pytest.mark.parametrize("case", ["compressed-tensors NVFP4", "modelopt  NVFP4"])
def test_ranges_of_a_decoded_tensor(tmp_path, case):
    name, (tensors, expected), _ = CASES[case]
    with open_tensors(make.safetensors(tmp_path / "m.safetensors", tensors)) as source:
        (tensor,) = source.tensors()
        assert (tensor.info.name, tensor.info.dtype, tensor.info.shape) == (name, "float32", expected.shape)
        flat = expected.reshape(-1)
        for start, stop in [
            (0, 0),
            (0, 1),
            (5, 200),
            (95, 97),
            (96, 192),
            (100, flat.size),
            (flat.size - 300, flat.size),
            (0, flat.size),
        ]:
            assert np.array_equal(tensor.read(start, stop), flat[start:stop])


def test_scales_may_be_a_column(tmp_path):
    tensors, expected = make.modelopt("m.q", kind="e8m0")
    _, shape, raw = tensors["m.q.weight_scale"]
    tensors["m.q.weight_scale"] = ("U8", (shape[0] * shape[1], 1), raw)
    with open_tensors(make.safetensors(tmp_path / "m.safetensors", tensors)) as source:
        assert np.array_equal(source.tensors()[0].read_all(), expected)


def test_a_dtype_switches_decoding_off(tmp_path):
    tensors, _ = make.compressed_tensors("m.q")
    path = make.safetensors(tmp_path / "m.safetensors", tensors)
    with open_tensors(path, dtype="float4_e2m1fn_x2") as source:
        assert "m.q.weight_packed" in {tensor.info.name for tensor in source.tensors()}


def test_int4_of_compressed_tensors_is_not_taken_for_fp4(tmp_path):
    tensors = {
        "m.weight_packed": ("I32", (4, 4), np.zeros((4, 4), "<i4")),
        "m.weight_scale": ("BF16", (4, 1), np.zeros((4, 1), "<u2")),
    }
    with open_checkpoint(make.safetensors(tmp_path / "m.safetensors", tensors)) as checkpoint:
        assert not checkpoint.by_layout


def test_layouts_may_be_mixed(tmp_path):
    tensors = make.compressed_tensors("a")[0] | make.modelopt("b", kind="e8m0")[0] | make.gpt_oss("c")[0]
    with open_checkpoint(make.safetensors(tmp_path / "m.safetensors", tensors)) as checkpoint:
        assert set(checkpoint.by_layout) == {"compressed-tensors", "modelopt", "gpt-oss"}


def test_compare_reads_a_checkpoint(tmp_path, run_json):
    tensors, expected = make.compressed_tensors("m.q")
    where = make.folder(tmp_path, {**tensors, **make.bf16("lm_head.weight", (4, 32))}, make.CT_CONFIG)
    np.save(tmp_path / "plain.npy", expected)
    result = run_json("compare", where, "--formats", "nvfp4,mxfp4")
    row = {tensor["name"]: tensor for tensor in result["tensors"]}["m.q.weight"]
    plain = run_json("compare", tmp_path / "plain.npy", "--formats", "nvfp4,mxfp4")["tensors"][0]
    assert row["results"] == plain["results"]
    assert row["notes"] == ["dequantized from NVFP4 (compressed-tensors)"]


def test_the_parts_of_a_weight_may_lie_in_different_shards(tmp_path):
    tensors, expected = make.compressed_tensors("m.q")
    for i, name in enumerate(tensors):
        make.safetensors(tmp_path / f"model-{i}.safetensors", {name: tensors[name]})
    weight_map = {name: f"model-{i}.safetensors" for i, name in enumerate(tensors)}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    with open_tensors(tmp_path) as source:
        assert [tensor.info.name for tensor in source.tensors()] == ["m.q.weight"]
        assert np.array_equal(source.tensors()[0].read_all(), expected)


def test_compare_of_the_library_reads_a_checkpoint_and_skips_what_it_cannot(tmp_path):
    tensors = make.modelopt("m.q")[0] | make.modelopt("m.k")[0]
    tensors["m.k.weight_scale"] = ("F8_E4M3", (1, 1), b"\x40")
    result = fp4sim.compare(make.folder(tmp_path, tensors), "nvfp4")
    assert [row.name for row in result.tensors] == ["m.q.weight"]
    assert any("lint" in skipped.reason for skipped in result.skipped)
