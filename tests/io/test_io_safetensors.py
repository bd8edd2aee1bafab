"""Reader and writer of safetensors against the safetensors package, hostile headers, and sharded models."""

import json

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fp4sim.errors import UnreadableError, UsageError
from fp4sim.io.dtypes import ELEMENT_TYPES, numpy_dtype
from fp4sim.io.source import open_source
from fp4sim.io.writer import write_safetensors

safetensors_numpy = pytest.importorskip("safetensors.numpy", reason="the safetensors package is a test dependency")

READABLE = [element for element in ELEMENT_TYPES if element.readable]


def random_array(name, shape, seed=0):
    dtype = numpy_dtype(name)
    codes = np.random.default_rng(seed).integers(0, 256, (*shape, dtype.itemsize), np.uint8)
    if name == "float4_e2m1fn":
        codes &= 0x0F
    if name == "bool":
        codes &= 1
    return codes.reshape(-1).view(dtype).reshape(shape)


def contents(path, **kwargs):
    with open_source(path, **kwargs) as source:
        return {tensor.info.name: tensor.read_all() for tensor in source.tensors()}


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_reads_what_the_safetensors_package_writes(scratch, data):
    dtypes = st.sampled_from(["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?"])
    names = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).filter(lambda name: name != "__metadata__")
    shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
    arrays = data.draw(st.dictionaries(names, hnp.arrays(dtypes, shapes), max_size=4))
    path = scratch / "package.safetensors"
    safetensors_numpy.save_file(arrays, path, metadata={"format": "np"})
    read = contents(path)
    assert set(read) == set(arrays)
    for name, array in arrays.items():
        assert read[name].dtype == array.dtype
        assert read[name].shape == array.shape
        assert read[name].tobytes() == array.tobytes()
    write_safetensors(path, arrays, {"format": "np"})
    again = safetensors_numpy.load_file(path)
    assert {name: array.tobytes() for name, array in again.items()} == {n: a.tobytes() for n, a in read.items()}


@pytest.mark.parametrize("element", READABLE, ids=lambda element: element.code)
def test_every_type_round_trips_and_ranges_match(element, tmp_path):
    path = tmp_path / "x.safetensors"
    array = random_array(element.name, (6, 5))
    write_safetensors(path, {"x": array})
    with open_source(path) as source:
        (tensor,) = source.tensors()
        assert (tensor.info.dtype, tensor.info.shape) == (element.name, (6, 5))
        whole = tensor.read_all()
        assert whole.dtype == array.dtype
        assert whole.tobytes() == array.tobytes()
        for start in range(31):
            for stop in range(start, 31, 3):
                assert tensor.read(start, stop).tobytes() == array.reshape(-1)[start:stop].tobytes()


def test_torch_written_types(tmp_path):
    torch = pytest.importorskip("torch", reason="torch is an optional dependency")
    save_file = pytest.importorskip("safetensors.torch").save_file
    path = tmp_path / "t.safetensors"
    codes = torch.arange(24, dtype=torch.uint8).reshape(4, 6) * 11
    names = ["bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"]
    tensors = {name: codes.view(getattr(torch, name)).clone() for name in names if hasattr(torch, name)}
    if hasattr(torch, "float4_e2m1fn_x2"):
        tensors["float4_e2m1fn"] = codes.clone().view(torch.float4_e2m1fn_x2)
    save_file(tensors, path)
    read = contents(path)
    for name in tensors:
        assert read[name].dtype.name == name
    for name in read.keys() - {"float4_e2m1fn"}:
        assert read[name].tobytes() == codes.numpy().tobytes()
    if "float4_e2m1fn" in read:
        packed = codes.numpy()
        assert read["float4_e2m1fn"].shape == (4, 12)
        assert np.array_equal(read["float4_e2m1fn"].view(np.uint8)[:, 0::2], packed & 15)
        assert np.array_equal(read["float4_e2m1fn"].view(np.uint8)[:, 1::2], packed >> 4)


def test_unsupported_types_are_listed_and_refused_on_read(raw_safetensors):
    header = {
        "six": {"dtype": "F6_E2M3", "shape": [4], "data_offsets": [0, 3]},
        "complex": {"dtype": "C64", "shape": [1], "data_offsets": [3, 11]},
        "fine": {"dtype": "U8", "shape": [1], "data_offsets": [11, 12]},
    }
    with open_source(raw_safetensors(header, bytes(12))) as source:
        six, other, fine = source.tensors()
        assert [six.info.dtype, other.info.dtype] == ["float6_e2m3fn", "complex64"]
        for tensor, code in ((six, "F6_E2M3"), (other, "C64")):
            with pytest.raises(UnreadableError, match=f"{code} are not read"):
                tensor.read_all()
        assert fine.read_all().tolist() == [0]


def test_metadata_and_order(raw_safetensors):
    header = {
        "b": {"dtype": "U8", "shape": [1], "data_offsets": [1, 2]},
        "__metadata__": {"format": "pt"},
        "a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]},
        "none": {"dtype": "F32", "shape": [0, 5], "data_offsets": [1, 1]},
    }
    with open_source(raw_safetensors(header, b"\x01\x02")) as source:
        assert [tensor.info.name for tensor in source.tensors()] == ["a", "none", "b"]
        assert source.metadata == {"format": "pt"}
        assert source.tensors()[1].read_all().shape == (0, 5)
    with open_source(raw_safetensors({})) as source:
        assert source.tensors() == []


# --- hostile headers ---


def one(**changes):
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    entry.update(changes)
    return {"w": {key: value for key, value in entry.items() if value is not ...}}


def pair(first, second):
    return {
        "a": {"dtype": "U8", "shape": [first[1] - first[0]], "data_offsets": first},
        "b": {"dtype": "U8", "shape": [second[1] - second[0]], "data_offsets": second},
    }


DATA = bytes(8)
HOSTILE = {
    "not UTF-8": (b'{"\xff": 1}', "UTF-8"),
    "not JSON": (b"{'w': 1}", "not JSON"),
    "leading space": (b" {}", "does not start"),
    "array": (b"[]", "does not start"),
    "two objects": (b"{}{}", "not JSON"),
    "cut JSON": (b'{"w":', "not JSON"),
    "nested lists": (b'{"w":' + b"[" * 200_000, "nested"),
    "nested objects": (b'{"w":' * 200_000, "nested"),
    "NaN": (b'{"w": NaN}', "NaN"),
    "number of 5000 digits": (b'{"w": ' + b"9" * 5000 + b"}", "not JSON"),
    "duplicate tensor": (b'{"w": 1, "w": 1}', "'w' occurs twice"),
    "duplicate field": (b'{"w": {"dtype": "F32", "dtype": "F32"}}', "'dtype' occurs twice"),
    "lone surrogate": (b'{"\\ud800": {}}', "Unicode"),
    "entry is a list": ({"w": [1]}, "not a JSON object"),
    "entry is null": ({"w": None}, "not a JSON object"),
    "no dtype": (one(dtype=...), "no dtype"),
    "dtype is a number": (one(dtype=32), "no dtype"),
    "unknown dtype": (one(dtype="F128"), "unknown dtype 'F128'; known: F64"),
    "dtype with control characters": (one(dtype="\x1b[2J\n"), r"\\x1b"),
    "no shape": (one(shape=...), "shape"),
    "shape is a number": (one(shape=2), "shape"),
    "shape of bool": (one(shape=[True, 2]), "shape"),
    "shape of float": (one(shape=[2.0]), "shape"),
    "shape of text": (one(shape=["2"]), "shape"),
    "negative dimension": (one(shape=[-2]), "shape"),
    "two negative dimensions": (one(shape=[-2, -1]), "shape"),
    "dimension of 2^63": (one(shape=[1 << 63]), "shape"),
    "rank 65": (one(shape=[1] * 64 + [2]), "shape"),
    "rank 100000": (one(shape=[1 << 62] * 100_000), "shape"),
    "product wraps to 2": (one(shape=[(1 << 63) + 1, 2]), "shape"),
    "product overflows": (one(shape=[4194305, 4194305, 211106198978564]), "too large"),
    "overflow hidden by zero": (one(shape=[0, 1 << 40, 1 << 40], data_offsets=[0, 0]), "too large"),
    "no offsets": (one(data_offsets=...), "data_offsets"),
    "one offset": (one(data_offsets=[0]), "data_offsets"),
    "three offsets": (one(data_offsets=[0, 8, 8]), "data_offsets"),
    "offsets in reverse": (one(data_offsets=[8, 0]), "data_offsets"),
    "negative offset": (one(data_offsets=[-8, 0]), "data_offsets"),
    "offset is true": (one(shape=[], dtype="U8", data_offsets=[False, True]), "data_offsets"),
    "offset is a float": (one(data_offsets=[0, 8.0]), "data_offsets"),
    "offsets beyond the file": (one(shape=[4], data_offsets=[0, 16]), "truncated"),
    "offsets far beyond the file": (one(shape=[1 << 50], data_offsets=[0, 1 << 52]), "truncated"),
    "offsets do not fit the shape": (one(shape=[3]), "takes 96 bits"),
    "offsets do not fit the dtype": (one(dtype="F64"), "takes 128 bits"),
    "odd fp4": (one(dtype="F4", shape=[15]), "takes 60 bits"),
    "overlap": (pair([0, 8], [4, 8]), "overlap"),
    "same bytes twice": (pair([0, 8], [0, 8]), "overlap"),
    "hole between": (pair([0, 2], [4, 8]), "'b': 2 bytes before it"),
    "hole at the start": (pair([1, 2], [2, 8]), "'a': 1 bytes before it"),
    "bytes at the end": (one(shape=[1], data_offsets=[0, 4]), "4 bytes at the end"),
    "no tensors, but data": ({}, "8 bytes at the end"),
    "metadata is a list": ({"__metadata__": []}, "__metadata__"),
    "metadata is null": ({"__metadata__": None}, "__metadata__"),
    "metadata of numbers": ({"__metadata__": {"a": 1}}, "__metadata__"),
    "metadata nested": ({"__metadata__": {"a": {"b": "c"}}}, "__metadata__"),
    "name with control characters": ({"\x1b[31m\n" * 1000: 5}, "not a JSON object"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_header(name, raw_safetensors):
    header, match = HOSTILE[name]
    path = raw_safetensors(header, DATA)
    with pytest.raises(UnreadableError, match=match) as error:
        open_source(path)
    assert "t.safetensors" in str(error.value)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 800


@pytest.mark.parametrize(
    ("length", "match"),
    [(1 << 64, "limit"), (1 << 63, "limit"), (100_000_001, "limit"), (100_000_000, "truncated"), (20, "truncated")],
)
def test_hostile_header_length(length, match, raw_safetensors):
    with pytest.raises(UnreadableError, match=match):
        open_source(raw_safetensors(b"{}", DATA, length=length - (length == 1 << 64)))


def test_header_length_zero_and_short_files(tmp_path, raw_safetensors):
    with pytest.raises(UnreadableError, match="does not start"):
        open_source(raw_safetensors(b""))
    (tmp_path / "s.safetensors").write_bytes(b"\x02\x00\x00")
    with pytest.raises(UnreadableError, match="too few"):
        open_source(tmp_path / "s.safetensors")


# --- sharded models ---


def shards(folder, weight_map=None, index="model.safetensors.index.json"):
    write_safetensors(folder / "m-1.safetensors", {"a": np.ones(2, np.float32), "b": np.zeros(1, np.float32)})
    write_safetensors(folder / "m-2.safetensors", {"c": np.full(3, 2, np.float32)})
    if weight_map is not None:
        (folder / index).write_text(json.dumps({"metadata": {"total_size": 24}, "weight_map": weight_map}))
    return folder


WHOLE = {"a": "m-1.safetensors", "b": "m-1.safetensors", "c": "m-2.safetensors"}


@pytest.mark.parametrize("index", ["model.safetensors.index.json", "other.safetensors.index.json", None])
def test_folder_and_index(index, tmp_path):
    shards(tmp_path, None if index is None else WHOLE, index or "")
    for path in [tmp_path] + ([tmp_path / index] if index else []):
        read = contents(path)
        assert {name: array.tolist() for name, array in read.items()} == {"a": [1, 1], "b": [0], "c": [2, 2, 2]}


def test_the_index_alone_says_which_tensors_there_are(tmp_path):
    assert list(contents(shards(tmp_path, {"c": "m-2.safetensors", "a": "m-1.safetensors"}))) == ["a", "c"]


def test_links_as_in_a_model_cache(tmp_path):
    blobs, model = tmp_path / "blobs", tmp_path / "model"
    blobs.mkdir()
    model.mkdir()
    shards(blobs)
    for name in ("m-1.safetensors", "m-2.safetensors"):
        (model / name).symlink_to(blobs / name)
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": WHOLE}))
    assert set(contents(model)) == {"a", "b", "c"}


BAD_MAPS = {
    "missing shard": (WHOLE | {"d": "m-3.safetensors"}, r"shard m-3\.safetensors is missing"),
    "missing tensor": (WHOLE | {"d": "m-2.safetensors"}, r"tensor 'd' is not in m-2\.safetensors"),
    "tensor in the other shard": (WHOLE | {"c": "m-1.safetensors"}, r"tensor 'c' is not in m-1\.safetensors"),
    "parent folder": (WHOLE | {"a": "../m-1.safetensors"}, "not a .safetensors file of the folder"),
    "parent folder inside": (WHOLE | {"a": "x/../../m-1.safetensors"}, "not a .safetensors file of the folder"),
    "absolute": (WHOLE | {"a": "/m-1.safetensors"}, "not a .safetensors file of the folder"),
    "backslash": (WHOLE | {"a": "..\\m-1.safetensors"}, "not a .safetensors file of the folder"),
    "drive": (WHOLE | {"a": "c:m-1.safetensors"}, "not a .safetensors file of the folder"),
    "zero byte": (WHOLE | {"a": "\0.safetensors"}, "not a .safetensors file of the folder"),
    "another kind of file": (WHOLE | {"a": "/etc/passwd"}, "not a .safetensors file of the folder"),
    "number": (WHOLE | {"a": 1}, "strings to strings"),
    "lone surrogate": (WHOLE | {"a": "\ud800.safetensors"}, "strings to strings"),
    "very long": (WHOLE | {"a": "x" * 5000 + ".safetensors"}, "too long|missing"),
    "list": ([], "no weight_map"),
}


@pytest.mark.parametrize("name", BAD_MAPS)
def test_bad_index(name, tmp_path):
    weight_map, match = BAD_MAPS[name]
    with pytest.raises(UnreadableError, match=match) as error:
        open_source(shards(tmp_path, weight_map))
    assert str(error.value).isprintable()


def test_ambiguous_folders(tmp_path):
    shards(tmp_path)
    write_safetensors(tmp_path / "z.safetensors", {"a": np.ones(1)})
    with pytest.raises(UnreadableError, match=r"'a' is in both m-1\.safetensors and z\.safetensors"):
        open_source(tmp_path)
    for name in "xy":
        (tmp_path / f"{name}.safetensors.index.json").write_text("{}")
    with pytest.raises(UnreadableError, match="several indexes"):
        open_source(tmp_path)
    with pytest.raises(UnreadableError, match="no weight_map"):
        open_source(tmp_path / "x.safetensors.index.json")


def test_damaged_shard_is_named(tmp_path):
    shards(tmp_path, WHOLE)
    path = tmp_path / "m-2.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UnreadableError, match=r"m-2\.safetensors: tensor 'c': truncated"):
        open_source(tmp_path)


# --- writer ---


def test_writer_is_deterministic_and_aligned(tmp_path):
    arrays = {element.name: random_array(element.name, (3, 4)) for element in READABLE}
    write_safetensors(tmp_path / "1.safetensors", arrays, {"b": "2", "a": "1"})
    write_safetensors(tmp_path / "2.safetensors", dict(reversed(arrays.items())), {"a": "1", "b": "2"})
    raw = (tmp_path / "1.safetensors").read_bytes()
    assert raw == (tmp_path / "2.safetensors").read_bytes()
    length = int.from_bytes(raw[:8], "little")
    assert length % 8 == 0
    for name, entry in json.loads(raw[8 : 8 + length]).items():
        if name != "__metadata__":
            assert entry["data_offsets"][0] % numpy_dtype(name).itemsize == 0


@pytest.mark.parametrize("dtype", [">f4", "<f4", ">i2", np.float32])
def test_writer_takes_any_layout(dtype, tmp_path):
    base = np.arange(24).reshape(2, 3, 4).astype(dtype)
    layouts = {"c": base, "f": np.asfortranarray(base), "t": base.transpose(2, 0, 1), "s": base[:, ::-2, 1::2]}
    layouts |= {"scalar": base[1, 1, 1:2].reshape(()), "none": base[:0], "e": np.broadcast_to(base[0, 0], (5, 4))}
    path = tmp_path / "x.safetensors"
    write_safetensors(path, layouts)
    for name, array in safetensors_numpy.load_file(path).items():
        assert array.shape == layouts[name].shape
        assert np.array_equal(array, layouts[name])


def test_writer_streams_large_strided_arrays(tmp_path, monkeypatch):
    monkeypatch.setattr("fp4sim.io.writer._CHUNK", 10)
    arrays = {
        "strided": np.arange(77, dtype=np.float32).reshape(7, 11).T,
        "fp4": random_array("float4_e2m1fn", (6, 9)),
        "fp4 strided": random_array("float4_e2m1fn", (6, 9)).T,
    }
    write_safetensors(tmp_path / "x.safetensors", arrays)
    for name, array in contents(tmp_path / "x.safetensors").items():
        assert array.tobytes() == arrays[name].tobytes()


def test_writer_refuses(tmp_path):
    path = tmp_path / "x.safetensors"
    cases = [
        ({"w": np.zeros(3, ml_dtypes.float4_e2m1fn)}, "whole bytes"),
        ({"w": np.zeros(3, np.complex64)}, "complex64"),
        ({"w": np.array(["a"])}, "no place"),
        ({"__metadata__": np.zeros(1)}, "__metadata__"),
        ({"\ud800": np.zeros(1)}, "Unicode"),
    ]
    for arrays, match in cases:
        with pytest.raises(UsageError, match=match):
            write_safetensors(path, arrays)
        assert list(tmp_path.iterdir()) == []
