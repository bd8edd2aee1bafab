"""Atomic writing: all or nothing, and errors that say what to do."""

import errno
import os
import stat

import pytest

from fp4sim.errors import UsageError
from fp4sim.io.writer import write_atomically


def test_writes_text_and_bytes(tmp_path):
    with write_atomically(tmp_path / "a.txt", "w") as file:
        file.write("é\n1\r\n")
        assert not (tmp_path / "a.txt").exists()
    assert (tmp_path / "a.txt").read_bytes() == "é\n1\r\n".encode()
    with write_atomically(str(tmp_path / "b.bin")) as file:
        file.write(b"\x00\n")
    assert (tmp_path / "b.bin").read_bytes() == b"\x00\n"
    assert sorted(item.name for item in tmp_path.iterdir()) == ["a.txt", "b.bin"]


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_failure_keeps_the_old_file_and_leaves_nothing(failure, tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail():
        with write_atomically(path, "w") as file:
            file.write("new")
            file.flush()
            raise failure

    with pytest.raises(failure):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_unwritable_targets(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    cases = {
        "nowhere/a.txt": "folder does not exist",
        "file/a.txt": "not a directory",
        ".": "is a folder",
        "x" * 300: "too long",
        "nul\0": "null",
        "loop": "symbolic link",
    }
    before = sorted(tmp_path.iterdir())
    for name, match in cases.items():
        with pytest.raises(UsageError, match=match) as error, write_atomically(f"{tmp_path}/{name}", "w"):
            pytest.fail("the block must not run")
        assert str(error.value).isprintable()
    assert sorted(tmp_path.iterdir()) == before


def test_full_disk_is_one_line(tmp_path):
    with pytest.raises(UsageError, match=r"cannot write .*: no space left"), write_atomically(tmp_path / "a", "w"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_other_system_errors_of_the_block_are_its_own(tmp_path):
    with pytest.raises(FileNotFoundError), write_atomically(tmp_path / "a", "w"):
        (tmp_path / "missing").read_text()
    assert list(tmp_path.iterdir()) == []


def test_links_are_followed(tmp_path):
    target = tmp_path / "real.txt"
    target.write_text("old")
    (tmp_path / "link.txt").symlink_to(target)
    (tmp_path / "dangling.txt").symlink_to(tmp_path / "new.txt")
    for name in ("link.txt", "dangling.txt"):
        with write_atomically(tmp_path / name, "w") as file:
            file.write("new")
        assert (tmp_path / name).is_symlink()
    assert target.read_text() == (tmp_path / "new.txt").read_text() == "new"


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_permissions(tmp_path):
    old = os.umask(0o027)
    try:
        with write_atomically(tmp_path / "new", "w"):
            pass
        (tmp_path / "private").touch(0o600)
        with write_atomically(tmp_path / "private", "w"):
            pass
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "private").stat().st_mode) == 0o600


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_special_file_is_written_not_replaced(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with write_atomically(path, "wb") as file:
            file.write(b"through")
        assert os.read(reader, 100) == b"through"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(path.stat().st_mode)
