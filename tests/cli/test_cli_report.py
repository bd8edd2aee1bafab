"""``fp4sim report``, and -o on every command."""

from __future__ import annotations

import json

import pytest

import fp4sim
from fp4sim.report.render import SUFFIXES
from tests.documents import page_without_run


def test_report_writes_what_it_means(run, checkpoint, tmp_path):
    page, data = tmp_path / "r.html", tmp_path / "r.json"
    done = run("report", checkpoint, "--formats", "nvfp4,mxfp4", "-o", page, "-o", data)
    assert (done.exit_code, done.stderr) == (0, "")
    assert f"{page}: {page.stat().st_size:,} bytes" in done.stdout
    assert "Error of nvfp4, mxfp4" in page.read_text()
    named = run("report", "make", checkpoint, "--formats", "nvfp4,mxfp4", "-o", tmp_path / "n.html")
    assert named.exit_code == 0
    assert page_without_run((tmp_path / "n.html").read_text()) == page_without_run(page.read_text())
    result = fp4sim.load_result(data)
    assert [one.name for one in result.files] == ["model.safetensors"]
    assert result.run.command[:3] == ("fp4sim", "report", "model.safetensors")
    assert result.sources == ("model.safetensors",)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_render_gives_what_o_gives(run, checkpoint, tmp_path, suffix):
    saved, direct, again = tmp_path / "r.json", tmp_path / f"direct{suffix}", tmp_path / f"again{suffix}"
    assert run("compare", checkpoint, "-o", saved, "-o", direct).exit_code == 0
    done = run("report", "render", saved, "-o", again)
    assert (done.exit_code, done.stderr) == (0, "")
    assert again.read_text() == direct.read_text()


def test_render_to_the_terminal(run, checkpoint, tmp_path):
    saved = tmp_path / "r.json"
    run("compare", checkpoint, "-o", saved)
    done = run("report", "render", saved)
    assert done.exit_code == 0
    assert "w.bf16" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["report"], 2, "SOURCE"),
        (["report", "synthetic"], 2, "add -o report.html"),
        (["report", "synthetic", "-o", "r.pdf"], 2, "suffix"),
        (["report", "missing.npy", "-o", "r.html"], 3, "no such file"),
        (["report", "render", "missing.json"], 3, "no such file"),
        (["report", "render", "x.json", "-o", "x.pdf"], 2, "suffix"),
    ],
)
def test_errors(run, tmp_path, monkeypatch, words, code, says):
    monkeypatch.chdir(tmp_path)
    done = run(*words)
    assert (done.exit_code, done.stdout) == (code, "")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_newer_result_is_one_line(run, tmp_path):
    path = tmp_path / "r.json"
    path.write_text(json.dumps({"schema": "fp4sim.compare/7"}))
    done = run("report", "render", path, "-o", tmp_path / "r.html")
    assert done.exit_code == 3
    assert "fp4sim.compare/7 is newer than fp4sim" in done.stderr
    assert not (tmp_path / "r.html").exists()


def test_no_hash(run, checkpoint, tmp_path):
    data = tmp_path / "r.json"
    run("compare", checkpoint, "--no-hash", "-o", data)
    assert fp4sim.load_result(data).files[0].sha256 is None


def test_a_crossed_threshold_is_a_junit_failure(run, checkpoint, tmp_path):
    path = tmp_path / "r.xml"
    assert run("compare", checkpoint, "--fail-on", "snr_db<99", "-o", path).exit_code == 1
    assert 'failures="2"' in path.read_text()


@pytest.mark.parametrize(
    "words",
    [
        ["formats"],
        ["dialects"],
        ["spec", "nvfp4"],
        ["estimators"],
        ["sources"],
        ["golden", "stimuli"],
    ],
)
def test_lists_are_written_too(run, tmp_path, words):
    data, text = tmp_path / "l.json", tmp_path / "l.txt"
    shown = run(*words, "-o", data, "-o", text)
    assert shown.exit_code == 0
    assert text.read_text() == shown.stdout
    assert data.read_text() == run(*words, "--json").stdout
    refused = run(*words, "-o", tmp_path / "l.html")
    assert (refused.exit_code, "the suffix is one of .json .txt" in refused.stderr) == (2, True)


def test_diff_writes_reports(run, checkpoint, tmp_path):
    outputs = [tmp_path / f"d{suffix}" for suffix in SUFFIXES]
    done = run("diff", checkpoint, *(word for path in outputs for word in ("-o", path)))
    assert (done.exit_code, done.stderr) == (0, "")
    assert fp4sim.load_result(tmp_path / "d.json").schema == "fp4sim.diff/1"
    assert "nvfp4@torchao" in (tmp_path / "d.html").read_text()
