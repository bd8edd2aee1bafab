"""Readers of .npy and .npz against numpy's own writer, and files that lie."""

import io
import struct
import tracemalloc
import zipfile

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fp4sim.errors import UnreadableError
from fp4sim.io.source import open_source

NUMBERS = ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?"]
ORDERED = [order + code for order in "<>" for code in NUMBERS[:-1]] + ["?"]


def read_one(path, **kwargs):
    with open_source(path, **kwargs) as source:
        (tensor,) = source.tensors()
        return tensor.info, tensor.read_all()


def npy_bytes(array, **kwargs):
    buffer = io.BytesIO()
    np.save(buffer, array, **kwargs)
    return buffer.getvalue()


def raw_npy(header, data=b"", version=(1, 0), length=None):
    raw = header if isinstance(header, bytes) else header.encode()
    size = len(raw) if length is None else length
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H" if version[0] == 1 else "<I", size) + raw + data


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_round_trip_of_every_number_type(scratch, data):
    dtype = np.dtype(data.draw(st.sampled_from(ORDERED)))
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))
    array = data.draw(hnp.arrays(dtype, shape))
    if array.ndim and data.draw(st.booleans()):  # numpy would make a scalar 1-D
        array = np.asfortranarray(array)
    path = scratch / "round.npy"
    np.save(path, array)
    info, values = read_one(path)
    assert (info.name, info.shape, info.dtype) == ("round", shape, dtype.name)
    assert values.dtype.isnative
    assert values.tobytes() == array.astype(dtype.newbyteorder("=")).tobytes()
    np.savez_compressed(scratch / "round.npz", a=array, b=array[..., ::2] if array.ndim else array)
    with open_source(scratch / "round.npz") as source:
        tensors = source.tensors()
        assert [tensor.info.name for tensor in tensors] == ["a", "b"]
        assert tensors[0].read_all().tobytes() == values.tobytes()


def test_numpy_saved_ml_dtypes(tmp_path):
    path = tmp_path / "x.npy"
    values = np.array([[1.0, -2.5, 0.0]], ml_dtypes.bfloat16)
    np.save(path, values)
    info, read = read_one(path)
    assert info.dtype == "bfloat16"
    assert read.tobytes() == values.tobytes()
    for name in ("float8_e4m3fn", "float8_e8m0fnu", "float4_e2m1fn"):
        codes = np.array([1, 2, 3], np.uint8)
        np.save(path, codes.view(getattr(ml_dtypes, name)))
        assert read_one(path)[0].dtype == "uint8"  # numpy keeps only the width
        info, read = read_one(path, dtype=name)
        assert info.dtype == read.dtype.name == name
        assert read.tobytes() == codes.tobytes()
    np.save(path, np.array([1.5, -0.0], ml_dtypes.float8_e5m2))
    info, read = read_one(path)
    assert info.dtype == "float8_e5m2"
    assert read.astype(np.float32).tolist() == [1.5, -0.0]
    path.write_bytes(raw_npy("{'descr': '|V2', 'fortran_order': False, 'shape': (2,), }\n", b"\x80\x3f\x00\xc0"))
    assert read_one(path)[1].astype(np.float32).tolist() == [1.0, -2.0]


def test_headers_that_are_unusual_but_right(tmp_path):
    path = tmp_path / "x.npy"
    data = np.arange(3, dtype="<f4").tobytes()
    for header, version in [
        ("{'descr':'<f4','fortran_order':False,'shape':(3,)}", (1, 0)),
        ('{"shape": (3L,), "fortran_order": False, "descr": "<f4"}', (1, 0)),
        ("{'shape': (1, 3), 'descr': '<f4', 'fortran_order': True, }  \n", (2, 0)),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }\n", (3, 0)),
    ]:
        path.write_bytes(raw_npy(header, data, version))
        assert read_one(path)[1].reshape(-1).tolist() == [0, 1, 2]
    path.write_bytes(raw_npy("{'descr': '|b1', 'fortran_order': False, 'shape': (3,), }", b"\x00\x01\x02"))
    assert read_one(path)[1].tolist() == [False, True, True]
    path.write_bytes(raw_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 7), }"))
    assert read_one(path)[1].shape == (0, 7)


def head(descr="'<f4'", order="False", shape="(3,)"):
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n"


TWELVE = bytes(12)
HOSTILE = {
    "wrong magic": (b"\x93NUMPX\x01\x00" + bytes(20), "first bytes"),
    "version 4": (raw_npy(head(), TWELVE, (4, 0)), "version 4.0"),
    "version 1.7": (raw_npy(head(), TWELVE, (1, 7)), "version 1.7"),
    "header longer than the file": (raw_npy(head(), TWELVE, length=60000), "truncated"),
    "header of 4 GB": (raw_npy(head(), TWELVE, (2, 0), length=0xFFFFFFFF), "limit"),
    "not UTF-8": (raw_npy(b"{'descr\xff': 1}", TWELVE, (3, 0)), "UTF-8"),
    "empty header": (raw_npy("", TWELVE), "malformed"),
    "not a dict": (raw_npy("[1, 2]", TWELVE), "malformed"),
    "call in the header": (raw_npy(head(shape="__import__('os')"), TWELVE), "malformed"),
    "nested brackets": (raw_npy("{" * 30000, TWELVE), "malformed"),
    "nested parentheses": (raw_npy("{'shape': " + "(" * 30000, TWELVE), "malformed"),
    "key missing": (raw_npy("{'descr': '<f4', 'shape': (3,), }", TWELVE), "malformed"),
    "key twice": (raw_npy(head()[:-2] + "'shape': (3,), }", TWELVE), "twice"),
    "key too many": (raw_npy(head()[:-2] + "'x': (3,), }", TWELVE), "malformed"),
    "order is no bool": (raw_npy(head(order="(1,)"), TWELVE), "malformed"),
    "negative dimension": (raw_npy(head(shape="(-3,)"), TWELVE), "malformed"),
    "shape is an int": (raw_npy(head(shape="(3)"), TWELVE), "shape"),
    "shape with a hole": (raw_npy(head(shape="(3,,1)"), TWELVE), "shape"),
    "huge dimension": (raw_npy(head(shape="(999999999999999999999,)"), TWELVE), "shape"),
    "rank 65": (raw_npy(head(shape="(" + "1," * 65 + ")"), TWELVE), "shape"),
    "overflowing product": (raw_npy(head(shape="(4294967296, 4294967296)"), TWELVE), "too large"),
    "overflow hidden by zero": (raw_npy(head(shape="(0, 4294967296, 4294967296)")), "too large"),
    "a terabyte": (raw_npy(head(shape="(274877906944,)"), TWELVE), "truncated"),
    "one byte short": (raw_npy(head(), TWELVE[:-1]), "truncated"),
    "one byte more": (raw_npy(head(), TWELVE + b"x"), "follow"),
    "object": (raw_npy(head("'|O'"), TWELVE), "object"),
    "structured": (raw_npy(head("[('a', '<f4'), ('b', '<i4')]"), TWELVE), "structured"),
    "text": (raw_npy(head("'<U1'"), TWELVE), "<U1"),
    "bytes": (raw_npy(head("'|S4'"), TWELVE), "S4"),
    "datetime": (raw_npy(head("'<M8[ns]'"), TWELVE), "M8"),
    "long double": (raw_npy(head("'<f16'"), bytes(48)), "f16"),
    "complex": (raw_npy(head("'<c8'"), bytes(24)), "complex64"),
    "float of no width": (raw_npy(head("'<f'"), TWELVE), "<f"),
    "empty descr": (raw_npy(head("''"), TWELVE), "unknown"),
    "escape sequence": (raw_npy(head("'\x1b[2J'"), TWELVE), "not read"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_npy(name, tmp_path):
    data, match = HOSTILE[name]
    path = tmp_path / "hostile.npy"
    path.write_bytes(data)
    with pytest.raises(UnreadableError, match=match) as error:
        read_one(path)
    assert "hostile.npy" in str(error.value)
    assert str(error.value).isprintable()
    with zipfile.ZipFile(tmp_path / "hostile.npz", "w") as archive:
        archive.writestr("a.npy", data)
    with pytest.raises(UnreadableError) as error:
        read_one(tmp_path / "hostile.npz")
    assert str(error.value).isprintable()


def test_pickles_are_never_loaded(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was executed",))

    array = np.array([Bomb()], object)
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    with pytest.raises(UnreadableError, match="object"):
        read_one(tmp_path / "x.npy")
    np.savez(tmp_path / "x.npz", o=array, f=np.ones(2))
    with open_source(tmp_path / "x.npz") as source:
        first, second = source.tensors()
        assert first.info.dtype == "object"
        with pytest.raises(UnreadableError, match=r"member 'o\.npy': elements of type object"):
            first.read_all()
        assert second.read_all().tolist() == [1, 1]


# --- archives ---


def test_npz_streams_forward_and_back(tmp_path):
    values = np.random.default_rng(0).standard_normal(200_000).astype(np.float32)
    np.savez_compressed(tmp_path / "x.npz", v=values)
    with open_source(tmp_path / "x.npz") as source:
        (tensor,) = source.tensors()
        parts = [tensor.read(start, min(start + 30_000, values.size)) for start in range(0, values.size, 30_000)]
        assert np.array_equal(np.concatenate(parts), values)
        assert np.array_equal(tensor.read(5, 9), values[5:9])


def test_npz_bomb_costs_what_is_read(tmp_path):
    with (
        zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("z.npy", "w") as out,
    ):
        out.write(raw_npy(head("'|u1'", shape=f"({64 << 20},)")))
        for _ in range(64):
            out.write(bytes(1 << 20))
    with open_source(tmp_path / "bomb.npz") as source:
        (tensor,) = source.tensors()
        tracemalloc.start()
        assert not tensor.read(1000, 2000).any()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 4 << 20


def patch_sizes(path, old, new):
    """Change a size in the local and the central header of a one-member archive."""
    data = path.read_bytes()
    assert data.count(struct.pack("<I", old)) >= 2
    path.write_bytes(data.replace(struct.pack("<I", old), struct.pack("<I", new)))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_declared_size_must_match_the_header(save, tmp_path):
    path = tmp_path / "lie.npz"
    save(path, a=np.arange(1000, dtype=np.float32))
    with zipfile.ZipFile(path) as archive:
        (info,) = archive.infolist()
    if info.compress_size == info.file_size:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.npy", raw_npy(head("'<f4'", shape="(1000000000,)"), bytes(12)))
        match = "needs 40000000"
    else:
        patch_sizes(path, info.file_size, 0x7FFFFFFF)
        match = "impossible|needs"
    with pytest.raises(UnreadableError, match=match):
        read_one(path)


def test_npz_member_shorter_than_declared(tmp_path):
    path = tmp_path / "short.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", raw_npy(head(shape="(2000,)"), bytes(4000)))
        size = archive.infolist()[0].file_size
    patch_sizes(path, size, size + 4000)
    with pytest.raises(UnreadableError, match=r"truncated|damaged"):
        read_one(path)


def test_npz_checksum(tmp_path):
    path = tmp_path / "flip.npz"
    np.savez(path, a=np.arange(100, dtype=np.float64))
    data = bytearray(path.read_bytes())
    data[500] ^= 1
    path.write_bytes(data)
    with pytest.raises(UnreadableError, match="CRC"):
        read_one(path)


def test_npz_refused_archives(tmp_path):
    path = tmp_path / "x.npz"
    member = npy_bytes(np.ones(3))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "nothing")
    with pytest.raises(UnreadableError, match=r"no \.npy member"):
        open_source(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", member)
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.npy", member)
    with pytest.raises(UnreadableError, match=r"'a\.npy' occurs twice"):
        open_source(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.npy", member)
    with pytest.raises(UnreadableError, match="method"):
        open_source(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", member)
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(UnreadableError, match="encrypted"):
        open_source(path)
    path.write_bytes(b"PK but no archive")
    with pytest.raises(UnreadableError, match="damaged zip"):
        open_source(path)
