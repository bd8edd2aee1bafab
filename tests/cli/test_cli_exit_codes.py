"""Exit codes and one-line errors."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import fp4sim
from fp4sim.cli.guard import exit_code_of
from fp4sim.errors import DeviceError, Fp4simError


def one_line(text):
    return text.startswith("fp4sim: ") and text.endswith("\n") and text.count("\n") == 1


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["compare", "-f", "nope"], 2, "is not a format"),
        (["compare", "-f", ""], 2, "no format"),
        (["compare", "--sort", "x"], 2, "rel_mse"),
        (["compare", "--metrics", "x"], 2, "rel_mse"),
        (["compare", "--metrics", ","], 2, "names none"),
        (["compare", "--fail-on", "snr_db=1"], 2, "METRIC<VALUE"),
        (["compare", "--fail-on", "x<1"], 2, "no metric"),
        (["compare", "--fail-on", "flushed>5"], 2, "0.05"),
        (["compare", "-o", "x.pdf"], 2, ".html .md .json .csv .xml .txt"),
        (["compare", "-o", "missing/x.json"], 2, "folder"),
        (["compare", "-o", "x" * 300 + ".json"], 2, "file name too long"),
        (["compare", "-o"], 2, "fp4sim compare --help"),
        (["bias", "--layer", "x", "w"], 2, "fp4sim bias --help"),
        (["golden", "run", "--timeout"], 2, "fp4sim golden run --help"),
        (["quantize", "synthetic:ties", "x" * 300 + ".safetensors", "-f", "nvfp4"], 2, "file name too long"),
        (["convert", "synthetic:ties", "x" * 300, "--to", "modelopt", "--spec", "nvfp4"], 2, "file name too long"),
        (["golden", "make", "x" * 300], 2, "file name too long"),
        (["crosscheck", "-o", "x" * 300 + "/x.json"], 2, "file name too long"),
        (["plot", "snr", "synthetic:ties", "-o", "x" * 300 + ".png"], 2, "file name too long"),
        (["compare", "synthetic:nope"], 2, "known"),
        (["compare", "--threads", "0"], 2, "--threads"),
        (["compare", "--nonfinite", "maybe"], 2, "propagate"),
        (["compare", "--nope"], 2, "--nope"),
        (["compare", "--axis", "x"], 2, "--axis"),
        (["compare", "synthetic:specials", "--axis", "7"], 2, "axis 7"),
        (["compare", "missing.safetensors"], 3, "no such file"),
        (["compare", "synthetic", "--include", "nothing*"], 5, "--include"),
        (["nope"], 2, "nope"),
        (["formats", "nvfp4"], 2, "fp4sim spec nvfp4"),
        (["formats", "ue5m3:max=7"], 2, "61440"),
        (["formats", "e2m1\x1b[31m"], 2, "\\x1b"),
        (["spec"], 2, "SPEC"),
        (["spec", "nvfp4@"], 2, "column 6"),
        (["quantize", "synthetic:ties", "x.safetensors"], 2, "--format"),
        (["quantize", "synthetic:ties", "x.npz", "-f", "nvfp4"], 2, ".safetensors"),
        (["dequantize", "missing.safetensors", "y.safetensors"], 3, "no such file"),
        (["dequantize", "missing.safetensors", "y.txt"], 2, ".npz"),
    ],
)
def test_errors_are_one_line(run, args, code, words):
    result = run(*args)
    assert result.exit_code == code
    assert result.stdout == ""
    assert one_line(result.stderr), result.stderr
    assert words in result.stderr
    assert "\x1b" not in result.stderr


def test_no_command_shows_help_and_is_no_success(run):
    result = run()
    assert result.exit_code == 2
    assert "Commands:" in result.stdout


@pytest.mark.parametrize("args", [["--help"], ["compare", "-h"], ["--version"]])
def test_help(run, args):
    result = run(*args)
    assert result.exit_code == 0
    assert result.stderr == ""


def test_help_documents_exit_codes(run):
    text = run("--help").stdout
    for code in (0, 1, 2, 3, 4, 5, 70, 130):
        assert f"\n    {code:<4} " in text


def test_help_loads_nothing_heavy(process):
    script = (
        "import sys; sys.argv = ['fp4sim', 'compare', '--help']\n"
        "from fp4sim.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: print([m for m in ('numpy', 'numba', 'rich', 'ml_dtypes') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60).stdout
    assert out.endswith("[]\n")


def test_version(run):
    assert run("--version").stdout == f"fp4sim {fp4sim.__version__} (bits version {fp4sim.BITS_VERSION})\n"


@pytest.mark.parametrize(
    ("error", "code"),
    [(DeviceError("no GPU\x1b[0m\nhere"), 4), (KeyboardInterrupt(), 130), (MemoryError(), 70), (Fp4simError("x"), 70)],
)
def test_guard(capsys, error, code):
    def fail():
        raise error

    assert exit_code_of(fail) == code
    text = capsys.readouterr().err
    assert one_line(text)
    assert "\x1b" not in text


@pytest.mark.parametrize("debug", ["", "1"])
def test_a_bug_asks_for_a_report(capsys, monkeypatch, debug):
    monkeypatch.setenv("FP4SIM_DEBUG", debug)

    def fail():
        raise KeyError("a\nb")

    assert exit_code_of(fail) == 70
    text = capsys.readouterr().err
    assert "please report" in text
    assert ("Traceback" in text) == bool(debug)
    assert one_line(text) != bool(debug)


def test_codes_of_real_processes(process, tmp_path):
    assert process("compare", "synthetic:ties", "-f", "mxfp4").returncode == 0
    failed = process("compare", "synthetic:ties", "-f", "mxfp4", "--fail-on", "snr_db<99")
    assert failed.returncode == 1
    assert failed.stderr.startswith("fp4sim: failed: mxfp4: snr_db 19.")
    usage = process("compare", "--nope")
    assert usage.returncode == 2
    assert one_line(usage.stderr)
    broken = tmp_path / "x.safetensors"
    broken.write_bytes(b"\x08\0\0\0\0\0\0\0{")
    assert process("compare", broken).returncode == 3


@pytest.mark.skipif(os.name == "nt", reason="pipes close differently")
@pytest.mark.parametrize("args", [["formats", "e8m0"], ["compare", "synthetic:ties", "--json"], ["--help"]])
def test_a_reader_that_leaves_is_no_error(args):
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-c", "from fp4sim.cli.main import main; main()", *args]
    try:
        done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, timeout=120)
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(os.name == "nt", reason="closes descriptors in a shell")
@pytest.mark.parametrize(
    ("args", "code", "closed"),
    [  # a process each
        ("compare synthetic:ties -f mxfp4 --fail-on 'snr_db<99'", 1, ">&-"),
        ("compare synthetic:ties -f mxfp4 --fail-on 'snr_db<99'", 1, "2>&-"),
        ("compare nope.npy", 3, ">&- 2>&-"),
        ("formats", 0, ">&-"),
        ("formats", 0, "2>&-"),
        ("--help", 0, ">&- 2>&-"),
        ("--nope", 2, ">&-"),
        ("--nope", 2, "2>&-"),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in [
                ("compare synthetic:ties", 0, ">&-"),
                ("compare synthetic:ties", 0, "2>&-"),
                ("compare synthetic:ties", 0, ">&- 2>&-"),
                ("compare synthetic:ties -f mxfp4 --fail-on 'snr_db<99'", 1, ">&- 2>&-"),
                ("compare nope.npy", 3, ">&-"),
                ("compare nope.npy", 3, "2>&-"),
                ("formats", 0, ">&- 2>&-"),
                ("--help", 0, ">&-"),
                ("--help", 0, "2>&-"),
                ("--nope", 2, ">&- 2>&-"),
            ]
        ),
    ],
)
def test_closed_streams_change_no_code(args, code, closed):
    script = "from fp4sim.cli.main import main; main()"
    command = ["sh", "-c", f'"{sys.executable}" -c "{script}" {args} {closed}']
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stderr
    assert bool(done.stdout) == (closed == "2>&-" and code < 2)
    assert one_line(done.stderr) if closed == ">&-" and code else done.stderr == ""


@pytest.mark.skipif(os.name == "nt", reason="closes descriptors in a shell")
def test_a_closed_stdout_writes_into_no_file(tmp_path):
    script = "from fp4sim.cli.main import main; main()"
    args = f"compare synthetic:ties -o '{tmp_path}/x.json'"
    subprocess.run(["sh", "-c", f'"{sys.executable}" -c "{script}" {args} >&- 2>&-'], check=True, timeout=120)
    assert json.loads((tmp_path / "x.json").read_text())["sources"] == ["synthetic:ties"]


@pytest.mark.parametrize("module", ["typer", "numpy", "numpy.linalg", "rich.console", "fp4sim.commands.compare"])
def test_an_interrupt_during_imports_is_one_line(module):
    script = (
        "import sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}: raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "from fp4sim.cli.main import main\n"
        "main()\n"
    )
    command = [sys.executable, "-c", script, "compare", "synthetic:ties"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "fp4sim: interrupted\n")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_one_line():
    command = [sys.executable, "-c", "from fp4sim.cli.main import main; main()", "formats"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 2
    assert one_line(done.stderr)
    assert "no space left" in done.stderr


def test_ascii_streams_get_question_marks_not_a_crash(process):
    done = process("compare", "synthetic:ties", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.returncode == 0, done.stderr
    assert "relMSE" in done.stdout


def test_ascii_streams_tell_infinite_from_undefined(process, tmp_path):
    np.save(tmp_path / "exact.npy", np.full((2, 32), 6, np.float32))
    done = process("compare", tmp_path / "exact.npy", "-f", "mxfp4", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert " inf " in done.stdout
    assert "inf no error at all" in done.stdout
