"""Packed files of specs that keep more than codes and scales: signs, masks, places and residuals, back bit for bit."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import fp4sim
from fp4sim.commands.pack import load_packed, save_packed
from fp4sim.commands.packed_parts import PARTS, expected_parts, part_names, parts_of
from fp4sim.errors import UnreadableError, UsageError
from fp4sim.grammar import parse
from fp4sim.io.source import open_source
from fp4sim.io.writer import write_safetensors
from fp4sim.spec_names import STEPS

SIGNED = ["nvfp4+rht:32", "nvfp4+rht:16:te", "mxfp4+h", "mxfp4+quest", "nvfp4+mseden:size=32", "mxfp4+eden:size=32"]
PLAIN = ["if4", "nvfp4+4over6", "nvfp4+mseden:size=1", "nvfp4+occ:nocomp", "mxfp4+max:4.5+pma", "e2m1/row@fp32+dge"]
RESIDUAL = ["e2m1/row@fp32+occ:0.97", "nvfp4+occ:0.9:row", "nvfp4+h:16+occ:0.97+sr", "e1m2/tensor@fp32+occ"]
SPECS = [*SIGNED, *PLAIN, *RESIDUAL, "mxplus"]
X = (np.random.default_rng(5).standard_t(4, (2, 6, 96)) * 0.3).astype(np.float32)


def same_bits(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def write(path, packed, **changes):
    """A file of one tensor 'x' with some parts replaced; None leaves one out."""
    arrays = {f"x.{name}": array for name, array in parts_of(packed).items()}
    arrays.update({f"x.{name.replace('__', '.')}": array for name, array in changes.items()})
    entry = {"spec": str(packed.spec), "shape": list(packed.shape), "axis": packed.axis, "dtype": "float32", "seed": 3}
    head = {"schema": "fp4sim.packed/1", "BITS_VERSION": 1, "version": "0", "tensors": {"x": entry}}
    write_safetensors(path, {n: a for n, a in arrays.items() if a is not None}, {"fp4sim": json.dumps(head)})
    return path


def refused(path):
    with pytest.raises(UnreadableError) as caught:
        load_packed(path)
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 600
    return message


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("axis", [-1, 0])
def test_quantize_then_dequantize(run, tmp_path, spec, axis):
    x = np.ascontiguousarray(np.moveaxis(X, -1, axis))
    np.save(tmp_path / "x.npy", x)
    packed, values = tmp_path / "q.safetensors", tmp_path / "v.safetensors"
    result = run("quantize", tmp_path / "x.npy", packed, "-f", spec, "--axis", axis, "--seed", 3)
    assert result.exit_code == 0, result.stderr
    assert run("dequantize", packed, values).exit_code == 0
    with open_source(values) as source:
        (tensor,) = source.tensors()
        expected = fp4sim.quantize(x, spec, axis=axis, seed=3, name=tensor.info.name).dequantize()
        assert same_bits(tensor.read_all(), expected)


@pytest.mark.parametrize("spec", SPECS)
def test_every_part_comes_back(tmp_path, spec):
    before = fp4sim.quantize(X, spec, seed=3)
    save_packed(tmp_path / "q.safetensors", {"x": before})
    after = load_packed(tmp_path / "q.safetensors")["x"]
    for part in PARTS:
        assert same_bits(getattr(after, part), getattr(before, part))
    assert (after.signs is None) == (before.signs is None)
    if before.signs is not None:
        assert same_bits(after.signs, before.signs)
        assert same_bits(after.dequantize(domain="rotated"), before.dequantize(domain="rotated"))
    assert set(after.extra) == set(before.extra)
    for name, array in before.extra.items():
        assert same_bits(after.extra[name], array), name
    assert (after.spec, after.seed) == (before.spec, before.seed)
    again = tmp_path / "again.safetensors"
    save_packed(again, {"x": after})
    assert again.read_bytes() == (tmp_path / "q.safetensors").read_bytes()


@pytest.mark.parametrize("row", STEPS, ids=lambda row: row.name)
def test_the_file_has_a_place_for_what_every_step_keeps(row):
    """Sizes that the tensor has; where a step does not fit nvfp4 it fits mxfp4."""
    sizes = {"rht": ":32", "quest": ":size=32", "mseden": ":size=32", "eden": ":size=32"}
    base = "mxfp4" if row.name in ("quest", "minmse", "mxplus") else "nvfp4"
    spec = parse(base + (f"+{row.name}{sizes.get(row.name, '')}" if row.name != "if4" else "+if4"))
    packed = fp4sim.quantize(X, spec)
    assert tuple(parts_of(packed)) == part_names(spec)


def test_what_is_stored(tmp_path):
    """Keys and dtypes of the documented file format; a residual keeps only the elements that were clamped."""
    specs = ["mxfp4+quest", "mxplus", "e2m1/row@fp32+occ:0.97"]
    packed = {spec: fp4sim.quantize(X, spec) for spec in specs}
    save_packed(tmp_path / "q.safetensors", packed)
    with open_source(tmp_path / "q.safetensors") as source:
        found = {t.info.name: (t.info.dtype, t.info.shape) for t in source.tensors()}
        besides = {name: fact for name, fact in found.items() if not name.endswith(PARTS)}
    count = int(np.count_nonzero(packed[specs[2]].extra["residual"]))
    assert 0.05 < count / X.size < 0.07
    assert besides == {
        "mxfp4+quest.signs": ("int8", (32,)),
        "mxfp4+quest.extra.trust": ("bool", X.shape),
        "mxplus.extra.index": ("uint8", (2, 6, 3)),
        "e2m1/row@fp32+occ:0.97.extra.residual.index": ("int64", (count,)),
        "e2m1/row@fp32+occ:0.97.extra.residual.value": ("float32", (count,)),
    }


def test_every_bit_of_a_residual_is_kept(tmp_path):
    packed = fp4sim.quantize(X, "e2m1/row@fp32+occ:0.97")
    residual = packed.extra["residual"].copy()
    residual[0, 0, :4] = np.nan, -np.inf, -0.0, 1e-45
    before = replace(packed, extra={"residual": residual})
    save_packed(tmp_path / "q.safetensors", {"x": before})
    after = load_packed(tmp_path / "q.safetensors")["x"]
    assert same_bits(after.extra["residual"], residual)
    assert same_bits(after.dequantize(), before.dequantize())


def test_what_is_dropped_is_counted(tmp_path):
    x = X.copy()
    x[0, 0, :2] = np.nan, np.inf
    before = fp4sim.quantize(x, "e2m1/row@fp32+occ:0.97", nonfinite="ignore")
    save_packed(tmp_path / "q.safetensors", {"x": before})
    after = load_packed(tmp_path / "q.safetensors")["x"]
    assert after.nonfinite == before.nonfinite == 2
    assert same_bits(after.dequantize(), before.dequantize())


def test_the_size_counts_what_dequantizing_needs(run, tmp_path):
    np.save(tmp_path / "x.npy", X)
    sizes = {}
    for spec in ("mxfp4", "mxfp4+quest", "mxplus", "nvfp4", "nvfp4+occ:0.97"):
        text = run("quantize", tmp_path / "x.npy", tmp_path / "q.safetensors", "-f", spec).stdout
        sizes[spec] = float(text.split(" bits per element")[0].split()[-1])
    elements = X.size
    assert sizes["mxfp4+quest"] == pytest.approx(
        sizes["mxfp4"] + 8 * 32 / elements, rel=1e-3
    )  # the signs, not the mask
    assert sizes["mxplus"] == pytest.approx(sizes["mxfp4"] + 8 / 32, rel=1e-3)
    assert sizes["nvfp4+occ:0.97"] == pytest.approx(sizes["nvfp4"] + 96 * 0.06, rel=0.05)


def test_parts_that_do_not_belong_to_the_spec_are_not_written(tmp_path):
    rotated, plain = fp4sim.quantize(X, "nvfp4+rht:32"), fp4sim.quantize(X, "nvfp4")
    wrong = [
        replace(rotated, signs=None),
        replace(plain, signs=rotated.signs),
        replace(rotated, signs=rotated.signs[:16]),
        replace(rotated, signs=rotated.signs.astype(np.int64)),
        replace(plain, extra={"trust": np.ones(X.shape, np.bool_)}),
        replace(fp4sim.quantize(X, "mxplus"), extra={}),
        replace(plain, tensor_scale=np.ones(3, np.float32)),
    ]
    for packed in wrong:
        with pytest.raises(UsageError, match=r"^tensor 'x': [^\n]+$"):
            save_packed(tmp_path / "q.safetensors", {"x": packed})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("spec", ["nvfp4+rht:16", "nvfp4+mseden:size=1:s=32"])
def test_a_step_that_does_not_fit_names_the_tensor(run, checkpoint, tmp_path, spec):
    result = run("quantize", checkpoint, tmp_path / "q.safetensors", "-f", spec)
    assert result.exit_code == 2
    assert "tensor 'w.fp32'" in result.stderr
    assert not (tmp_path / "q.safetensors").exists()


def test_what_does_not_fit_can_be_left_out(run, checkpoint, tmp_path):
    out = tmp_path / "q.safetensors"
    assert run("quantize", checkpoint, out, "-f", "nvfp4+rht:16", "--exclude", "w.fp32").exit_code == 0
    assert set(load_packed(out)) == {"w.bf16"}


# --- Hostile files ----------------------------------------------------------------------------------------------------

TEMPLATES = {
    spec: fp4sim.quantize(X, spec, seed=3)
    for spec in ("nvfp4+rht:32", "mxfp4+h", "mxfp4+quest", "mxplus", "nvfp4+rht:16:te", "e2m1/row@fp32+occ:0.97")
}
OCC = TEMPLATES["e2m1/row@fp32+occ:0.97"]
INDEX, VALUE = (parts_of(OCC)[f"extra.residual.{name}"] for name in ("index", "value"))


@pytest.mark.parametrize("spec", TEMPLATES)
def test_the_templates_themselves_are_read(tmp_path, spec):
    loaded = load_packed(write(tmp_path / "q.safetensors", TEMPLATES[spec]))["x"]
    assert same_bits(loaded.dequantize(), TEMPLATES[spec].dequantize())


@pytest.mark.parametrize("spec", TEMPLATES)
def test_missing_and_misshapen_parts(tmp_path, spec):
    packed = TEMPLATES[spec]
    for name in set(expected_parts(packed.spec, packed.shape, packed.axis)) - set(PARTS):
        array, key = parts_of(packed)[name], name.replace(".", "__")
        assert name in refused(write(tmp_path / "q.safetensors", packed, **{key: None}))
        wider = np.float64 if array.dtype.kind == "f" else np.float32
        too_long = np.zeros(X.size + 1, array.dtype)
        for wrong in (array.astype(wider), array.reshape(1, *array.shape), array.reshape(-1)[:1].repeat(7), too_long):
            refused(write(tmp_path / "q.safetensors", packed, **{key: wrong}))


@pytest.mark.parametrize("value", [0, 2, -2, 127, -128])
def test_signs_that_are_none(tmp_path, value):
    signs = TEMPLATES["nvfp4+rht:32"].signs.copy()
    signs[7] = value
    assert "signs" in refused(write(tmp_path / "q.safetensors", TEMPLATES["nvfp4+rht:32"], signs=signs))


@pytest.mark.parametrize("spec", ["mxfp4+h", "mxfp4+quest", "nvfp4+rht:16:te"])
def test_signs_of_another_rotation(tmp_path, spec):
    signs = -TEMPLATES[spec].signs
    assert "signs are not those of" in refused(write(tmp_path / "q.safetensors", TEMPLATES[spec], signs=signs))


def test_places_outside_of_the_block(tmp_path):
    index = TEMPLATES["mxplus"].extra["index"].copy()
    index[1, 2, 0] = 32
    assert "extra.index" in refused(write(tmp_path / "q.safetensors", TEMPLATES["mxplus"], extra__index=index))


@pytest.mark.parametrize(
    "index",
    [
        INDEX[::-1].copy(),
        np.where(np.arange(INDEX.size) == 3, INDEX[2], INDEX),
        np.where(np.arange(INDEX.size) == 0, -1, INDEX),
        np.where(np.arange(INDEX.size) == INDEX.size - 1, X.size, INDEX),
        np.where(np.arange(INDEX.size) == INDEX.size - 1, np.iinfo(np.int64).max, INDEX),
        np.where(np.arange(INDEX.size) == 0, np.iinfo(np.int64).min, INDEX),
        INDEX[:-1],
    ],
    ids=["descending", "twice", "negative", "beyond", "huge", "least", "shorter"],
)
def test_residuals_that_lie_nowhere(tmp_path, index):
    assert "residual" in refused(write(tmp_path / "q.safetensors", OCC, extra__residual__index=index))


def test_an_empty_residual_is_a_residual(tmp_path):
    path = write(tmp_path / "q.safetensors", OCC, extra__residual__index=INDEX[:0], extra__residual__value=VALUE[:0])
    assert not load_packed(path)["x"].extra["residual"].any()


@pytest.mark.parametrize("spec", ["nvfp4+mxplus", "mxfp4+mseden", "nvfp4+rht:24", "mxfp4+h+mxplus", "nvfp4+h:64"])
def test_specs_without_meaning_in_a_file(tmp_path, spec):
    packed = fp4sim.quantize(X, "nvfp4" if spec.startswith("nv") else "mxfp4")
    path = write(tmp_path / "q.safetensors", packed)
    raw = path.read_bytes()
    head = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])["__metadata__"]["fp4sim"]
    changed = json.loads(head)
    changed["tensors"]["x"]["spec"] = spec
    arrays = {f"x.{name}": getattr(packed, name) for name in PARTS}
    write_safetensors(path, arrays, {"fp4sim": json.dumps(changed)})
    refused(path)
