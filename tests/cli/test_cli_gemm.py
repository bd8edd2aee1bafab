"""``fp4sim gemm`` as a user meets it: tables that fit, files, figures, and one-line errors with their exit codes."""

from __future__ import annotations

import json

import numpy as np
import pytest

import fp4sim
from fp4sim.io.writer import write_safetensors
from tests.conftest import golden

SMALL = ("synthetic:gaussian:48x256", "synthetic:gaussian:40x256:seed=1")


@pytest.mark.parametrize("columns", [80, 100, 140])
def test_the_table_fits(run, columns):
    result = run("gemm", *SMALL, "-f", "nvfp4,mxfp4,e1m2/16@e4m3", "--verbose", env={"COLUMNS": str(columns)})
    assert result.exit_code == 0, result.stdout
    assert max(map(len, result.stdout.splitlines())) <= columns
    text = " ".join(result.stdout.split())
    assert "the accumulation adds nothing" in text
    assert "no instruction multiplies it" in text
    assert "A · Bᵀ, M 48, N 40, K 256" in text


def test_json_is_the_result(run):
    result = run("gemm", *SMALL, "--json", "--out", "float32", "--model", "exact")
    found = json.loads(result.stdout)
    assert (found["schema"], found["shape"], found["settings"]["model"]) == ("fp4sim.gemm/1", [48, 40, 256], "exact")
    assert [row["a"]["short"] for row in found["formats"]] == ["nvfp4", "mxfp4"]
    assert len(found["formats"][0]["rows"]["total"]) == 48


def test_sort_puts_the_worst_first(run):
    texts = []
    for sort in ("given", "total"):
        lines = run("gemm", *SMALL, "-f", "nvfp4,mxfp4,nvfp4+4over6", "--sort", sort).stdout.splitlines()
        texts.append([line.split()[0] for line in lines if line.startswith(("nvfp4 ", "mxfp4 ", "nvfp4+4over6 "))][:3])
    assert texts[0] == ["nvfp4", "mxfp4", "nvfp4+4over6"]
    assert texts[1] == ["mxfp4", "nvfp4", "nvfp4+4over6"]


def test_files_and_figures(run, tmp_path):
    for suffix in (".json", ".md", ".csv"):
        result = run("gemm", *SMALL, "-o", tmp_path / f"r{suffix}")
        assert result.exit_code == 0, result.stdout
        assert (tmp_path / f"r{suffix}").stat().st_size > 500
    assert "| `nvfp4` |" in (tmp_path / "r.md").read_text()
    for suffix, start in ((".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")):
        result = run("gemm", *SMALL, "-f", "nvfp4,e3m0/32@e8m0@floor", "--plot", tmp_path / f"p{suffix}")
        assert result.exit_code == 0, result.stdout
        assert (tmp_path / f"p{suffix}").read_bytes().startswith(start)


def test_tensors_by_name(run, tmp_path):
    rng = np.random.default_rng(0)
    x, w = (rng.standard_normal((rows, 64)).astype(np.float32) for rows in (8, 6))
    cube = x.reshape(2, 4, 64)
    write_safetensors(tmp_path / "m.safetensors", {"x": cube, "w": w, "odd": rng.standard_normal(5).astype(np.float32)})
    path = tmp_path / "m.safetensors"
    result = run("gemm", f"{path}::x", f"{path}::w", "--json")
    found = json.loads(result.stdout)
    assert found["shape"] == [8, 6, 64]
    assert found["a"]["notes"] == ["leading axes were taken as rows"]
    np.save(tmp_path / "x.npy", x)
    alone = json.loads(run("gemm", tmp_path / "x.npy", f"{path}::w", "--json").stdout)
    assert alone["formats"] == found["formats"]


def bad_files(folder):
    x = np.ones((4, 64), np.float32)
    np.save(folder / "x.npy", x)
    np.save(folder / "nan.npy", np.where(np.arange(64) == 3, np.nan, x).astype(np.float32))
    np.save(folder / "empty.npy", np.zeros((0, 64), np.float32))
    np.save(folder / "row.npy", x[0])
    np.save(folder / "ints.npy", x.astype(np.int32))
    np.save(folder / "narrow.npy", x[:, :32])
    write_safetensors(folder / "two.safetensors", {"p": x, "q": x})
    (folder / "bad.npy").write_bytes(b"\x93NUMPY\x01\x00nonsense")


BAD = [
    (("x.npy",), 2, "one operand"),
    (("x.npy", "narrow.npy"), 2, "K differs: A is 4 × 64, B is 4 × 32"),
    (("x.npy", "nan.npy"), 3, "holds nan at [0, 3]"),
    (("x.npy", "empty.npy"), 2, "no elements"),
    (("x.npy", "row.npy"), 2, "1 axis"),
    (("x.npy", "ints.npy"), 2, "not a float"),
    (("x.npy", "two.safetensors"), 2, "holds 2 tensors: write"),
    (("x.npy", "two.safetensors::z"), 2, "no tensor 'z'"),
    (("x.npy", "none.npy"), 3, "no such file"),
    (("x.npy", "bad.npy"), 3, "bad.npy"),
    (("x.npy", "x.npy", "--model", "hopper"), 2, "unknown model"),
    (("x.npy", "x.npy", "--out", "fp8"), 2, "out='fp8'"),
    (("x.npy", "x.npy", "--sort", "size"), 2, "--sort"),
    (("x.npy", "x.npy", "-f", "nvfp5"), 2, "nvfp5"),
    (("x.npy", "x.npy", "-f", "nvfp4+rht"), 2, "rotates groups of 128"),
    (("x.npy", "x.npy", "--a-format", "nvfp4"), 2, "go together"),
    (("x.npy", "x.npy", "-o", "r.pdf"), 2, "suffix"),
    (("x.npy", "x.npy", "-o", "x.npy"), 2, "suffix"),
    (("x.npy", "x.npy", "--plot", "p.gif"), 2, "suffix"),
    (("x.npy", "x.npy", "--scale-format", "ue4m3"), 2, "goes with --fit"),
    (("x.npy", "x.npy", "--fit", "x.npy"), 2, "do not go together"),
    (("--fit", "x.npy", "--model", "exact"), 2, "--model and --fit do not go together"),
    (("--fit", "x.npy", "--out", "bfloat16"), 2, "--out and --fit do not go together"),
    (("--fit", "x.npy", "--plot", "p.png"), 2, "--plot and --fit do not go together"),
    (("--fit", "none.npz"), 3, "no such file"),
    (("--fit", "x.npy"), 3, "holds no recorded words"),
    (("--fit", "two.safetensors", "-f", "nvfp4,mxfp4"), 2, "one format"),
]


@pytest.mark.parametrize(("words", "code", "message"), BAD, ids=[" ".join(words) for words, _, _ in BAD])
def test_errors_are_one_line(run, tmp_path, monkeypatch, words, code, message):
    bad_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    result = run("gemm", *words)
    assert result.exit_code == code, result.output
    line = result.stderr.strip()
    assert "\n" not in line
    assert message in line


def test_the_same_tensor_twice_is_said(run):
    text = " ".join(run("gemm", SMALL[0], SMALL[0]).stdout.split())
    assert "A and B are the same tensor" in text


def test_fit_names_models_and_its_exit_code_says_whether_there_is_one(run, tmp_path):
    vectors = golden("mma_probes.npz")
    fields = ("A", "B", "C", "SA", "SB", "is_mxf4")
    words = vectors["k64/pred"][:, 1].copy()
    for code in (0, 1):
        words[8] ^= code
        np.savez(tmp_path / "p.npz", D=words, **{field: vectors[f"k64/{field}"] for field in fields})
        outputs = [tmp_path / "f.json", tmp_path / "f.md", tmp_path / "f.csv"]
        given = [word for path in outputs for word in ("-o", path)]
        result = run("gemm", "--fit", tmp_path / "p.npz", *given, env={"COLUMNS": "100"})
        assert result.exit_code == code, result.output
        assert max(map(len, result.stdout.splitlines())) <= 100
        assert json.loads(outputs[0].read_text())["ok"] == (code == 0)
        if code == 0:
            assert result.stdout.startswith("Obeys mma-sim-2026-01 = probe:mmasim_c785138: all 57 words")
            assert "all products zero, scales 448" in outputs[1].read_text()
        else:
            assert "nearest is mma-sim-2026-01: 1 of 57 differ" in " ".join(result.stdout.split())


def test_names_from_files_reach_the_terminal_harmless(run, tmp_path):
    x = np.ones((4, 64), np.float32)
    write_safetensors(tmp_path / "m.safetensors", {"a\x1b[31m": x, "b": 2 * x})
    result = run(
        "gemm", f"{tmp_path}/m.safetensors::a\x1b[31m", f"{tmp_path}/m.safetensors::b", "-o", tmp_path / "r.md"
    )
    assert result.exit_code == 0, result.output
    assert "\x1b[31m" not in result.stdout
    assert "\x1b" not in (tmp_path / "r.md").read_text()
    assert fp4sim.__version__ in result.stdout
