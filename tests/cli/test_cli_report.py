"""``fp4sim report``, and -o on every command."""

from __future__ import annotations

import json
import math

import numpy as np
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


def test_report_draws_the_worst_tensors_by_block(run, tmp_path):
    rng = np.random.default_rng(0)
    arrays = {f"layers.{i}.w": rng.standard_normal((16, 64)).astype(np.float32) for i in range(4)}
    arrays["layers.4.w"] = np.where(rng.random((16, 64)) < 0.1, 1, 1e-3).astype(np.float32) * arrays["layers.0.w"]
    np.savez(tmp_path / "w.npz", **arrays)
    page, data, again = tmp_path / "r.html", tmp_path / "r.json", tmp_path / "again.html"
    formats = "nvfp4,nvfp4+4over6,mxfp4,e1m2/16@e4m3"
    assert run("report", tmp_path / "w.npz", "-f", formats, "-o", page, "-o", data).exit_code == 0
    result = fp4sim.load_result(data)
    snr = {tensor.name: tensor.results[0].snr_db for tensor in result.tensors}
    assert [tensor.name for tensor in result.blocks] == sorted(snr, key=snr.get)[:2]
    assert {tensor.source for tensor in result.blocks} == {"w.npz"}
    for tensor in result.blocks:
        assert len(tensor.results) == 3
        x2, e2 = (sum(getattr(found, part) for found in tensor.results[0].scales) for part in ("x2", "e2"))
        assert -10 * math.log10(e2 / x2) == pytest.approx(snr[tensor.name], rel=1e-9)
    text = page.read_text()
    for title in ("Error by block scale", "Error over rows and blocks", "Elements within their blocks", "Blocks on 4"):
        assert text.count(f"<h3>{title}") == 1
    assert text.count("lowest in SNR under nvfp4; the first 3 formats.") == 4
    assert run("report", "render", data, "-o", again).exit_code == 0
    assert again.read_text() == text


def test_no_figure_by_block_without_an_error_or_a_choice(run, tmp_path):
    np.save(tmp_path / "exact.npy", np.full((4, 32), 2688, np.float32))
    assert run("report", tmp_path / "exact.npy", "-o", tmp_path / "e.html", "-o", tmp_path / "e.json").exit_code == 0
    assert fp4sim.load_result(tmp_path / "e.json").blocks == ()
    assert "Error over rows" not in (tmp_path / "e.html").read_text()
    np.save(tmp_path / "w.npy", np.random.default_rng(0).standard_normal((4, 32)).astype(np.float32))
    assert run("report", tmp_path / "w.npy", "-o", tmp_path / "w.html").exit_code == 0
    text = (tmp_path / "w.html").read_text()
    assert "Error over rows" in text
    assert "Blocks on 4" not in text


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda one: one["results"].clear(), "blocks[0].results has 0 entries where 1 belong"),
        (lambda one: one["results"].pop(), "blocks[1].results has 2 entries where 1 belong"),
        (lambda one: one["results"][0]["map"]["energy"][0].append(1.0), "blocks[0].results[0].map is no rectangle"),
    ],
)
def test_damaged_blocks_are_one_line(run, tmp_path, damage, says):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "w.npz", a=rng.standard_normal((4, 32)), b=rng.standard_normal((4, 32)))
    saved = tmp_path / "r.json"
    run("report", tmp_path / "w.npz", "-o", saved)
    data = json.loads(saved.read_text())
    damage(data["blocks"][0])
    saved.write_text(json.dumps(data))
    done = run("report", "render", saved)
    assert done.exit_code == 3
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


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
def test_lists_are_written_too(run, tmp_path, words, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")  # files are as wide as that, whatever the terminal
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
