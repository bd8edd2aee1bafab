"""Damaged files of every format: a correct reading or one Fp4simError, within bounded memory."""

import io
import json
import tracemalloc

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fp4sim.errors import Fp4simError, UnreadableError
from fp4sim.io.source import open_source
from fp4sim.io.writer import write_safetensors

SMALL = np.arange(12, dtype=np.float32).reshape(3, 4)
# the largest file here is 4 kB; zip and JSON machinery takes the rest
MEMORY = 4 << 20


def saved(function, *args, **kwargs):
    buffer = io.BytesIO()
    function(buffer, *args, **kwargs)
    return buffer.getvalue()


def originals(scratch, kind):
    """The bytes of a sound file, and the suffix to give it."""
    if kind == "npy":
        return saved(np.save, SMALL)
    if kind == "fortran.npy":
        return saved(np.save, np.asfortranarray(SMALL.astype(">f8")))
    if kind == "npz":
        return saved(np.savez, a=SMALL, b=SMALL[0])
    if kind == "deflated.npz":
        return saved(np.savez_compressed, a=np.zeros(500), b=np.asfortranarray(SMALL))
    if kind == "safetensors":
        path = scratch / "original.safetensors"
        arrays = {"w": SMALL, "f4": SMALL.astype(ml_dtypes.float4_e2m1fn), "b": SMALL > 3}
        write_safetensors(path, arrays, {"format": "np"})
        return path.read_bytes()
    if kind == "safetensors.index.json":
        write_safetensors(scratch / "m-1.safetensors", {"w": SMALL})
        return json.dumps({"metadata": {"total_size": 48}, "weight_map": {"w": "m-1.safetensors"}}).encode()
    torch = pytest.importorskip("torch", reason="torch is an optional dependency")
    state = {"w": torch.from_numpy(SMALL.copy()), "n": [torch.ones(3, dtype=torch.bfloat16)]}
    return saved(lambda buffer: torch.save(state, buffer))


OWN = ["npy", "fortran.npy", "npz", "deflated.npz", "safetensors", "safetensors.index.json"]
KINDS = [*OWN, "pt"]


def attempt(path):
    """Read everything; what was read, or None where the file is refused as it should be."""
    try:
        with open_source(path) as source:
            read = []
            for tensor in source.tensors():
                values = tensor.read_all()
                assert values.shape == tensor.info.shape
                assert values.dtype.name == tensor.info.dtype
                read.append((tensor.info, values.tobytes()))
            return read
    except Fp4simError as error:
        message = str(error)
    assert message.isprintable()
    assert len(message) < 1500
    return None


def attempt_bounded(path):
    tracemalloc.start()
    try:
        read = attempt(path)
        assert tracemalloc.get_traced_memory()[1] < MEMORY
        return read
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", KINDS)
def test_the_sound_file_reads(kind, scratch):
    path = scratch / f"sound.{kind}"
    path.write_bytes(originals(scratch, kind))
    assert attempt_bounded(path)


@pytest.mark.parametrize("kind", OWN)
def test_cut_at_every_byte(kind, scratch):
    data = originals(scratch, kind)
    path = scratch / f"cut.{kind}"
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(UnreadableError):
            open_source(path)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=120, deadline=None)
@given(st.data())
def test_changed_bytes(scratch, kind, data):
    original = originals(scratch, kind)
    changed = bytearray(original)
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(changed) - 1))
        changed[position] = data.draw(st.integers(0, 255))
    path = scratch / f"changed.{kind}"
    path.write_bytes(changed)
    attempt_bounded(path)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_cut_repeated_and_inserted_pieces(scratch, kind, data):
    original = originals(scratch, kind)
    first, second = sorted(data.draw(st.tuples(*[st.integers(0, len(original))] * 2)))
    piece = data.draw(st.binary(max_size=40) | st.just(original[first:second]))
    path = scratch / f"pieces.{kind}"
    path.write_bytes(original[:first] + piece + original[second if data.draw(st.booleans()) else first :])
    attempt_bounded(path)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes(scratch, kind, data):
    if kind == "pt":
        pytest.importorskip("torch", reason="torch is an optional dependency")
    start = {"npy": b"\x93NUMPY\x01\x00\x40\x00{", "npz": b"PK\x03\x04"}.get(kind.rpartition(".")[2], b"")
    for content in (data, start + data):
        path = scratch / f"random.{kind}"
        path.write_bytes(content)
        attempt_bounded(path)


@pytest.mark.parametrize("kind", ["npz", "deflated.npz"])
def test_every_flipped_bit_of_an_archive_is_noticed_or_harmless(kind, scratch):
    data = originals(scratch, kind)
    path = scratch / f"flip.{kind}"
    path.write_bytes(data)
    sound = {info.name: raw for info, raw in attempt(path)}
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 1 << position % 8
        path.write_bytes(changed)
        for info, raw in attempt(path) or []:
            assert raw == sound.get(info.name, raw)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 1 << 66) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
entries = st.fixed_dictionaries(
    {},
    optional={
        "dtype": st.sampled_from(["F32", "F4", "U8", "BOOL", "F6_E2M3", "C64", "X"]) | json_values,
        "shape": st.lists(st.integers(-1, 5), max_size=3) | json_values,
        "data_offsets": st.lists(st.integers(-1, 16), min_size=2, max_size=2) | json_values,
    },
)
headers = st.dictionaries(st.sampled_from(["a", "b", "__metadata__"]) | st.text(max_size=3), entries | json_values)


@settings(max_examples=80, deadline=None)
@given(headers, st.integers(0, 16))
def test_any_json_as_a_safetensors_header(scratch, header, size):
    raw = json.dumps(header).encode()
    path = scratch / "json.safetensors"
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + bytes(size))
    attempt_bounded(path)


@settings(max_examples=60, deadline=None)
@given(json_values | st.dictionaries(st.just("weight_map"), json_values, min_size=1))
def test_any_json_as_an_index(scratch, document):
    path = scratch / "any.safetensors.index.json"
    path.write_text(json.dumps(document))
    attempt_bounded(path)
