"""Damaged checkpoints: one line and exit code 3, or a correct reading, whatever they hold."""

from __future__ import annotations

import json
import struct
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fp4sim.checkpoints.checkpoint import open_checkpoint
from fp4sim.checkpoints.config import read_config
from fp4sim.commands.inspect_checkpoint import inspect_checkpoint
from fp4sim.commands.lint_checkpoint import lint_checkpoint
from fp4sim.errors import Fp4simError, NothingComparedError, UnreadableError
from tests.checkpoints import make

GGUF = make.gguf(make.gguf_tensors()[0])
ONE = {"w.weight": (39, (2, 32), bytes(34))}


def refused(path, data):
    path.write_bytes(data)
    with pytest.raises(UnreadableError) as caught:
        open_checkpoint(path)
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 600
    return message


@pytest.mark.parametrize("length", [*range(0, 400, 7), len(GGUF) - 1, len(GGUF) - 400])
def test_truncated_gguf(tmp_path, length):
    refused(tmp_path / "m.gguf", GGUF[:length])


def counted(tensors, pairs):
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, pairs)


def entry(name="w", axes=(32, 2), kind=39, offset=0):
    return make.string(name) + struct.pack(f"<I{len(axes)}QIQ", len(axes), *axes, kind, offset)


WRONG = {
    "another magic": b"GGML" + GGUF[4:],
    "version 1": b"GGUF" + struct.pack("<I", 1) + GGUF[8:],
    "version 4": b"GGUF" + struct.pack("<I", 4) + GGUF[8:],
    "big-endian": b"GGUF" + struct.pack(">I", 3) + GGUF[8:],
    "more tensors than bytes": counted(1 << 63, 0) + bytes(64),
    "more metadata than bytes": counted(0, (1 << 64) - 1) + bytes(64),
    "an endless key": counted(0, 1) + struct.pack("<Q", 1 << 62) + bytes(64),
    "a key that is no text": counted(0, 1) + struct.pack("<Q", 2) + b"\xff\xfe" + bytes(64),
    "an endless string": counted(0, 1) + make.string("k") + struct.pack("<IQ", 8, 1 << 60) + bytes(64),
    "an endless array": counted(0, 1) + make.string("k") + struct.pack("<IIQ", 9, 4, 1 << 62) + bytes(64),
    "an array of arrays": counted(0, 1) + make.string("k") + struct.pack("<IIQ", 9, 9, 1) + bytes(64),
    "an unknown value type": counted(0, 1) + make.string("k") + struct.pack("<I", 13) + bytes(64),
    "a key twice": counted(0, 2) + 2 * (make.string("k") + struct.pack("<IB", 0, 1)) + bytes(64),
    "alignment 0": make.gguf(ONE, alignment=32).replace(struct.pack("<II", 4, 32), struct.pack("<II", 4, 0), 1),
    "alignment 33": make.gguf(ONE, alignment=32).replace(struct.pack("<II", 4, 32), struct.pack("<II", 4, 33), 1),
    "no axes": counted(1, 0) + entry(axes=()) + bytes(64),
    "five axes": counted(1, 0) + entry(axes=(32, 1, 1, 1, 1)) + bytes(64),
    "an empty axis": counted(1, 0) + entry(axes=(32, 0)) + bytes(64),
    "a shape too large": counted(1, 0) + entry(axes=(1 << 40, 1 << 40)) + bytes(64),
    "a shape that overflows": counted(1, 0) + entry(axes=(1 << 63, 2)) + bytes(64),
    "half a block": counted(1, 0) + entry(axes=(33, 2)) + bytes(256),
    "an offset beyond the end": counted(1, 0) + entry(offset=1 << 40) + bytes(256),
    "an offset that overflows": counted(1, 0) + entry(offset=(1 << 64) - 32) + bytes(256),
    "a crooked offset": counted(1, 0) + entry(offset=1) + bytes(256),
    "a name twice": counted(2, 0) + entry() + entry(offset=64) + bytes(256),
    "overlapping tensors": counted(2, 0) + entry() + entry(name="v", offset=32) + bytes(256),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_gguf(tmp_path, case):
    refused(tmp_path / "m.gguf", WRONG[case])


@settings(max_examples=150)
@given(place=st.integers(0, 420), byte=st.integers(0, 255))
def test_any_byte_of_a_gguf_header(tmp_path_factory, place, byte):
    path = tmp_path_factory.mktemp("gguf") / "m.gguf"
    path.write_bytes(GGUF[:place] + bytes([byte]) + GGUF[place + 1 :])
    with suppress(Fp4simError):
        lint_checkpoint(path)


SHAPES = [(), (0,), (1,), (6, 48), (48, 6), (6, 3), (3, 6, 16), (6, 0), (2, 3, 16)]
DTYPES = {"U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E8M0": 1, "F32": 4, "BF16": 2}


@settings(max_examples=200)
@given(st.data())
def test_any_tensors_under_the_names_of_a_layout(tmp_path_factory, data):
    names = [
        ".weight",
        ".weight_packed",
        ".weight_scale",
        ".weight_global_scale",
        ".weight_scale_2",
        "_blocks",
        "_scales",
    ]
    tensors = {}
    for name in data.draw(st.lists(st.sampled_from(names), min_size=1, unique=True)):
        dtype, shape = data.draw(st.sampled_from(sorted(DTYPES))), data.draw(st.sampled_from(SHAPES))
        tensors[f"m{name}"] = (dtype, shape, bytes(DTYPES[dtype] * int(np.prod(shape))))
    path = make.safetensors(tmp_path_factory.mktemp("st") / "m.safetensors", tensors)
    try:
        inspect_checkpoint(path)
        lint_checkpoint(path)
    except NothingComparedError:
        return


CONFIGS = [None, [], 1, "x", {"quantization_config": None}, {"quantization_config": []}]
CONFIGS += [
    {"quantization_config": {"quant_method": 3, "format": {}, "config_groups": [1], "ignore": "x", "group_size": "16"}},
    {"quantization_config": {"config_groups": {"a": 1, "b": {"weights": 2}, "c": {"weights": {"num_bits": 4}}}}},
    {"quantization_config": {"ignore": [1, None, {}], "group_size": True, "quant_algo": ["NVFP4"]}},
]


@pytest.mark.parametrize("document", CONFIGS)
def test_configurations_of_any_form(tmp_path, document):
    where = make.folder(tmp_path, make.compressed_tensors("m.q")[0], document)
    (where / "hf_quant_config.json").write_text(json.dumps(document))
    config = read_config(where)
    assert not config.group_sizes
    assert all(line.isprintable() for line in config.evidence())
    assert inspect_checkpoint(where).groups[0].layout == "compressed-tensors"


def test_an_undecodable_weight_is_named_and_skipped(tmp_path, run):
    tensors = make.compressed_tensors("m.q")[0] | make.compressed_tensors("m.k")[0]
    tensors["m.q.weight_scale"] = ("F8_E4M3", (1, 1), b"\x40")
    where = make.folder(tmp_path, tensors)
    assert "m.q.weight_scale: shape [1, 1]" in " ".join(run("inspect", where).stdout.split())
    result = run("convert", where, tmp_path / "out", "--to", "modelopt")
    assert result.exit_code == 3
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()
