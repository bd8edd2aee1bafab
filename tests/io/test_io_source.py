"""The common interface: ranges, selection, threads and errors that concern paths."""

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import ml_dtypes
import numpy as np
import pytest

from fp4sim.errors import UnreadableError, UsageError
from fp4sim.io.files import PositionedFile, shown
from fp4sim.io.source import ArrayTensor, ListSource, open_source, select
from fp4sim.io.writer import write_safetensors

VALUES = np.random.default_rng(0).standard_normal((37, 29)).astype(np.float32)


def make(kind, folder):
    """A source of the tensor VALUES in each format."""
    path = folder / f"values.{kind.split('-')[0]}"
    if kind == "npy":
        np.save(path, VALUES)
    elif kind == "npy-fortran":
        np.save(path, np.asfortranarray(VALUES))
    elif kind == "npz":
        np.savez(path, values=VALUES)
    elif kind == "npz-deflated":
        np.savez_compressed(path, values=VALUES)
    elif kind == "safetensors":
        write_safetensors(path, {"values": VALUES})
    elif kind in ("pt", "pt-strided"):
        torch = pytest.importorskip("torch", reason="torch is an optional dependency")
        tensor = torch.from_numpy(VALUES.copy())
        torch.save({"values": tensor.t().contiguous().t() if kind == "pt-strided" else tensor}, path)
    elif kind == "array":
        return ListSource("array", [ArrayTensor("values", VALUES)])
    elif kind == "array-strided":
        return ListSource("array", [ArrayTensor("values", np.asfortranarray(VALUES))])
    return open_source(path)


KINDS = [
    "npy",
    "npy-fortran",
    "npz",
    "npz-deflated",
    "safetensors",
    "pt",
    "pt-strided",
    "array",
    "array-strided",
]


@pytest.mark.parametrize("kind", KINDS)
def test_ranges_equal_slices_of_the_whole(kind, tmp_path):
    with make(kind, tmp_path) as source:
        (tensor,) = source.tensors()
        assert (tensor.info.name, tensor.info.shape, tensor.info.dtype) == ("values", VALUES.shape, "float32")
        assert np.array_equal(tensor.read_all(), VALUES)
        rng = np.random.default_rng(1)
        bounds = [(0, 0), (0, 1), (VALUES.size, VALUES.size), (0, VALUES.size)]
        bounds += [tuple(sorted(rng.integers(0, VALUES.size + 1, 2).tolist())) for _ in range(30)]
        for start, stop in bounds:
            part = tensor.read(start, stop)
            assert part.ndim == 1
            assert part.dtype == np.float32
            assert np.array_equal(part, VALUES.reshape(-1)[start:stop])
        for start, stop in [(-1, 3), (3, 2), (0, VALUES.size + 1)]:
            with pytest.raises(UsageError, match="outside"):
                tensor.read(start, stop)


@pytest.mark.parametrize("kind", KINDS)
def test_reads_from_many_threads(kind, tmp_path):
    with make(kind, tmp_path) as source:
        (tensor,) = source.tensors()
        start_together = threading.Barrier(8)

        def worker(seed):
            rng = np.random.default_rng(seed)
            start_together.wait()
            for _ in range(25):
                start, stop = sorted(rng.integers(0, VALUES.size + 1, 2).tolist())
                if not np.array_equal(tensor.read(start, stop), VALUES.reshape(-1)[start:stop]):
                    return False
            return True

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(worker, range(8)))


@pytest.mark.parametrize("absent", [("preadv",), ("preadv", "pread")])
def test_reads_without_the_system_calls_that_not_every_system_has(absent, tmp_path, monkeypatch):
    for name in absent:
        monkeypatch.delattr(os, name, raising=False)
    test_reads_from_many_threads("npy", tmp_path)


def test_select_by_globs():
    tensors = [ArrayTensor(name, np.zeros(1)) for name in ("a.q.weight", "a.k.weight", "b.Q.weight", "a.q.bias")]

    def names(**globs):
        return [tensor.info.name for tensor in select(tensors, **globs)]

    assert names() == [tensor.info.name for tensor in tensors]
    assert names(include=["*.weight"], exclude=["*.k.*"]) == ["a.q.weight", "b.Q.weight"]
    assert names(include=["*.q.*"]) == ["a.q.weight", "a.q.bias"]
    assert names(exclude=["*"]) == []
    assert names(include=["a.k*", "b*"]) == ["a.k.weight", "b.Q.weight"]


def test_array_tensor_is_read_only_and_native():
    array = np.arange(6, dtype=">f4").reshape(2, 3)
    tensor = ArrayTensor("x", array)
    assert tensor.info.dtype == "float32"
    part = tensor.read(1, 4)
    assert part.dtype.isnative
    assert part.tolist() == [1, 2, 3]
    with pytest.raises(ValueError, match="read-only"):
        part[0] = 9
    with pytest.raises(ValueError, match="read-only"):
        tensor.read_all()[0] = 9
    assert ArrayTensor("s", np.array(2.5)).read_all().shape == ()


def lines(error):
    text = str(error.value)
    assert "\n" not in text
    assert text.isprintable()
    return text


def test_path_errors_are_one_line_each(tmp_path):
    (tmp_path / "empty.npy").touch()
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder.npy").mkdir()
    cases = {
        "missing.npy": "no such file",
        "missing.safetensors": "no such file",
        "missing.npz": "no such file",
        "missing": "no such file",
        "empty.npy": "empty",
        "notes.txt": r"read are \.npy, \.npz, \.safetensors",
        "folder": r"neither model\.safetensors\.index\.json nor any \*\.safetensors",
        "folder.npy": "neither",
        "nul\0.npy": "null",
        "x" * 5000 + ".npy": "too long",
        "new\nline.npy": r"new\\nline\.npy: no such file",
    }
    for name, match in cases.items():
        with pytest.raises(UnreadableError, match=match) as error:
            open_source(f"{tmp_path}/{name}")
        assert error.value.exit_code == 3
        lines(error)
    with pytest.raises(UsageError, match="empty path"):
        open_source("")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.parametrize("suffix", ["npy", "npz", "safetensors", "pt"])
def test_a_pipe_is_refused_instead_of_waited_for(suffix, tmp_path):
    path = tmp_path / f"pipe.{suffix}"
    os.mkfifo(path)
    with pytest.raises(UnreadableError, match="not a regular file"):
        open_source(path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_permission_denied(tmp_path):
    path = tmp_path / "secret.npy"
    np.save(path, VALUES)
    path.chmod(0)
    with pytest.raises(UnreadableError, match="permission denied"):
        open_source(path)


def test_open_errors_of_the_system_are_translated(tmp_path, monkeypatch):
    path = tmp_path / "x.npy"
    np.save(path, VALUES)

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(UnreadableError, match=r"x\.npy: permission denied"):
        open_source(path)


@pytest.mark.parametrize("kind", ["npy", "npz", "safetensors"])
def test_reading_after_close(kind, tmp_path):
    source = make(kind, tmp_path)
    (tensor,) = source.tensors()
    source.close()
    source.close()
    with pytest.raises(UsageError, match="closed"):
        tensor.read(0, 4)


@pytest.mark.parametrize("kind", ["npy", "npy-fortran", "safetensors"])
def test_a_file_cut_after_opening(kind, tmp_path):
    with make(kind, tmp_path) as source:
        (tensor,) = source.tensors()
        path = next(tmp_path.iterdir())
        os.truncate(path, path.stat().st_size - 5)
        with pytest.raises(UnreadableError, match="truncated"):
            tensor.read_all()


def test_positioned_file_reads_exactly(tmp_path):
    path = tmp_path / "bytes"
    path.write_bytes(bytes(range(256)))
    file = PositionedFile(path)
    assert file.read(10, 5).tolist() == [10, 11, 12, 13, 14]
    assert file.read(256, 0).size == 0
    for offset, length in [(250, 7), (1 << 40, 1), (0, 1 << 62)]:
        with pytest.raises(UnreadableError, match="truncated"):
            file.read(offset, length)
    file.close()


def test_shown_escapes_and_cuts():
    assert shown("a\nb\x1b[1m\ud800é") == r"a\nb\x1b[1m\ud800é"
    assert len(shown("x" * 10**6, 50)) == 50


# --- dtype ---


def test_dtype_reinterprets_npy(tmp_path):
    def saved(array):
        path = tmp_path / "raw.npy"
        np.save(path, array)
        return path

    for name, width in [
        ("bfloat16", 16),
        ("float16", 16),
        ("float8_e4m3fn", 8),
        ("float8_e5m2", 8),
        ("float8_e8m0fnu", 8),
        ("float32", 32),
        ("float64", 64),
    ]:
        codes = np.random.default_rng(2).integers(0, 256, 48, np.uint8).view(f"u{width // 8}").reshape(2, -1)
        expected = codes.view(np.dtype(getattr(ml_dtypes, name, name)))
        with open_source(saved(codes), dtype=name) as source:
            (tensor,) = source.tensors()
            assert (tensor.info.dtype, tensor.info.shape) == (name, codes.shape)
            assert tensor.read_all().dtype == expected.dtype
            assert tensor.read_all().tobytes() == codes.tobytes()
            assert tensor.read(1, 5).tobytes() == codes.reshape(-1)[1:5].tobytes()
        other = np.zeros(3, np.uint8 if width > 8 else np.uint16)
        with pytest.raises(UsageError, match=f"dtype {name} reinterprets uint{width} tensors"):
            open_source(saved(other), dtype=name)
    with pytest.raises(UsageError, match="holds float32"):
        open_source(saved(VALUES), dtype="bf16")
    with pytest.raises(UsageError, match="unknown dtype 'fp5'; known: float64"):
        open_source(saved(VALUES), dtype="fp5")
    with open_source(saved(VALUES), dtype="float32") as source:
        assert np.array_equal(source.tensors()[0].read_all(), VALUES)
    with open_source(saved(np.arange(4, dtype=">u2")), dtype="bf16") as source:
        assert source.tensors()[0].read_all().view(np.uint16).tolist() == [0, 1, 2, 3]


def test_dtype_of_fp4_codes(tmp_path):
    path = tmp_path / "codes.npy"
    np.save(path, np.array([[1, 15, 7]], np.uint8))
    with open_source(path, dtype="float4_e2m1fn") as source:
        (tensor,) = source.tensors()
        assert tensor.read_all().astype(np.float32).tolist() == [[0.5, -6.0, 6.0]]
    np.save(path, np.array([[0x21, 0xF7]], np.uint8))
    with open_source(path, dtype="float4_e2m1fn") as source, pytest.raises(UnreadableError, match="_x2"):
        source.tensors()[0].read_all()
    with open_source(path, dtype="float4_e2m1fn_x2") as source:
        (tensor,) = source.tensors()
        assert (tensor.info.shape, tensor.info.dtype) == ((1, 4), "float4_e2m1fn")
        assert tensor.read_all().astype(np.float32).tolist() == [[0.5, 1.0, 6.0, -6.0]]
        assert tensor.read(1, 4).astype(np.float32).tolist() == [1.0, 6.0, -6.0]
        assert tensor.read(3, 3).size == 0
    np.save(path, np.uint8(3))
    with pytest.raises(UsageError, match="reinterprets"):
        open_source(path, dtype="float4_e2m1fn_x2")


def test_dtype_in_a_source_of_many_tensors(tmp_path):
    path = tmp_path / "m.npz"
    np.savez(path, scale=np.array([127, 128], np.uint8), weight=VALUES)
    with open_source(path, dtype="float8_e8m0fnu") as source:
        kinds = {tensor.info.name: tensor.info.dtype for tensor in source.tensors()}
        assert kinds == {"scale": "float8_e8m0fnu", "weight": "float32"}
        assert source.tensors()[0].read_all().astype(np.float32).tolist() == [1.0, 2.0]
    with pytest.raises(UsageError, match="holds float32, uint8"):
        open_source(path, dtype="fp16")


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_reading_does_not_keep_the_file_in_memory(tmp_path):
    path = tmp_path / "large.npy"
    np.save(path, np.zeros(16 << 20, np.float32))

    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    with open_source(path) as source:
        (tensor,) = source.tensors()
        tensor.read(0, 1 << 20)
        before = resident()
        for start in range(0, 16 << 20, 1 << 20):
            tensor.read(start, start + (1 << 20))
        assert resident() - before < 24 << 20
