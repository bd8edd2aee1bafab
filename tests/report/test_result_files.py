"""Results saved and loaded: equal records, fields of later versions left out, clear errors for what cannot be read."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

import fp4sim
from fp4sim.errors import UnreadableError, UsageError
from fp4sim.report.kinds import KINDS
from fp4sim.report.result import InputFile, Run

NAMES = [kind.name for kind in KINDS]
RUN = Run(("fp4sim", "compare"), "2026-11-28T00:00:00+00:00", 1.5, "x86_64, Linux", "3.11", "2.4", None)


def refuse(constant):
    raise AssertionError(f"{constant} is not JSON")


def test_every_kind_has_an_example(every_kind):
    assert set(every_kind) == set(NAMES)
    for name, result in every_kind.items():
        assert result.schema == f"fp4sim.{name}/1"


@pytest.mark.parametrize("name", NAMES)
def test_load_gives_what_was_saved(every_kind, name, tmp_path):
    files = (InputFile("w.npy", 128, "00" * 32), InputFile("v.npy", 2**40, None))
    result = every_kind[name] if name == "evidence" else replace(every_kind[name], files=files, run=RUN)
    path = tmp_path / "r.json"
    fp4sim.save_result(path, result)
    again = fp4sim.load_result(path)
    assert again == result
    if name != "evidence":  # whose files and run are fields of its own
        assert (again.files, again.run) == (files, RUN)
    text = path.read_text("ascii")
    data = json.loads(text, parse_constant=refuse)
    assert data == json.loads(json.dumps(result.to_dict())) == json.loads(json.dumps(again.to_dict()))
    fp4sim.save_result(tmp_path / "again.json", again)
    assert (tmp_path / "again.json").read_text() == text


@pytest.mark.parametrize("name", NAMES)
def test_a_run_takes_no_part_in_equality(every_kind, name):
    if name != "evidence":
        assert replace(every_kind[name], run=RUN) == every_kind[name]
    assert "run" not in every_kind[name].to_dict()
    assert "files" not in every_kind[name].to_dict()


def grown(data):
    """Every object with a field that this version does not know."""
    if isinstance(data, dict):
        return {**{key: grown(value) for key, value in data.items()}}
    if isinstance(data, list):
        return [
            grown(item) | {"of a later version": [1, {"x": None}]} if isinstance(item, dict) else item for item in data
        ]
    return data


@pytest.mark.parametrize("name", NAMES)
def test_unknown_fields_are_left_out(every_kind, name, tmp_path):
    data = {**grown(every_kind[name].to_dict()), "more": "of a later version"}
    path = tmp_path / "r.json"
    path.write_text(json.dumps(data))
    assert fp4sim.load_result(path) == every_kind[name]


@pytest.mark.parametrize("name", NAMES)
def test_a_newer_schema_says_what_is_needed(every_kind, name, tmp_path):
    path = tmp_path / "r.json"
    path.write_text(json.dumps({**every_kind[name].to_dict(), "schema": f"fp4sim.{name}/2"}))
    with pytest.raises(UnreadableError) as caught:
        fp4sim.load_result(path)
    text = str(caught.value)
    assert f"fp4sim.{name}/2 is newer than fp4sim {fp4sim.__version__} reads (fp4sim.{name}/1)" in text
    assert "upgrade" in text
    assert "\n" not in text


def changed(path, value):
    def change(data):
        *front, last = path
        for key in front:
            data = data[key]
        if value is None:
            del data[last]
        else:
            data[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (changed(["schema"], None), "it has no schema"),
        (changed(["schema"], "fp4sim.formats/1"), "'fp4sim.formats/1' is none of them"),
        (changed(["schema"], "fp4sim.compare/0"), "none of them"),
        (changed(["schema"], ["x"]), "none of them"),
        (changed(["tensors"], None), "has no 'tensors'"),
        (changed(["BITS_VERSION"], None), "has no 'BITS_VERSION'"),
        (changed(["tensors"], {}), "tensors is {}, not a list"),
        (changed(["tensors", 1, "elements"], "many"), "tensors[1].elements is 'many', not a whole number"),
        (changed(["tensors", 1, "elements"], True), "tensors[1].elements is True, not a whole number"),
        (changed(["tensors", 0, "name"], 3), "tensors[0].name is 3, not text"),
        (changed(["tensors", 0, "results", 2, "mse"], "x"), "tensors[0].results[2].mse is 'x', not a number"),
        (changed(["tensors", 0, "results", 2], 7), "tensors[0].results[2] is 7, not an object"),
        (changed(["totals"], []), "totals has 0 entries where 3 belong"),
        (changed(["tensors", 1, "results"], []), "tensors[1].results has 0 entries where 3 belong"),
        (changed(["formats", 0, "notes"], "\x1b[31m"), "\\x1b"),
    ],
)
def test_damaged_results_say_where(plain, tmp_path, change, says):
    data = json.loads(json.dumps(plain.to_dict()))
    change(data)
    path = tmp_path / "r.json"
    path.write_text(json.dumps(data))
    with pytest.raises(UnreadableError) as caught:
        fp4sim.load_result(path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"schema": "fp4sim.compare/1", "x": NaN}', '{"a": 1, "a": 2}', "[" * 9999]
)
def test_no_json_is_an_error(tmp_path, text):
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(UnreadableError, match=r"r\.json"):
        fp4sim.load_result(path)


def test_missing_files_and_no_results(tmp_path):
    with pytest.raises(UnreadableError, match="no such file"):
        fp4sim.load_result(tmp_path / "none.json")
    with pytest.raises(UsageError, match="int is no result"):
        fp4sim.save_result(tmp_path / "x.json", 3)
    assert not (tmp_path / "x.json").exists()


def test_a_failed_save_leaves_the_old_file(plain, tmp_path):
    path = tmp_path / "r.json"
    path.write_text("before")
    with pytest.raises(ValueError, match="JSON"):
        replace(plain, settings={"x": float("nan")}).save(path)
    assert path.read_text() == "before"
    assert [one.name for one in tmp_path.iterdir()] == ["r.json"]
