"""Faults planted one by one: each is found under its rule, and a clean checkpoint has none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fp4sim.checkpoints.findings import RULES
from fp4sim.commands.lint_checkpoint import lint_checkpoint
from tests.checkpoints import make

NAMES = ("model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.k_proj", "model.layers.0.mlp.down_proj")
Q = NAMES[0]
SHAPE = (8, 128)


def clean(maker=make.compressed_tensors, **options):
    """Three modules with the scales of a real recipe, and a norm."""
    tensors = make.bf16("model.norm.weight", (4,))
    for seed, name in enumerate(NAMES):
        tensors |= maker(name, seed=seed, shape=SHAPE, **options)[0]
    return tensors


def with_bytes(tensors, name, change):
    """The tensors with the bytes of one changed in place by ``change``."""
    dtype, shape, raw = tensors[name]
    array = np.frombuffer(raw if isinstance(raw, bytes) else np.ascontiguousarray(raw).tobytes(), np.uint8).copy()
    change(array)
    return {**tensors, name: (dtype, shape, array.tobytes())}


def set_at(*indexes, value):
    def change(array):
        array[list(indexes)] = value

    return change


def reshaped(tensors, name, dtype, shape, size):
    return {**tensors, name: (dtype, shape, bytes(size))}


def without(tensors, name):
    return {key: value for key, value in tensors.items() if key != name}


def padded_scales(tensors, byte):
    """Scales stored with padding to 128 x 4, one byte of which is ``byte``."""
    name = f"{Q}.weight_scale"
    _, shape, scales = tensors[name]
    padded = np.zeros((128, 8), np.uint8)
    padded[: shape[0], : shape[1]] = scales
    padded[100, 3] = byte
    return {**tensors, name: ("F8_E4M3", (128, 8), padded)}


def same_scales(tensors):
    return with_bytes(tensors, f"{Q}.weight_scale", lambda array: array.fill(0x7E))


def all_minus_zero(array):
    low, high = array & 15, array >> 4
    low[low == 0], high[high == 0] = 8, 8
    array[:] = low | high << 4


CT, MO = clean(), clean(make.modelopt)
MX = clean(kind="e8m0")
SCALE, PACKED, GLOBAL = f"{Q}.weight_scale", f"{Q}.weight_packed", f"{Q}.weight_global_scale"
BAD_CONFIG = {"quantization_config": {**make.CT_CONFIG["quantization_config"], "config_groups": {}, "group_size": 32}}
IGNORES_Q = {"quantization_config": {**make.CT_CONFIG["quantization_config"], "ignore": [Q]}}

PLANTED = {
    "a NaN scale": (with_bytes(CT, SCALE, set_at(3, value=0x7F)), None, "nan-scale", "error", 1, [0, 3]),
    "NaN scales with a sign": (with_bytes(CT, SCALE, set_at(9, 10, value=0xFF)), None, "nan-scale", "error", 2, [1, 1]),
    "an E8M0 NaN": (with_bytes(MX, SCALE, set_at(5, value=0xFF)), None, "nan-scale", "error", 1, [1, 1]),
    "a negative scale": (with_bytes(CT, SCALE, set_at(8, value=0xC0)), None, "negative-scale", "error", 1, [1, 0]),
    "a zero scale": (with_bytes(CT, SCALE, set_at(17, value=0)), None, "zero-scale", "warning", 1, [2, 1]),
    "many zero scales": (with_bytes(CT, SCALE, set_at(*range(20), value=0)), None, "zero-scale", "error", 20, [0, 0]),
    "E8M0 scales of 0": (with_bytes(MX, SCALE, set_at(*range(8), value=0)), None, "zero-scale", "error", 8, [0, 0]),
    "a multiplier as divisor": ({**CT, GLOBAL: ("F32", (1,), make.f32(2.5e-5))}, None, "global-convention", "error"),
    "a divisor as multiplier": (
        {**MO, f"{Q}.weight_scale_2": ("F32", (), make.f32(40000))},
        None,
        "global-convention",
        "error",
    ),
    "absurd magnitudes": (with_bytes(MX, SCALE, lambda array: array.fill(200)), None, "implausible", "warning"),
    "a zero global scale": ({**CT, GLOBAL: ("F32", (1,), make.f32(0))}, None, "global-scale", "error", 1, [0]),
    "a NaN global scale": ({**CT, GLOBAL: ("F32", (1,), make.f32(np.nan))}, None, "global-scale", "error", 1, [0]),
    "a negative global scale": ({**CT, GLOBAL: ("F32", (1,), make.f32(-1))}, None, "global-scale", "error", 1, [0]),
    "q and k apart": ({**CT, GLOBAL: ("F32", (1,), make.f32(41000))}, None, "unshared-global", "warning"),
    "q and k apart, modelopt": (
        {**MO, f"{Q}.weight_scale_2": ("F32", (), make.f32(2e-5))},
        None,
        "unshared-global",
        "warning",
    ),
    "padding": (padded_scales(CT, 0x11), None, "padding", "warning", 1, None),
    "NaN in padding": (padded_scales(CT, 0x7F), None, "padding", "error", 1, None),
    "constant scales": (same_scales(CT), None, "constant-scale", "warning", 64, None),
    "a minus zero": (with_bytes(CT, PACKED, set_at(70, value=0x28)), None, "negative-zero", "note", 1, [1, 12]),
    "minus zeros only": (with_bytes(MX, PACKED, all_minus_zero), None, "negative-zero", "warning"),
    "scales too few": (reshaped(CT, SCALE, "F8_E4M3", (8, 7), 56), None, "wrong-shape", "error"),
    "scales transposed": (reshaped(CT, SCALE, "F8_E4M3", (16, 4), 64), None, "wrong-shape", "error"),
    "scales of the wrong dtype": (reshaped(CT, SCALE, "F32", (8, 8), 256), None, "wrong-shape", "error"),
    "codes of one axis": (reshaped(CT, PACKED, "U8", (512,), 512), None, "wrong-shape", "error"),
    "two global scales": (reshaped(CT, GLOBAL, "F32", (2,), 8), None, "wrong-shape", "error"),
    "no scales": (without(CT, SCALE), None, "missing-part", "error"),
    "no codes": (without(CT, PACKED), None, "missing-part", "error"),
    "no divisor": (without(CT, GLOBAL), None, "missing-part", "error"),
    "no codes, modelopt": (without(MO, f"{Q}.weight"), None, "missing-part", "error"),
    "another group size": (CT, BAD_CONFIG, "config", "error"),
    "another format": (MX, {"quantization_config": {"format": "nvfp4-pack-quantized"}}, "config", "error"),
    "an ignored module": (CT, IGNORES_Q, "config", "warning"),
}


@pytest.mark.parametrize("kind", ["e4m3", "e8m0"])
@pytest.mark.parametrize("maker", [make.compressed_tensors, make.modelopt])
def test_a_clean_checkpoint_has_no_finding(tmp_path, maker, kind):
    result = lint_checkpoint(make.folder(tmp_path, clean(maker, kind=kind)))
    assert result.findings == ()
    assert sum(result.checked.values()) == 3


def test_other_clean_layouts_have_no_finding(tmp_path):
    tensors = make.gpt_oss("a")[0] | make.native("b")[0] | make.native("c", dtype="I8")[0]
    assert lint_checkpoint(make.folder(tmp_path, tensors)).findings == ()
    (tmp_path / "m.gguf").write_bytes(make.gguf(make.gguf_tensors()[0]))
    assert lint_checkpoint(tmp_path / "m.gguf").findings == ()


@pytest.mark.parametrize("case", PLANTED)
def test_each_planted_fault_is_found(tmp_path, case):
    tensors, config, rule, severity, *counted = PLANTED[case]
    findings = lint_checkpoint(make.folder(tmp_path, tensors, config)).findings
    mine = [finding for finding in findings if finding.rule == rule]
    assert mine, findings
    assert {finding.severity for finding in mine} == {severity}
    if counted:
        count, index = counted
        assert mine[0].count == count
        assert mine[0].index == (None if index is None else tuple(index))
    # nothing graver is claimed besides, where the fault is not a part of another
    others = {finding.rule for finding in findings} - {rule}
    assert others <= {"unshared-global", "implausible", "zero-scale"}, others


def test_every_rule_has_a_planted_fault():
    assert {planted[2] for planted in PLANTED.values()} == set(RULES)


def test_the_documentation_has_every_rule():
    text = (Path(__file__).parents[2] / "docs" / "checkpoints.md").read_text()
    for rule, (severity, _) in RULES.items():
        assert f"| `{rule}` | {severity} |" in text


def test_a_damaged_configuration_is_a_finding(tmp_path):
    where = make.folder(tmp_path, CT)
    (where / "config.json").write_text("{")
    (finding,) = lint_checkpoint(where).findings
    assert (finding.rule, finding.severity) == ("config", "error")


def test_gguf_faults(tmp_path):
    c, s = make.drawn(2, "e4m3", (4, 64))
    s[1, 2], s[2, 1] = 0x7F, 0x90
    tensors = {"a.weight": (40, (4, 64), make.gguf_nvfp4(c, s)), "a.scale": (0, (1,), make.f32(np.inf))}
    (tmp_path / "m.gguf").write_bytes(make.gguf(tensors))
    found = {f.rule: f.index for f in lint_checkpoint(tmp_path / "m.gguf").findings}
    assert found == {"nan-scale": (1, 2), "negative-scale": (2, 1), "global-scale": (0,)}


def test_gguf_scales_are_not_fused(tmp_path):
    c, s = make.drawn(2, "e4m3", (4, 64))
    tensors = {}
    for name, scale in (("q_proj", 1e-4), ("k_proj", 2e-4)):
        tensors |= {f"{name}.weight": (40, (4, 64), make.gguf_nvfp4(c, s)), f"{name}.scale": (0, (1,), make.f32(scale))}
    (tmp_path / "m.gguf").write_bytes(make.gguf(tensors))
    assert lint_checkpoint(tmp_path / "m.gguf").findings == ()


def test_positions_do_not_depend_on_chunks_and_threads(tmp_path, monkeypatch):
    tensors = with_bytes(CT, SCALE, set_at(60, 61, value=0x7F))
    tensors = with_bytes(tensors, PACKED, set_at(70, 400, value=0x28))
    where = make.folder(tmp_path, tensors)
    whole = lint_checkpoint(where, threads=1)
    monkeypatch.setattr("fp4sim.checkpoints.scan._CHUNK", 300)
    assert lint_checkpoint(where, threads=4) == whole
    assert whole.findings[0].index == (7, 4)


@pytest.mark.parametrize(
    ("tensors", "options", "code"),
    [
        (CT, [], 0),
        (PLANTED["a NaN scale"][0], [], 1),
        (PLANTED["a zero scale"][0], [], 0),
        (PLANTED["a zero scale"][0], ["--fail-on", "warning"], 1),
        (PLANTED["a minus zero"][0], ["--fail-on", "warning"], 0),
        (PLANTED["a minus zero"][0], ["--fail-on", "note"], 1),
    ],
)
def test_exit_codes(tmp_path, run, tensors, options, code):
    where = make.folder(tmp_path, tensors)
    result = run("lint", where, *options)
    assert result.exit_code == code, result.stderr
    assert max(map(len, result.stdout.splitlines())) <= 100
    assert run("lint", where, "--json", *options).exit_code == code


def test_json(tmp_path, run_json):
    data = run_json("lint", make.folder(tmp_path, PLANTED["a NaN scale"][0]))
    assert data["schema"] == "fp4sim.lint/1"
    assert data["severities"] == {"error": 1, "warning": 0, "note": 0}
    (finding,) = data["findings"]
    assert finding["tensor"] == f"{Q}.weight"
    assert (finding["rule"], finding["index"], finding["count"], finding["total"]) == ("nan-scale", [0, 3], 1, 64)
