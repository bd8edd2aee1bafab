"""Outputs that cannot be written are refused before the work."""

from __future__ import annotations

import os

import pytest

from fp4sim.errors import UsageError
from fp4sim.io import target
from fp4sim.io.target import check_writable

LONG = "n" * 300


def refusal(path, **options):
    with pytest.raises(UsageError) as caught:
        check_writable(path, **options)
    return str(caught.value)


def test_what_can_be_written_passes(tmp_path):
    (tmp_path / "there.json").write_text("{}")
    (tmp_path / "link.json").symlink_to(tmp_path / "there.json")
    for path in (tmp_path / "new.json", tmp_path / "there.json", tmp_path / "link.json"):
        check_writable(path)
    check_writable(tmp_path, folder=True)


def test_places_that_are_none(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "link.json").symlink_to(tmp_path / "none" / "x.json")
    assert refusal(tmp_path / "none" / "x.json").endswith("the folder does not exist; create it first")
    assert refusal(tmp_path / "file" / "x.json").endswith("the folder does not exist; create it first")
    assert refusal(tmp_path / "link.json").endswith("the folder does not exist; create it first")
    assert "the folder around it does not exist" in refusal(tmp_path / "none" / "x", folder=True)
    assert refusal(tmp_path).endswith("it is a folder")


@pytest.mark.parametrize("path", [f"{LONG}.json", f"{LONG}/x.json"])
@pytest.mark.parametrize("folder", [False, True])
def test_names_that_no_file_can_have(tmp_path, path, folder):
    assert refusal(tmp_path / path, folder=folder).endswith("file name too long")


def test_a_folder_without_permission(tmp_path, monkeypatch):
    asked = []

    def access(folder, mode):  # root may write anywhere, so permissions alone would test nothing
        asked.append((folder, mode))
        return False

    monkeypatch.setattr(target.os, "access", access)
    assert "no permission to write to its folder" in refusal(tmp_path / "x.json")
    assert "no permission to write to its folder" in refusal(tmp_path / "x", folder=True)
    assert asked == [(tmp_path, os.W_OK | os.X_OK)] * 2
    os.mkfifo(tmp_path / "pipe.json")
    check_writable(tmp_path / "pipe.json")  # written directly, so the folder does not matter
