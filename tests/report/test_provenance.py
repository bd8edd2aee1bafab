"""Where reports come from: files, commands and machines, and nothing that tells whose they are."""

from __future__ import annotations

import getpass
import hashlib
import json
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from fp4sim.io.writer import write_safetensors
from fp4sim.report.provenance import input_files, machine, run_of, short_path, short_word, with_short_sources
from tests.documents import page_without_run, without_run

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("/home/me/models/w.safetensors", "w.safetensors"),
        ("models/w.safetensors", "models/w.safetensors"),
        ("../w.npy", "../w.npy"),
        ("--output=/home/me/r.html", "--output=r.html"),
        ("--output=r.html", "--output=r.html"),
        ("-o/home/me/r.html", "-or.html"),
        ("--fail-on", "--fail-on"),
        ("snr_db<15", "snr_db<15"),
        ("/", "/"),
        ("nvfp4/16x16", "nvfp4/16x16"),
        ("", ""),
    ],
)
def test_absolute_folders_are_left_out(word, shown):
    assert short_word(word) == shown


def test_short_path():
    assert (short_path("/a/b"), short_path("a/b"), short_path("synthetic:x")) == ("b", "a/b", "synthetic:x")


def test_a_file_has_its_size_and_hash(tmp_path):
    path = tmp_path / "w.npy"
    path.write_bytes(b"x" * 3_000_000)
    (found,) = input_files([str(path)])
    assert (found.name, found.bytes) == ("w.npy", 3_000_000)
    assert found.sha256 == hashlib.sha256(b"x" * 3_000_000).hexdigest()
    (bare,) = input_files([str(path), str(path)], hashed=False)
    assert bare.sha256 is None


def test_folders_and_indexes_stand_for_their_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Path("model")
    folder.mkdir()
    for name in ("a.safetensors", "b.safetensors", "notes.txt"):
        (folder / name).write_bytes(name.encode())
    index = {"weight_map": {"x": "a.safetensors", "y": "b.safetensors", "z": "../outside.npy", "q": "missing.npy"}}
    Path("outside.npy").write_bytes(b"")
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    whole = [one.name for one in input_files(["model/"])]
    assert whole == ["model/a.safetensors", "model/b.safetensors", "model/model.safetensors.index.json"]
    by_index = [one.name for one in input_files(["model/model.safetensors.index.json"])]
    assert by_index == ["model/model.safetensors.index.json", "model/a.safetensors", "model/b.safetensors"]
    assert input_files(["synthetic:gaussian", "missing.npy"]) == ()


@pytest.mark.parametrize("text", ["{", "[" * 5000, "\xff", "3"])
def test_json_that_names_nothing(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_text(text, "latin-1")
    assert [one.name for one in input_files([str(path)])] == ["x.json"]


def test_a_run_names_no_host_and_no_user():
    run = run_of(["compare", "/home/me/w.npy"], datetime(2026, 1, 2, tzinfo=UTC), 1.23456)
    assert run.command == ("fp4sim", "compare", "w.npy")
    assert (run.started, run.seconds) == ("2026-01-02T00:00:00+00:00", 1.235)
    assert platform.node() not in machine().split(", ") or platform.node() in ("Linux", platform.machine())
    assert getpass.getuser() not in machine()


def test_sources_lose_absolute_folders(hostile):
    from dataclasses import replace

    moved = replace(
        hostile,
        sources=("/home/me/w.npy", "rel/v.npy"),
        tensors=tuple(replace(one, source="/home/me/w.npy") for one in hostile.tensors),
    )
    short = with_short_sources(moved)
    assert short.sources == ("w.npy", "rel/v.npy")
    assert {one.source for one in short.tensors} == {"w.npy"}
    assert {one.source for one in short.skipped} == {"=evil|source"}


def run_in(folder, *words):
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from fp4sim.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_same_input_gives_the_same_bytes_wherever_it_lies_and_however_it_is_named(tmp_path):
    rng = np.random.default_rng(0)
    tensors = {f"layers.{i}.w": rng.standard_normal((32, 64)).astype(np.float32) for i in range(4)}
    pages, documents, texts = [], [], []
    for name, absolute in (("one", False), ("another", True)):
        folder = tmp_path / name
        folder.mkdir()
        write_safetensors(folder / "w.safetensors", tensors)
        source = folder / "w.safetensors" if absolute else "w.safetensors"
        where = folder if absolute else Path()
        outputs = [
            part for suffix in ("html", "json", "md", "csv", "xml", "txt") for part in ("-o", where / f"r.{suffix}")
        ]
        run_in(folder, "report", source, "-f", "nvfp4,mxfp4+sr", *outputs)
        pages.append((folder / "r.html").read_text())
        documents.append((folder / "r.json").read_text())
        texts.append([(folder / f"r.{suffix}").read_bytes() for suffix in ("md", "csv", "xml", "txt")])
        assert str(tmp_path) not in "".join((pages[-1], documents[-1], *(text.decode() for text in texts[-1])))
    assert page_without_run(pages[0]) == page_without_run(pages[1])
    assert json.loads(documents[0])["run"]["started"]
    assert without_run(documents[0]) == without_run(documents[1])
    assert cut(documents[0]) == cut(documents[1])  # not only the data: the bytes
    assert texts[0] == texts[1]
    expected = hashlib.sha256((tmp_path / "one" / "w.safetensors").read_bytes()).hexdigest()
    assert json.loads(documents[0])["files"][0]["sha256"] == expected
    assert expected in pages[0]


def cut(document):
    """The text before the run block, which comes last."""
    before, found, _ = document.partition('\n  "run": {')
    assert found
    return before
