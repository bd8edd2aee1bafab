"""Kernels that are right, wrong, crash or hang, by files and by streams."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest

import fp4sim
from tests.golden.conftest import PYTHON, PYTHON_KERNEL, one_line

CPP_WORDS = ["{x}", "{dtype}", "{rows}", "{cols}", "{out}"]


def test_the_python_kernel_is_right(run, built_pack):
    result = run("golden", "run", built_pack, "--once", "--", PYTHON, PYTHON_KERNEL)
    assert result.exit_code == 0, (result.stdout, result.stderr)
    assert "every bit right" in result.stdout


def test_the_cpp_kernel_is_right_on_every_stimulus(run, tmp_path, cpp_kernel):
    run("golden", "make", tmp_path / "pack")
    result = run("golden", "run", tmp_path / "pack", "--", cpp_kernel(), *CPP_WORDS)
    assert result.exit_code == 0, (result.stdout, result.stderr)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("std::fabs(x) >= bounds[i]", "std::fabs(x) > bounds[i]", "ties"),
        ("(i % 2 ? 4 : 0)", "(i % 2 ? 0 : 4)", "nibble"),
        ("out.scales[b] = scale", "out.scales[b] = scale - (scale > 0)", "low"),
    ],
)
def test_wrong_cpp_kernels_are_found(run, built_pack, cpp_kernel, old, new, words):
    result = run("golden", "run", built_pack, "--", cpp_kernel(old, new), *CPP_WORDS)
    assert result.exit_code == 1, (result.stdout, result.stderr)
    assert words in result.stdout
    assert "repro: fp4sim golden run" in result.stdout


def test_one_start_a_case_and_kept_outputs(run, built_pack, tmp_path, cpp_kernel):
    out = tmp_path / "out"
    assert run("golden", "run", built_pack, "--out", out, "--", cpp_kernel(), *CPP_WORDS).exit_code == 0
    assert run("golden", "check", built_pack, out).exit_code == 0
    again = run("golden", "run", built_pack, "--out", out, "--", cpp_kernel(), *CPP_WORDS)
    assert again.exit_code == 2
    assert "holds files already" in again.stderr


@pytest.mark.parametrize(
    ("code", "exit_code", "words"),
    [
        ("import sys; print('boom \\x1b[31m'); sys.exit(7)", 4, "exit code 7: boom \\x1b[31m"),
        ("import os; os.abort()", 4, "SIGABRT"),
        ("pass", 5, "no output"),
        ("raise SystemExit(1)", 4, "exit code 1"),
    ],
)
def test_kernels_that_fail(run, built_pack, python_kernel, code, exit_code, words):
    result = run("golden", "run", built_pack, "--once", "--", PYTHON, python_kernel(code))
    assert result.exit_code == exit_code, result.stderr
    assert one_line(result.stderr)
    assert words in result.stderr


def test_a_kernel_that_writes_nothing_is_told_where_to(run, built_pack):
    result = run("golden", "run", built_pack, "--", "true")
    assert result.exit_code == 5
    assert result.stderr.startswith("fp4sim: error: no output: the kernel ended well but wrote nothing for any of ")
    assert "FP4SIM_OUT" in result.stderr


def test_a_kernel_that_hangs_is_stopped_with_its_children(run, built_pack, python_kernel, tmp_path):
    mark = tmp_path / "child"
    code = f"""
import subprocess, time
subprocess.Popen([{PYTHON!r}, "-c", "import time; time.sleep(3); open({str(mark)!r}, 'w')"])
time.sleep(60)
"""
    start = time.monotonic()
    result = run("golden", "run", built_pack, "--once", "--timeout", "0.7", "--", PYTHON, python_kernel(code))
    assert result.exit_code == 4
    assert "still ran after 0.7 s" in result.stderr
    assert time.monotonic() - start < 10
    time.sleep(3)
    assert not mark.exists()


def test_a_kernel_that_is_not_there(run, built_pack):
    result = run("golden", "run", built_pack, "--", "./no-such-kernel")
    assert result.exit_code == 2
    assert one_line(result.stderr)


def stream(run, *args):
    result = run("golden", "make", "--stream", *args)
    assert result.exit_code == 0, result.stderr
    return result.stdout_bytes


@pytest.fixture(scope="session")
def streamed(cpp_kernel):
    """What the C++ kernel makes of a stream."""
    make = [sys.executable, "-c", "from fp4sim.cli.main import main; main()", "golden", "make", "--stream"]
    sent = subprocess.run([*make, "--stimuli", "ties,specials,padding"], capture_output=True, check=True).stdout
    return subprocess.run([str(cpp_kernel())], input=sent, capture_output=True, check=True).stdout


def test_a_stream_through_a_kernel(run, streamed):
    result = run("golden", "check", "-", stdin=streamed)
    assert result.exit_code == 0, (result.stdout, result.stderr)
    assert "13 cases" in result.stdout


def test_the_whole_pipe():
    fp4 = f'{sys.executable} -c "from fp4sim.cli.main import main; main()" golden'
    pipe = f"{fp4} make --stream --stimuli ties | {sys.executable} {PYTHON_KERNEL} --stream | {fp4} check -"
    done = subprocess.run(pipe, shell=True, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    dead = subprocess.run(f"{fp4} make --stream | true | {fp4} check -", shell=True, capture_output=True, text=True)
    assert dead.returncode == 3
    assert "empty" in dead.stderr
    assert "Traceback" not in dead.stderr


def test_a_wrong_byte_in_a_stream_is_a_mismatch(run, streamed):
    place = streamed.index(b"\n", streamed.index(b"array codes")) + 3
    changed = bytearray(streamed)
    changed[place] ^= 1
    result = run("golden", "check", "-", stdin=bytes(changed))
    assert result.exit_code == 1, result.stderr


def test_every_truncation_of_a_stream_is_noticed(run, streamed):
    lengths = {0, 1, 14, 20, 100, len(streamed) - 1, len(streamed) - 4, len(streamed) - 9}
    lengths |= {int(n) for n in np.linspace(30, len(streamed) - 10, 40)}
    for length in sorted(lengths):
        result = run("golden", "check", "-", stdin=streamed[:length])
        assert result.exit_code == 3, (length, result.stdout, result.stderr)
        assert one_line(result.stderr)


def _replaced(old, new):
    return lambda raw: raw.replace(old, new, 1)


MALFORMED = {
    "other program": (lambda raw: b"hello world\n", "fp4sim-stream"),
    "other version": (_replaced(b"fp4sim-stream 1", b"fp4sim-stream 2"), "version"),
    "bytes": (lambda raw: bytes(range(128, 256)) + b"\n", "ASCII"),
    "no line feed": (lambda raw: b"x" * 10000, "4096"),
    "x changed": (lambda raw: raw[:300] + bytes([raw[300] ^ 1]) + raw[301:], "unchanged"),
    "goes on": (lambda raw: raw + b"more\n", "after its end"),
    "huge array": (_replaced(b"array codes uint8 2 9 ", b"array codes uint8 2 9000000000 "), "does not take"),
    "bad dtype": (_replaced(b"array codes uint8", b"array codes object"), "dtype"),
    "bad number": (_replaced(b"array codes uint8 2 ", b"array codes uint8 -2 "), "not a number"),
    "many axes": (_replaced(b"array codes uint8 2 ", b"array codes uint8 99 "), "malformed"),
    "bad spec": (_replaced(b" e2m1/16", b" e9m1/16"), "e9m1"),
    "twice": (_replaced(b"array block_scale", b"array codes"), "twice"),
    "fewer cases": (_replaced(b"fp4sim-stream 1 13", b"fp4sim-stream 1 12"), "announced"),
    "unknown line": (_replaced(b"array codes", b"bogus codes"), "bogus"),
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_malformed_streams(run, streamed, kind):
    change, words = MALFORMED[kind]
    changed = change(streamed)
    assert changed != streamed
    result = run("golden", "check", "-", stdin=changed)
    assert result.exit_code == 3, (result.stdout, result.stderr)
    assert one_line(result.stderr)
    assert words in result.stderr


def test_a_kernel_that_adds_nothing(run):
    sent = stream(run, "--stimuli", "ties")
    result = run("golden", "check", "-", stdin=sent)
    assert result.exit_code == 5
    assert one_line(result.stderr)


def test_hostile_lengths_take_no_memory(run):
    head = f"fp4sim-stream 1 1 0\ncase a {fp4sim.parse('nvfp4')} 00\narray x uint8 1 {1 << 60} {1 << 60}\nabc"
    result = run("golden", "check", "-", stdin=head.encode())
    assert result.exit_code == 3
    assert "cut off" in result.stderr
