"""Which models recorded outputs obey: each of the probes' models is found again, and hostile files are refused in a line."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

import fp4sim
from fp4sim.commands.gemm_fit import fit_outputs
from fp4sim.errors import Fp4simError, NothingComparedError, UnreadableError, UsageError
from fp4sim.mma import model_names
from fp4sim.mma.raw import RawPair
from fp4sim.report.gemm_fit_csv import fit_csv
from fp4sim.report.gemm_fit_text import fit_markdown, verdict_lines
from tests.conftest import golden
from tests.verifying.test_gemm_model import WIDE_W, WIDE_X, X, dump, split

NVFP4 = fp4sim.parse("nvfp4")


def write(path, arrays):
    np.savez(path, **{name: np.asarray(array) for name, array in arrays.items()})
    return str(path)


def probes(index):
    vectors = golden("mma_probes.npz")
    fields = ("A", "B", "C", "SA", "SB", "is_mxf4")
    return {f"k64/{field}": vectors[f"k64/{field}"] for field in fields} | {"k64/D": vectors["k64/pred"][:, index]}


def obeyed(result):
    return [name for model in result.obeyed for name in model.names]


@pytest.mark.parametrize("index", [0, 1, 2, 7, 25, 43])
def test_the_model_of_a_run_of_the_probes_is_named(index, tmp_path):
    models = golden("mma_probes.npz")["k64/models"]
    result = fit_outputs(write(tmp_path / "p.npz", probes(index)), NVFP4)
    assert f"probe:{models[index]}" in obeyed(result)
    assert len(result.obeyed) == 1  # no two models agree on all probes
    alias = {0: "blackwell", 1: "mma-sim-2026-01", 2: "ue5m3-report"}.get(index)
    assert alias is None or alias in obeyed(result)
    first = next(model.first for model in result.models if model.differing)
    assert first.probe in golden("mma_probes.npz")["k64/name"].tolist()


def test_counts_and_words_are_those_of_the_predictions(tmp_path):
    vectors = golden("mma_probes.npz")
    result = fit_outputs(write(tmp_path / "p.npz", probes(0)), NVFP4)
    by_name = {name: model for model in result.models for name in model.names}
    for i, model in enumerate(vectors["k64/models"]):
        differ = vectors["k64/pred"][:, 0] != vectors["k64/pred"][:, i]
        found = by_name[f"probe:{model}"]
        assert (found.differing, found.compared) == (np.count_nonzero(differ), 57), model
        if differ.any():
            index = found.first.index[0]
            assert int(found.first.found, 16) == vectors["k64/pred"][index, 0]
            assert int(found.first.predicted, 16) == vectors["k64/pred"][index, i]


def test_a_word_of_no_model(tmp_path):
    arrays = probes(0)
    arrays["k64/D"] = arrays["k64/D"].copy()
    arrays["k64/D"][8] ^= 0x55
    result = fit_outputs(write(tmp_path / "p.npz", arrays), NVFP4)
    assert not result.ok
    assert result.models[0].names[0] == "blackwell"
    assert (result.models[0].differing, result.models[0].first.index) == (1, (8,))
    assert "No model gives all" in next(iter(verdict_lines(result)))


def test_golden_words_by_the_names_of_their_cases(tmp_path):
    vectors = golden("golden_mma.npz")
    keys = [key for key in vectors if key.startswith("sm120_mma/") and key.split("/")[3] == "0"]
    result = fit_outputs(write(tmp_path / "g.npz", {key: vectors[key] for key in keys}), NVFP4)
    assert "blackwell" in obeyed(result)
    assert not {"exact", "fp32-rn", "mma-sim-2026-01", "ue5m3-report"} & set(obeyed(result))
    assert {case.operands for case in result.cases} == {"ue8m0, block 32", "ue8m0, block 16", "ue4m3, block 16"}


@pytest.mark.parametrize("model", ["blackwell", "fp32-rn", "exact", "probe:F24"])
def test_a_dump_of_verify(model, tmp_path):
    arrays = dump(WIDE_X, WIDE_W, model=model)
    result = fit_outputs(write(tmp_path / "d.npz", arrays), NVFP4)
    assert model in obeyed(result)
    assert (model == "blackwell") == ("blackwell" in obeyed(result))


def test_a_split_is_named(tmp_path):
    arrays = dump(WIDE_X, WIDE_W, y=split(WIDE_X, WIDE_W, 4))
    assert obeyed(fit_outputs(write(tmp_path / "d.npz", arrays), NVFP4)) == ["blackwell split-k:4"]
    a, b = (fp4sim.quantize(one, "nvfp4") for one in (WIDE_X, WIDE_W))
    pair = RawPair.of(a, b)
    raw = {"A": a.packed, "B": b.packed, "SA": a.block_scale, "SB": b.block_scale, "D": pair.words(order="split-k:2")}
    result = fit_outputs(write(tmp_path / "r.npz", raw), NVFP4, scale_format="ue4m3")
    assert obeyed(result) == ["blackwell split-k:2"]


def test_rows_of_a_big_product_are_sampled_and_their_places_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("fp4sim.commands.gemm_fit._WORK", 5 * 40 * 512)
    arrays = dump(WIDE_X, WIDE_W)
    arrays["y"] = np.asarray(arrays["y"]).copy()
    arrays["y"][-1, 3] *= 2
    result = fit_outputs(write(tmp_path / "d.npz", arrays), NVFP4)
    assert result.cases[0].compared == 5 * 40
    blackwell = next(model for model in result.models if "blackwell" in model.names)
    assert (blackwell.differing, blackwell.first.index) == (1, (23, 3))


def test_reports(tmp_path):
    result = fit_outputs(write(tmp_path / "p.npz", probes(0)), NVFP4)
    json.dumps(result.to_dict(), allow_nan=False)
    assert result.to_dict()["schema"] == "fp4sim.gemm-fit/1"
    assert result.to_dict()["obeyed"] == ["blackwell", "probe:hw_F35"]
    assert "C=2^33 plus dot" in fit_markdown(result)
    assert len(fit_csv(result).splitlines()) == 1 + sum(len(model.names) for model in result.models)


def ones(**changes):
    raw = {"A": np.full((4, 32), 0x22, np.uint8), "B": np.full((3, 32), 0x22, np.uint8)}
    raw |= {"SA": np.full((4, 4), 0x38, np.uint8), "SB": np.full((3, 4), 0x38, np.uint8)}
    return {**raw, "D": np.full((4, 3), 64, np.float32), **changes}


BAD = {
    "no operands": ({"D": np.zeros((2, 2), np.float32)}, "no A, B"),
    "floats for codes": (ones(A=np.zeros((4, 32), np.float32)), "A is float32"),
    "another shape of D": (ones(D=np.zeros((4, 4), np.float32)), "D has shape"),
    "another shape of C": (ones(C=np.zeros((4, 4), np.float32)), "C (4, 4)"),
    "another shape of SB": (ones(SB=np.zeros((3, 2), np.uint8)), "SB has shape"),
    "K that differs": (ones(B=np.zeros((3, 16), np.uint8)), "B has shape"),
    "D of integers": (ones(D=np.zeros((4, 3), np.int64)), "D is int64"),
    "three axes": (ones(D=np.zeros((1, 4, 3), np.float32)), "D is float32 of shape"),
    "odd blocks": (ones(SA=np.zeros((4, 3), np.uint8), SB=np.zeros((3, 3), np.uint8)), "no block of 16 or 32"),
    "empty": (ones(A=np.zeros((0, 32), np.uint8)), "A is uint8 of shape"),
    "is_mxf4 of numbers": (ones(is_mxf4=np.zeros(4, np.uint8)), "is_mxf4 is uint8"),
    "an impossible kind": ({f"ue4m3_b32/{key}": array for key, array in ones().items()}, "no instruction"),
    "nothing known": ({"foo": np.zeros(3)}, "holds no recorded words"),
}


@pytest.mark.parametrize("bad", BAD)
def test_bad_files(bad, tmp_path):
    arrays, words = BAD[bad]
    with pytest.raises(UnreadableError) as error:
        fit_outputs(write(tmp_path / "b.npz", arrays), NVFP4)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_what_shapes_do_not_tell_is_asked_for(tmp_path):
    path = write(tmp_path / "o.npz", ones())
    with pytest.raises(UsageError, match="--scale-format"):
        fit_outputs(path, NVFP4)
    assert "blackwell" in obeyed(fit_outputs(path, NVFP4, scale_format="ue4m3"))
    with pytest.raises(UsageError, match="ue4m3 or ue8m0"):
        fit_outputs(path, NVFP4, scale_format="e5m2")


class Trap:
    """Would leave a file behind if it were unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_nothing_is_unpickled(tmp_path):
    trap = tmp_path / "sprung"
    arrays = ones()
    np.savez(tmp_path / "t.npz", **{**arrays, "D": np.array([Trap(trap)], dtype=object)}, allow_pickle=True)
    (tmp_path / "p.npz").write_bytes(pickle.dumps(Trap(trap)))
    for name in ("t.npz", "p.npz"):
        with pytest.raises(Fp4simError):
            fit_outputs(str(tmp_path / name), NVFP4)
    assert not trap.exists()


def test_operands_that_are_none_of_an_instruction(tmp_path):
    values = fp4sim.quantize(X, "nvfp4").dequantize()
    path = write(tmp_path / "v.npz", {"x": X, "w": X, "dequantized": values, "y": values @ values.T})
    with pytest.raises(NothingComparedError, match="dump codes and scales"):
        fit_outputs(path, NVFP4)


def test_every_named_rule_is_tried():
    from fp4sim.commands.gemm_fit import _rules

    names = {name for names, _, _ in _rules([]) for name in names}
    assert names == set(model_names()) - {"dense"}
