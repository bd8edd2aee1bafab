"""The runner of everything that is for a GPU: parts that pass, fail, hang, or cannot be run. No GPU needed."""

from __future__ import annotations

import sys
import time

import pytest

from fp4sim.kernels.cuda import load
from tests.cuda import session
from tests.cuda.session import ROOT, Part, run_all


def part(name: str, code: str, seconds: float = 20, needs: str = "") -> Part:
    return Part(name, (sys.executable, "-c", code), seconds, needs)


def test_parts_that_pass_fail_and_are_left_out(tmp_path, capfd):
    chosen = [
        part("good", "import tests.cuda.session; print('all right')"),
        part("bad", "raise SystemExit('wrong bits')"),
        part("absent", "print(1)", needs="no_such_program"),
    ]
    done = run_all(chosen, tmp_path, 60)
    assert [one.verdict for one in done] == ["ok", "FAILED", "left out"]
    assert [one.note for one in done] == ["all right", "wrong bits", "no_such_program is not installed"]
    assert (tmp_path / "good.txt").read_text() == "all right\n"
    assert "wrong bits" in capfd.readouterr().out
    assert not (tmp_path / "absent.txt").exists()


def test_a_part_that_hangs_is_ended_with_its_children_and_what_it_said_is_kept(tmp_path):
    code = (
        "import subprocess, sys; print('begun'); subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    )
    start = time.monotonic()
    (done,) = run_all([part("hangs", code, seconds=3)], tmp_path, 60)
    assert (done.verdict, done.note) == ("OUT OF TIME", "begun")
    assert time.monotonic() - start < 30


def test_nothing_is_begun_when_the_time_is_spent(tmp_path):
    (done,) = run_all([part("late", "print(1)")], tmp_path, 1)
    assert (done.verdict, done.note) == ("left out", "the time is spent")


def test_every_part_is_there(tmp_path):
    for one in session.parts(tmp_path):
        for word in one.command:
            assert not word.startswith(("benchmarks/", "tests/")) or (ROOT / word).exists()
    assert sum(one.seconds for one in session.parts(tmp_path)[:3]) < 600


def test_without_a_gpu(tmp_path, monkeypatch, capsys):
    def none():
        raise load.DeviceError("no CUDA GPU is present")

    monkeypatch.setattr(session, "get_cupy", none)
    assert session.main(["--out", str(tmp_path / "out")]) == 4
    assert capsys.readouterr().err == "no CUDA GPU is present\n"
    assert not (tmp_path / "out").exists()
    with pytest.raises(SystemExit):
        session.main(["--only", "nonsense"])
