"""What estimators cannot do is one line that says what, where and what to do."""

from __future__ import annotations

import numpy as np
import pytest

import fp4sim
from fp4sim.errors import Fp4simError, SpecError, UnreadableError, UsageError
from fp4sim.io.source import ArrayTensor
from fp4sim.packing import quantize_tensor

X = np.random.default_rng(0).standard_normal((8, 128)).astype(np.float32)


def refused(x: np.ndarray, spec: str, kind: type[Fp4simError], **options: object) -> str:
    with pytest.raises(kind) as caught:
        quantize_tensor(ArrayTensor("w.1", x), fp4sim.parse(spec), **options)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 300
    return message


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("nvfp4+rht:24", ("+rht:24", "24", "powers of two")),
        ("mxfp4+quest:size=12", ("12", "powers of two")),
        ("nvfp4+rht:32:te", ("+rht:32:te", "16 entries", "+rht:16:te")),
        ("mxfp4+4over6", ("mxfp4+4over6", "float block scales", "nvfp4+4over6")),
        ("e2m1/row@fp32+4over6", ("e2m1/row@fp32+4over6", "nvfp4+4over6")),
        ("nvfp4@e3m4+4over6:bound=100", ("bound=100", "15.5")),
        ("nvfp4+mseden+sr", ("+mseden", "drop +sr")),
        ("mxfp4+eden+sr", ("+eden", "drop +sr")),
        ("mxfp4+mseden", ("mxfp4+mseden", "8-bit float scales", "+eden")),
        ("e2m1/16@bf16+mseden", ("8-bit float scales",)),
        ("nvfp4/16x16+mseden", ("nvfp4/16x16+mseden", "row blocks")),
        ("nvfp4+mseden:s=24", ("s=24", "/16 blocks")),
        ("nvfp4+mseden:s=256", ("s=256", "rotation of 128")),
        ("nvfp4+mseden:s=48:size=64", ("s=48", "rotation of 64")),
        ("nvfp4/32+mseden:posthoc:s=32", ("posthoc",)),
        ("nvfp4@quartet2+mseden:posthoc", ("posthoc",)),
        ("nvfp4@up+mseden:posthoc", ("posthoc",)),
        ("nvfp4+quest", ("+quest", "power-of-two scales", "mxfp4+quest")),
        ("mxfp4/32x32+quest", ("row blocks", "mxfp4+quest")),
        ("nvfp4+minmse", ("+minmse", "power-of-two", "mxfp4+minmse")),
        ("mxfp4+if4", ("IF4", "if4")),
        ("nvfp4@e3m4+if4", ("IF4", "if4")),
        ("nvfp4+mxplus", ("MX+", "mxplus")),
        ("mxfp4@even+mxplus", ("MX+", "mxplus")),
        ("e2m1+pma", ("+pma", "unscaled")),
        ("nvfp4/16x16+occ:0.99:row", ("+occ:row", "/16x16")),
        ("nvfp4@torchao+4over6", ("+4over6", "drop @torchao")),
        ("nvfp4@quartet2+4over6:fast", (":fast", "nvfp4+4over6:fast")),
        ("nvfp4@e5m2+4over6:fast", (":fast", "E4M3")),
        ("mxfp4@quartet2+quest", ("+quest", "drop @quartet2")),
        ("nvfp4+h:32:te", ("+h:te", "+h:16:te")),
        ("mxfp4@quartet2+minmse", ("+minmse", "drop @quartet2")),
    ],
)
def test_steps_that_do_not_fit_the_format(spec: str, says: tuple[str, ...]) -> None:
    message = refused(X, spec, UsageError)
    assert message.startswith(fp4sim.parse(spec).short)
    for word in says:
        assert word in message


@pytest.mark.parametrize(
    ("spec", "column", "says"),
    [
        ("nvfp4+rht:512", 6, "2..256"),
        ("nvfp4+rht:16:quick", 6, "has no parameter 'quick'"),
        ("nvfp4+4over6:mse:mae", 6, "one of mse mae absmax"),
        ("nvfp4+mseden:sz=3", 6, "size=… (1..256)"),
        ("nvfp4+occ:0.3", 6, "0.5..1"),
        ("nvfp4+minmse:2", 6, "+minmse without parameters"),
        ("nvfp4+max:0", 6, "a number (0.001"),
        ("nvfp4+h:32+rht:32", 11, "second transform step after '+h'"),
        ("nvfp4+4over6+minmse", 13, "second choice step after '+4over6'"),
        ("if4+4over6", 4, "second choice step after '+if4'"),
        ("nvfp4+pma+occ", 10, "second correction step after '+pma'"),
        ("mxfp4+h:32+quest", 11, "second transform step after '+h'"),
    ],
)
def test_parameters_and_pairs_that_do_not_parse(spec: str, column: int, says: str) -> None:
    with pytest.raises(SpecError) as caught:
        fp4sim.parse(spec)
    message = str(caught.value)
    assert f"column {column}:" in message
    assert says in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("spec", "shape", "axis", "says"),
    [
        ("nvfp4+rht:32", (4, 48), -1, ("(4, 48)", "rotation of 32", "+rht:16")),
        ("nvfp4+mseden", (96, 128), 0, ("rotation of 128", "axis 0 of length 96")),
        ("mxfp4+quest", (4, 20), -1, ("rotation of 32", "length 20")),
        ("nvfp4+mseden:size=1:s=128", (4, 160), -1, ("s=128", "axis 1 of length 160", "smaller s")),
        ("e2m1/16@fp32+eden:size=1:s=48", (4, 64), -1, ("s=48", "axis 1 of length 64")),
    ],
)
def test_groups_that_do_not_divide(spec: str, shape: tuple[int, ...], axis: int, says: tuple[str, ...]) -> None:
    message = refused(np.ones(shape, np.float32), spec, UsageError, axis=axis)
    for word in says:
        assert word in message


ROTATED = ["nvfp4+rht:16", "nvfp4+rht:16:te", "mxfp4+h:32", "nvfp4+mseden", "nvfp4+mseden:posthoc", "mxfp4+quest"]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("spec", [*ROTATED, "nvfp4+occ", "nvfp4+4over6", "if4", "mxplus", "mxfp4+minmse"])
def test_what_is_not_finite_is_named_with_its_place(spec: str, value: float) -> None:
    x = X.copy()
    x[5, 37] = value
    message = refused(x, spec, UnreadableError)
    for word in ("w.1", str(np.float32(value)), "[5, 37]", "ignore"):
        assert word in message


@pytest.mark.parametrize("spec", [*ROTATED, "nvfp4+occ"])
def test_propagation_has_no_answer_under_a_rotation_or_quantiles(spec: str) -> None:
    x = X.copy()
    x[2, 3] = np.inf
    assert "[2, 3]" in refused(x, spec, UnreadableError, nonfinite="propagate")


@pytest.mark.parametrize("spec", [*ROTATED, "nvfp4+occ", "nvfp4+rht:16+occ", "nvfp4+mseden:posthoc:size=1", "if4"])
def test_ignored_values_count_as_zero(spec: str) -> None:
    x, zeroed = X.copy(), X.copy()
    places = ([0, 3, 3, 7], [0, 17, 18, 127])
    x[places] = [np.nan, np.inf, -np.inf, np.nan]
    zeroed[places] = 0
    options = {"nonfinite": "ignore", "seed": 2}
    ours = quantize_tensor(ArrayTensor("w", x), fp4sim.parse(spec), **options)
    want = quantize_tensor(ArrayTensor("w", zeroed), fp4sim.parse(spec), **options)
    np.testing.assert_array_equal(ours.packed, want.packed)
    np.testing.assert_array_equal(ours.block_scale, want.block_scale)
    np.testing.assert_array_equal(ours.tensor_scale, want.tensor_scale)
    assert (ours.nonfinite, want.nonfinite) == (4, 0)


@pytest.mark.parametrize("spec", ROTATED)
def test_a_rotation_that_overflows_says_so(spec: str) -> None:
    x = np.full((2, 128), 3e38, np.float32)
    message = refused(x, spec, UnreadableError)
    for word in ("w.1", "3e+38", "rotation", "scale the tensor down"):
        assert word in message
    assert quantize_tensor(ArrayTensor("w.1", x / 4096), fp4sim.parse(spec)).shape == x.shape
