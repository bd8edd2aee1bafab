"""Packed files that nobody vouches for: one line and exit code 3, whatever they hold."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fp4sim
from fp4sim.commands.pack import load_packed
from fp4sim.dialects import registry
from fp4sim.errors import UnreadableError
from fp4sim.io.writer import write_safetensors

PACKED = fp4sim.quantize(np.linspace(-3, 3, 96, dtype=np.float32).reshape(3, 32), "nvfp4")
ARRAYS = {f"x.{part}": getattr(PACKED, part) for part in ("packed", "block_scale", "tensor_scale")}
ENTRY = {"spec": str(PACKED.spec), "shape": [3, 32], "dtype": "float32", "axis": 1, "seed": None}
HEAD = {"schema": "fp4sim.packed/1", "BITS_VERSION": 1, "version": "0.1.0", "tensors": {"x": ENTRY}}

WRONG = [None, True, -1, 0.5, 7, 1 << 70, "x", "", [], {}, [[]], "\x1b[31m", [1] * 99]
SHAPES = [[3], [32, 3], [3, 33], [3, 0], [1 << 40, 1 << 40], [3, -32], [3, 32.0], ["3", 32], [True, 32], [1] * 33]


def write(path, head, arrays=ARRAYS):
    text = head if isinstance(head, str) else json.dumps(head)
    write_safetensors(path, arrays, {"fp4sim": text})
    return path


def refused(path):
    with pytest.raises(UnreadableError) as caught:
        load_packed(path)
    message = str(caught.value)
    assert message.isprintable(), message
    assert len(message) < 600
    return message


def test_the_template_itself_is_read(tmp_path):
    loaded = load_packed(write(tmp_path / "q.safetensors", HEAD))["x"]
    assert np.array_equal(loaded.dequantize(), PACKED.dequantize())


@pytest.mark.parametrize("key", ["schema", "tensors"])
@pytest.mark.parametrize("value", WRONG)
def test_wrong_heads(tmp_path, key, value):
    if (key, value) == ("tensors", {}):
        return  # a file of nothing is empty, not damaged
    refused(write(tmp_path / "q.safetensors", {**HEAD, key: value}))


@pytest.mark.parametrize("text", ["", "[]", "null", "{", "NaN", '{"schema": NaN}', "[" * 10000, '{"a":1,"a":2}'])
def test_heads_that_are_no_object(tmp_path, text):
    refused(write(tmp_path / "q.safetensors", text))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("spec", value) for value in [*WRONG, "mxfp4", "nvfp4+rht", "nvfp4+rht:16", "nvfp4+quest", "e2m1/32@e4m3"]),
        *(("shape", value) for value in [*WRONG, *SHAPES]),
        *(("dtype", value) for value in [*WRONG, "int64", "float31"]),
        *(("axis", value) for value in WRONG if value != 1),
        *(("axis", value) for value in (0, 2, -1)),
        *(("seed", value) for value in WRONG if value not in (None, 7)),
        *(("nonfinite", value) for value in WRONG if value != 7),
    ],
)
def test_wrong_entries(tmp_path, key, value):
    refused(write(tmp_path / "q.safetensors", {**HEAD, "tensors": {"x": {**ENTRY, key: value}}}))


def test_a_dialect_of_another_version(tmp_path, monkeypatch):
    monkeypatch.delitem(registry._MODULES, "quartet2")
    entry = {**ENTRY, "spec": "nvfp4@quartet2"}
    assert "not in this version" in refused(write(tmp_path / "q.safetensors", {**HEAD, "tensors": {"x": entry}}))


@pytest.mark.parametrize("key", ["spec", "shape", "dtype", "axis"])
def test_missing_facts(tmp_path, key):
    entry = {name: value for name, value in ENTRY.items() if name != key}
    refused(write(tmp_path / "q.safetensors", {**HEAD, "tensors": {"x": entry}}))


@pytest.mark.parametrize("part", list(ARRAYS))
def test_wrong_parts(tmp_path, part):
    array = ARRAYS[part]
    path = tmp_path / "q.safetensors"
    assert part in refused(write(path, HEAD, {name: value for name, value in ARRAYS.items() if name != part}))
    for wrong in (np.zeros((3, 5), array.dtype), np.zeros(array.shape, np.int64), np.zeros((0,), array.dtype)):
        refused(write(path, HEAD, {**ARRAYS, part: wrong}))


def test_scale_codes_that_do_not_exist(tmp_path):
    scales = ARRAYS["x.block_scale"].copy()
    scales[0, 0] |= 0x80
    assert "codes" in refused(write(tmp_path / "q.safetensors", HEAD, {**ARRAYS, "x.block_scale": scales}))


def test_a_name_that_is_both_packed_and_plain(tmp_path):
    refused(write(tmp_path / "q.safetensors", HEAD, {**ARRAYS, "x": np.zeros(3, np.float32)}))


def test_a_file_without_metadata(tmp_path):
    write_safetensors(tmp_path / "q.safetensors", ARRAYS)
    assert "not a file of fp4sim quantize" in refused(tmp_path / "q.safetensors")


def test_hostile_names_in_messages(run, tmp_path):
    name = "\x1b[31m<b>" + "n" * 5000
    path = write(tmp_path / "q.safetensors", {**HEAD, "tensors": {name: ENTRY}})
    refused(path)
    result = run("dequantize", path, tmp_path / "v.safetensors")
    assert result.exit_code == 3
    assert "\x1b" not in result.stderr
    assert result.stderr.count("\n") == 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from([*ENTRY, "nonfinite"]), json_values, max_size=3), st.booleans())
def test_fuzzed_metadata_is_read_or_refused(tmp_path, changes, whole):
    entry = changes if whole else {**ENTRY, **changes}
    path = write(tmp_path / "q.safetensors", {**HEAD, "tensors": {"x": entry}})
    try:
        loaded = load_packed(path)["x"]
    except UnreadableError:
        refused(path)
    else:
        assert loaded.dequantize().shape == loaded.shape
