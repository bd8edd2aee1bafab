"""Packs: round trips, and every kind of tampering is one line and exit code 3."""

from __future__ import annotations

import hashlib
import json
import os
import shutil

import ml_dtypes
import numpy as np
import pytest

import fp4sim
from fp4sim.golden.reader import is_pack, read_pack
from tests.golden.conftest import FEW, one_line


def manifest_of(pack):
    return json.loads((pack / "manifest.json").read_text())


def test_round_trip(run, built_pack):
    result = run("golden", "check", built_pack)
    assert result.exit_code == 0, result.stderr
    assert "every bit right" in result.stdout


def test_verify_takes_a_pack_as_golden_check_does(run, built_pack, tmp_path):
    checked, verified = run("golden", "check", built_pack, "--json"), run("verify", built_pack, "--json")
    assert verified.exit_code == 0, verified.stderr
    assert json.loads(verified.stdout)["schema"] == json.loads(checked.stdout)["schema"]
    damaged = tmp_path / "damaged"
    shutil.copytree(built_pack, damaged)
    wrong = next(damaged.rglob("*.bin"))
    wrong.write_bytes(wrong.read_bytes()[:-1] + b"\x55")
    assert run("verify", damaged).exit_code == 3  # the manifest's hash
    refused = run("verify", built_pack, "--spec", "nvfp4")
    assert refused.exit_code == 2
    assert one_line(refused.stderr)
    assert "leave --spec out" in refused.stderr


def test_files_are_what_the_manifest_says(built_pack):
    manifest = manifest_of(built_pack)
    assert manifest["schema"] == "fp4sim.golden/1"
    assert manifest["BITS_VERSION"] == fp4sim.BITS_VERSION
    for case in manifest["cases"]:
        for entry in case["arrays"].values():
            raw = (built_pack / entry["file"]).read_bytes()
            assert hashlib.sha256(raw).hexdigest() == entry["sha256"]
            npy = np.load(built_pack / entry["npy"], allow_pickle=False)
            bits = npy.view(ml_dtypes.bfloat16) if entry["dtype"] == "bfloat16" else npy
            assert bits.dtype.name == entry["dtype"]
            assert list(bits.shape) == entry["shape"]
            assert npy.astype(npy.dtype.newbyteorder("<")).tobytes() == raw


def test_equal_seeds_make_equal_packs(run, built_pack, tmp_path):
    run("golden", "make", tmp_path / "again", "-f", "nvfp4", "--stimuli", FEW)
    assert (tmp_path / "again" / "manifest.json").read_text() == (built_pack / "manifest.json").read_text()


def test_several_formats_in_a_pack(run, tmp_path):
    made = run("golden", "make", tmp_path / "p", "-f", "mxfp4,nvfp4/16x16,nvfp4+rht:64", "--stimuli", "gaussian,ties")
    assert made.exit_code == 0, made.stderr
    checked = run("golden", "check", tmp_path / "p", "--json")
    document = json.loads(checked.stdout)
    assert (checked.exit_code, document["schema"], document["cases"]) == (0, "fp4sim.golden-check/1", 6)
    assert [result["ok"] for result in document["results"]] == [True] * 3


def test_packs_of_dialects(run, tmp_path):
    made = run("golden", "make", tmp_path / "p", "-f", "nvfp4@torchao,mxfp4@modelopt", "--stimuli", "amax,specials")
    assert made.exit_code == 0, made.stderr
    checked = run("golden", "check", tmp_path / "p")
    assert checked.exit_code == 0, checked.stdout


def test_expected_outputs_are_a_kernels_outputs(run, built_pack, tmp_path):
    """A folder like the pack, one .npz and one .safetensors file are all read."""
    assert run("golden", "check", built_pack, built_pack).exit_code == 0
    arrays = {}
    for case in read_pack(built_pack).cases:
        arrays |= {f"{case.name}.codes": case.arrays["codes"].load()}
        arrays |= {f"{case.name}.sf": case.arrays["block_scale_128x4"].load()}
    np.savez(tmp_path / "out.npz", **arrays)
    fp4sim.io.writer.write_safetensors(tmp_path / "out.safetensors", arrays)
    for name in ("out.npz", "out.safetensors"):
        result = run("golden", "check", built_pack, tmp_path / name)
        assert result.exit_code == 0, (result.stdout, result.stderr)


def test_a_wrong_output_is_found_and_explained(run, pack, tmp_path):
    actual = shutil.copytree(pack, tmp_path / "actual")
    codes = actual / "nvfp4" / "gaussian" / "codes.bin"
    raw = np.frombuffer(codes.read_bytes(), np.uint8)
    codes.write_bytes((raw >> 4 | raw << 4).tobytes())
    result = run("golden", "check", pack, actual)
    assert result.exit_code == 1
    assert "nvfp4/gaussian" in result.stdout
    assert "nibble" in result.stdout
    assert all(len(line) <= 100 for line in result.stdout.splitlines() if not line.startswith("repro"))


def test_files_of_a_verdict(run, pack, tmp_path):
    (tmp_path / "a").mkdir()
    result = run(
        "golden", "check", pack, "-o", tmp_path / "v.json", "-o", tmp_path / "v.md", "--junit", tmp_path / "v.xml"
    )
    assert result.exit_code == 0, result.stderr
    assert json.loads((tmp_path / "v.json").read_text())["ok"] is True
    assert "every bit" in (tmp_path / "v.md").read_text()
    assert (tmp_path / "v.xml").read_text().startswith("<?xml")


def _edit(change):
    def tamper(pack):
        manifest = manifest_of(pack)
        change(manifest)
        (pack / "manifest.json").write_text(json.dumps(manifest))

    return tamper


def _first(manifest):
    return manifest["cases"][0]["arrays"]["x"]


def _flip(pack, name="codes.bin"):
    path = pack / "nvfp4" / "ties" / name
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(bytes(raw))


TAMPERED = {
    "flipped bit in .bin": (_flip, "SHA-256"),
    "flipped bit in .npy": (lambda pack: _flip(pack, "x.npy"), "SHA-256"),
    "truncated file": (lambda pack: (pack / "nvfp4/ties/x.bin").write_bytes(b"1"), "SHA-256"),
    "missing file": (lambda pack: (pack / "nvfp4/ties/x.bin").unlink(), "no such file"),
    "missing manifest": (lambda pack: (pack / "manifest.json").unlink(), "no such file"),
    "manifest cut off": (lambda pack: (pack / "manifest.json").write_text("{"), "JSON"),
    "manifest a list": (lambda pack: (pack / "manifest.json").write_text("[]"), "object"),
    "other schema": (_edit(lambda m: m.update(schema="fp4sim.golden/9")), "schema"),
    "other bits": (_edit(lambda m: m.update(BITS_VERSION=99)), "bits version"),
    "bad seed": (_edit(lambda m: m.update(seed=-1)), "seed"),
    "cases no list": (_edit(lambda m: m.update(cases={})), "cases"),
    "case no object": (_edit(lambda m: m.update(cases=[7])), "case 0"),
    "two of a name": (_edit(lambda m: m.update(cases=m["cases"][:1] * 2)), "same name"),
    "path upward": (_edit(lambda m: _first(m).update(file="../../etc/passwd")), "below"),
    "absolute path": (_edit(lambda m: _first(m).update(file="/etc/passwd")), "below"),
    "name upward": (_edit(lambda m: m["cases"][0].update(name="../x")), "below"),
    "unknown dtype": (_edit(lambda m: _first(m).update(dtype="object")), "dtype"),
    "wrong shape": (_edit(lambda m: _first(m).update(shape=[1, 2])), "takes"),
    "negative shape": (_edit(lambda m: _first(m).update(shape=[-1])), "shape"),
    "huge shape": (_edit(lambda m: _first(m).update(shape=[1 << 40, 1 << 40])), "takes"),
    "no hash": (_edit(lambda m: _first(m).pop("sha256")), "sha256"),
    "bad spec": (_edit(lambda m: m["cases"][0].update(spec="nvfp9")), "nvfp9"),
    "no x": (_edit(lambda m: m["cases"][0]["arrays"].pop("x")), "missing"),
    "control characters": (_edit(lambda m: m["cases"][0].update(name="a\x1b[31m", spec=3)), "\\x1b"),
}


@pytest.mark.parametrize("kind", TAMPERED)
def test_tampered_packs_are_one_line_and_exit_3(run, pack, kind):
    tamper, words = TAMPERED[kind]
    tamper(pack)
    result = run("golden", "check", pack)
    assert result.exit_code == 3, result.stderr
    assert one_line(result.stderr)
    assert words in result.stderr
    assert result.stdout == ""


def test_an_expected_output_changed_with_its_hash_is_a_mismatch(run, pack):
    _flip(pack)
    manifest = manifest_of(pack)
    entry = next(case for case in manifest["cases"] if case["stimulus"] == "ties")["arrays"]["codes"]
    entry["sha256"] = hashlib.sha256((pack / entry["file"]).read_bytes()).hexdigest()
    (pack / "manifest.json").write_text(json.dumps(manifest))
    assert run("golden", "check", pack).exit_code == 1


@pytest.mark.parametrize(
    ("prepare", "code", "words"),
    [
        (lambda out: None, 5, "no output"),
        (lambda out: _put(out, "nvfp4/ties/codes.bin", bytes(288)), 3, "no output for case"),
        (lambda out: _put(out, "nvfp4/ties/codes.bin", b""), 3, "empty"),
    ],
)
def test_missing_outputs(run, built_pack, tmp_path, prepare, code, words):
    (tmp_path / "out").mkdir()
    prepare(tmp_path / "out")
    result = run("golden", "check", built_pack, tmp_path / "out")
    assert result.exit_code == code
    assert one_line(result.stderr)
    assert words in result.stderr


def _put(out, name, raw):
    path = out / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(raw)


@pytest.mark.parametrize(
    ("name", "raw"), [("codes.bin", bytes(7)), ("tensor_scale.bin", bytes(3)), ("codes.npy", b"x")]
)
def test_outputs_of_the_wrong_size(run, built_pack, tmp_path, name, raw):
    actual = shutil.copytree(built_pack, tmp_path / "actual")
    (actual / "nvfp4" / "ties" / name.replace(".npy", ".bin")).unlink()
    (actual / "nvfp4" / "ties" / name).write_bytes(raw)
    result = run("golden", "check", built_pack, actual)
    assert result.exit_code == 3, result.stdout
    assert one_line(result.stderr)


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["make"], 2, "--stream"),
        (["make", "x", "--stream"], 2, "not both"),
        (["make", "x", "--stimuli", "nope"], 2, "no stimulus"),
        (["make", "x", "-f", "nope"], 2, "nope"),
        (["make", "x", "-f", "nvfp4+sr"], 2, "golden"),
        (["make", "missing/x"], 2, "folder around"),
        (["check", "missing"], 3, "no such file"),
        (["check", "-", "x"], 2, "ACTUAL"),
        (["check", "x", "--junit", "x.txt"], 2, ".xml"),
        (["check", "x", "-o", "x.pdf"], 2, ".json"),
        (["run", "missing", "--", "true"], 3, "no such file"),
        (["run", "missing"], 2, "KERNEL"),
    ],
)
def test_usage(run, args, code, words):
    result = run("golden", *args)
    assert result.exit_code == code, result.stderr
    assert one_line(result.stderr)
    assert words in result.stderr


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
def test_a_manifest_that_is_a_pipe_is_not_waited_for(run, tmp_path):
    os.mkfifo(tmp_path / "manifest.json")
    assert not is_pack(tmp_path)
    result = run("verify", tmp_path, "--spec", "nvfp4")
    assert result.exit_code == 3
    assert "not a regular file" in result.stderr


def test_a_pack_is_never_overwritten(run, pack):
    before = (pack / "manifest.json").read_text()
    result = run("golden", "make", pack, "--stimuli", "ties")
    assert result.exit_code == 2
    assert "there already" in result.stderr
    assert (pack / "manifest.json").read_text() == before


def test_a_failed_make_leaves_nothing(run, tmp_path):
    result = run("golden", "make", tmp_path / "p", "-f", "bf16")
    assert result.exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_stimuli_are_listed(run):
    assert "exhaustive" in run("golden", "stimuli").stdout
    assert json.loads(run("golden", "stimuli", "--json").stdout)["schema"] == "fp4sim.stimuli/1"
