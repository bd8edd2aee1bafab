"""Reader of .pt files against torch.save."""

import sys
import tracemalloc

import ml_dtypes
import numpy as np
import pytest

from fp4sim.errors import MissingExtraError, UnreadableError
from fp4sim.io.source import open_source


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="torch is an optional dependency")


def contents(path):
    with open_source(path) as source:
        return {tensor.info.name: tensor.read_all() for tensor in source.tensors()}


def test_state_dict_of_every_type(torch, tmp_path):
    codes = torch.arange(48, dtype=torch.uint8).reshape(4, 12) * 5
    names = ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8"]
    names += ["uint16", "uint32", "uint64", "float8_e4m3fn", "float8_e5m2", "float8_e8m0fnu", "float8_e4m3fnuz"]
    state = {}
    for name in names:
        if hasattr(torch, name):
            dtype = getattr(torch, name)
            state[name] = codes[:, : 8 if dtype.itemsize == 8 else 12].clone().view(dtype)
    state["bool"] = codes > 100
    torch.save(state, tmp_path / "x.pt")
    read = contents(tmp_path / "x.pt")
    assert list(read) == list(state)
    for name, tensor in state.items():
        expected = np.dtype(getattr(ml_dtypes, name, name))
        assert read[name].dtype == expected
        assert read[name].shape == tuple(tensor.shape)
        assert read[name].tobytes() == tensor.contiguous().view(torch.uint8).numpy().tobytes()


def test_packed_fp4(torch, tmp_path):
    if not hasattr(torch, "float4_e2m1fn_x2"):
        pytest.skip("this torch has no float4_e2m1fn_x2")
    codes = torch.tensor([[0x21, 0xF7]], dtype=torch.uint8)
    torch.save({"w": codes.view(torch.float4_e2m1fn_x2)}, tmp_path / "x.pt")
    with open_source(tmp_path / "x.pt") as source:
        (tensor,) = source.tensors()
        assert (tensor.info.shape, tensor.info.dtype) == ((1, 4), "float4_e2m1fn")
        assert tensor.read_all().astype(np.float32).tolist() == [[0.5, 1.0, 6.0, -6.0]]
        assert tensor.read(1, 3).astype(np.float32).tolist() == [1.0, 6.0]


def test_nested_names_and_what_is_no_tensor(torch, tmp_path):
    shared = torch.ones(2)
    state = {
        "model": {"layers": [{"w": shared}, {"w": torch.zeros(1)}], "tied": shared},
        "step": 3,
        "note": "text",
        "state": {0: {"exp": torch.nn.Parameter(torch.full((2,), 7.0))}},
    }
    torch.save(state, tmp_path / "x.pth")
    read = contents(tmp_path / "x.pth")
    assert list(read) == ["model.layers.0.w", "model.layers.1.w", "model.tied", "state.0.exp"]
    assert read["state.0.exp"].tolist() == [7, 7]
    torch.save(torch.arange(3), tmp_path / "alone.pt")
    assert {name: array.tolist() for name, array in contents(tmp_path / "alone.pt").items()} == {"alone": [0, 1, 2]}
    torch.save({"step": 1}, tmp_path / "none.pt")
    assert contents(tmp_path / "none.pt") == {}


def test_strided_and_scalar(torch, tmp_path):
    base = torch.arange(24, dtype=torch.bfloat16).reshape(4, 6)
    views = {"t": base.t(), "s": base[1::2, ::3], "scalar": base[2, 3], "none": base[:0]}
    torch.save(views, tmp_path / "x.pt")
    for name, array in contents(tmp_path / "x.pt").items():
        assert array.shape == tuple(views[name].shape)
        assert np.array_equal(array.astype(np.float32), views[name].float().numpy())


def test_legacy_format(torch, tmp_path):
    torch.save({"w": torch.ones(3)}, tmp_path / "x.pt", _use_new_zipfile_serialization=False)
    assert contents(tmp_path / "x.pt")["w"].tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda torch: torch.ones(3, 3).to_sparse(), "layout torch.sparse_coo"),
        (lambda torch: torch.ones(3, dtype=torch.complex64), "complex64"),
        (lambda torch: torch.ones(1).expand(1 << 40), "expanded view"),
        (lambda torch: torch.empty(3, device="meta"), "meta"),
    ],
)
def test_tensors_that_are_listed_and_refused_on_read(torch, make, match, tmp_path):
    torch.save({"w": make(torch), "fine": torch.ones(1)}, tmp_path / "x.pt")
    with open_source(tmp_path / "x.pt") as source:
        first, fine = source.tensors()
        with pytest.raises(UnreadableError, match=match):
            first.read_all()
        assert fine.read_all().tolist() == [1]


class Custom:
    pass


def self_holding():
    value = []
    value.append(value)
    return value


def wide(torch):
    value = [torch.ones(1)]
    for _ in range(12):
        value = [value] * 10
    return value


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda torch: {"w": torch.ones(2), "o": Custom()}, "Unsupported global"),
        (lambda torch: self_holding(), "holds itself"),
        (wide, "more than 1000000 nested values"),
        (lambda torch: {"a": {"b": torch.ones(1)}, "a.b": torch.ones(1)}, "two tensors have the name 'a.b'"),
    ],
)
def test_refused_files(torch, make, match, tmp_path):
    torch.save(make(torch), tmp_path / "x.pt")
    with pytest.raises(UnreadableError, match=match) as error:
        open_source(tmp_path / "x.pt")
    assert str(error.value).isprintable()


def test_a_pickle_that_claims_a_huge_string_costs_nothing(torch, tmp_path):
    (tmp_path / "x.pt").write_bytes(b"X\xff\xff\xff\x7fabc")
    tracemalloc.start()
    with pytest.raises(UnreadableError):
        open_source(tmp_path / "x.pt")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_not_a_checkpoint(torch, tmp_path):
    (tmp_path / "x.pt").write_bytes(b"nothing of the kind")
    with pytest.raises(UnreadableError, match=r"x\.pt: torch cannot load it: "):
        open_source(tmp_path / "x.pt")


def test_without_torch(tmp_path, monkeypatch):
    (tmp_path / "x.pt").write_bytes(b"PK\x03\x04")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'fp4sim\[torch\]'"):
        open_source(tmp_path / "x.pt")
