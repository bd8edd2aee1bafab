"""The ecosystems' own packages, where they are installed: the same values from the same bytes."""

from __future__ import annotations

import numpy as np
import pytest

from fp4sim.checkpoints.checkpoint import open_checkpoint
from fp4sim.checkpoints.encodings import GGML_E8M0, GGML_UE4M3
from tests.checkpoints import make

OPTIONAL = {"reason": "an optional oracle: pip install --no-deps gguf compressed-tensors", "exc_type": ImportError}


@pytest.mark.parametrize("kind", ["MXFP4", "NVFP4"])
def test_gguf_decodes_every_scale_byte_alike(tmp_path, kind):
    quants = pytest.importorskip("gguf.quants", **OPTIONAL)
    gguf = pytest.importorskip("gguf", **OPTIONAL)
    rng = np.random.default_rng(8)
    scales = np.arange(256, dtype=np.uint8).reshape(-1, 4)
    length = 128 if kind == "MXFP4" else 64
    codes = rng.integers(0, 16, (len(scales), length)).astype(np.uint8)
    pack = make.gguf_mxfp4 if kind == "MXFP4" else make.gguf_nvfp4
    data = pack(codes, scales)
    number = 39 if kind == "MXFP4" else 40
    path = tmp_path / "m.gguf"
    path.write_bytes(make.gguf({"w": (number, codes.shape, data)}))
    raw = np.frombuffer(data, np.uint8).reshape(len(scales), -1)
    with np.errstate(over="ignore"):
        expected = quants.dequantize(raw, getattr(gguf.GGMLQuantizationType, kind))
    with open_checkpoint(path) as checkpoint:
        (weight,) = checkpoint.found.weights
        assert weight.encoding is (GGML_E8M0 if kind == "MXFP4" else GGML_UE4M3)
        assert np.array_equal(weight.dequantize(0, weight.rows), expected.astype(np.float32))


def test_gguf_reads_what_the_tests_write(tmp_path):
    gguf = pytest.importorskip("gguf", **OPTIONAL)
    tensors, expected = make.gguf_tensors()
    path = tmp_path / "m.gguf"
    path.write_bytes(make.gguf(tensors))
    reader = gguf.GGUFReader(path)
    assert {t.name: tuple(int(n) for n in t.shape[::-1]) for t in reader.tensors} == {
        name: shape for name, (_, shape, _) in tensors.items()
    }
    up = next(t for t in reader.tensors if t.name == "blk.0.ffn_up.weight")
    assert np.array_equal(gguf.dequantize(up.data, up.tensor_type), expected["blk.0.ffn_up.weight"])


def test_gguf_files_of_its_own_writer_are_read(tmp_path):
    gguf = pytest.importorskip("gguf", **OPTIONAL)
    path = tmp_path / "m.gguf"
    values = np.random.default_rng(1).standard_normal((6, 64)).astype(np.float32)
    kind = gguf.GGMLQuantizationType.MXFP4
    raw = gguf.quantize(values, kind)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_array("tokenizer.ggml.tokens", ["a", "b"])
    writer.add_tensor("w.weight", raw, raw_dtype=kind)
    writer.add_tensor("norm", values[0])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with open_checkpoint(path) as checkpoint:
        (weight,) = checkpoint.found.weights
        assert weight.shape == (6, 64)
        assert np.array_equal(weight.dequantize(0, 6), gguf.dequantize(raw, kind))
        assert np.array_equal(checkpoint.others[0].read_all(), values[0])


@pytest.mark.parametrize("kind", ["e4m3", "e8m0"])
def test_compressed_tensors_decompresses_alike(tmp_path, kind):
    torch = pytest.importorskip("torch", reason="torch is an optional dependency")
    module = "nvfp4" if kind == "e4m3" else "mxfp4"
    pytest.importorskip("compressed_tensors", **OPTIONAL)
    compressors = pytest.importorskip(f"compressed_tensors.compressors.{module}.base", **OPTIONAL)
    quantization = pytest.importorskip("compressed_tensors.quantization", **OPTIONAL)
    compressor = getattr(compressors, f"{module.upper()}PackedCompressor")
    block, strategy = (16, "tensor_group") if kind == "e4m3" else (32, "group")
    args = quantization.QuantizationArgs(num_bits=4, type="float", strategy=strategy, group_size=block, symmetric=True)
    scheme = quantization.QuantizationScheme(targets=["Linear"], weights=args)
    tensors, _ = make.compressed_tensors("m.q", kind=kind)
    state = {}
    for name, (dtype, shape, raw) in tensors.items():
        array = np.frombuffer(raw if isinstance(raw, bytes) else raw.tobytes(), np.uint8).copy()
        tensor = torch.from_numpy(array).view(
            {"F8_E4M3": torch.float8_e4m3fn, "F32": torch.float32}.get(dtype, torch.uint8)
        )
        state[name.removeprefix("m.q.")] = tensor.reshape(shape)
    found = compressor.decompress(state, scheme)["weight"].to(torch.float32).numpy()
    with open_checkpoint(make.safetensors(tmp_path / "m.safetensors", tensors)) as checkpoint:
        (weight,) = checkpoint.found.weights
        # its arithmetic divides the scale first and rounds more than once
        np.testing.assert_allclose(weight.dequantize(0, weight.rows), found, rtol=2**-7)


def test_safetensors_reads_what_convert_writes(tmp_path, run):
    safe_open = pytest.importorskip("safetensors").safe_open
    tensors = make.compressed_tensors("m.q")[0]
    where = make.folder(tmp_path, tensors, make.CT_CONFIG)
    assert run("convert", where, tmp_path / "mo", "--to", "modelopt").exit_code == 0
    with safe_open(tmp_path / "mo" / "model.safetensors", "numpy") as file:
        assert set(file.keys()) == {"m.q.weight", "m.q.weight_scale", "m.q.weight_scale_2"}
        assert file.get_slice("m.q.weight_scale").get_dtype() == "F8_E4M3"
