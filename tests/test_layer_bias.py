"""Gradient bias of a linear layer: its figures, what is unbiased for which reference, and bad input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import fp4sim
from fp4sim.commands.layer import LayerSettings, layer_bias
from fp4sim.commands.layer_input import layer_of
from fp4sim.errors import UnreadableError, UsageError
from fp4sim.io.source import ArrayTensor
from fp4sim.io.synthetic_layer import synthetic_layer
from fp4sim.recipes.gradients import LayerDraws
from fp4sim.recipes.model import GEMMS
from fp4sim.recipes.registry import recipe
from fp4sim.report.layer_files import layer_markdown
from fp4sim.report.layer_model import EXACT, QUANTIZED_FORWARD
from tests.layer_cases import INPUTS, OUTPUTS, PLAIN, arrays, draws_of, row

# --- statistics ---------------------------------------------------------------------------------------------------


def test_the_figures_are_those_of_the_draws() -> None:
    result = layer_bias(*arrays(), ["nvidia"], LayerSettings(8, seed=5))
    draws = draws_of("nvidia", seed=5)
    for output, gemm in (("dX", "dgrad"), ("dW", "wgrad")):
        drawn = [draws.draw(gemm, k).astype(np.float64) for k in range(8)]
        references = {EXACT: draws.layer.exact(gemm), QUANTIZED_FORWARD: draws.reference(gemm)}
        for name, reference in references.items():
            if reference is None:
                continue
            errors = [((d - reference) ** 2).sum() / (reference**2).sum() for d in drawn]
            bias = row(result, output, name).bias
            assert bias.mse.estimate == pytest.approx(np.mean(errors), rel=1e-5)
            align = np.mean([(d * reference).sum() / (reference**2).sum() for d in drawn])
            assert bias.alignment.estimate == pytest.approx(align, abs=1e-6)


def test_an_output_without_randomness_is_exact_from_one_draw() -> None:
    result = layer_bias(*arrays(), ["nvidia"], LayerSettings(64))
    y = row(result, "Y")
    draws = draws_of("nvidia")
    exact = draws.layer.exact("fprop")
    error = ((draws.draw("fprop", 0) - exact) ** 2).sum() / (exact**2).sum()
    assert y.exact
    assert not row(result, "dX").exact
    assert y.bias.draws == 1
    assert y.bias.mse.estimate == pytest.approx(error, rel=1e-5)
    assert y.bias.relative_bias.estimate == pytest.approx(np.sqrt(error), rel=1e-5)
    assert y.bias.variance.estimate == 0
    assert y.bias.verdict == "biased"
    assert [(p.draws, p.error) for p in y.bias.curve] == [(n, y.bias.mse.estimate) for n in (1, 4, 16, 64)]


@pytest.mark.parametrize(
    ("name", "reference"), [("tetrajet", QUANTIZED_FORWARD), ("quartet:sr", QUANTIZED_FORWARD), ("tseng", EXACT)]
)
def test_stochastic_rounding_that_never_clips_is_unbiased_for_its_reference(name: str, reference: str) -> None:
    result = layer_bias(*arrays(128, 64, 128), [name], LayerSettings(256))
    for output in ("dX", "dW"):
        bias = row(result, output, reference).bias
        assert bias.relative_bias.low == 0
        assert bias.relative_bias.high < 1e-2
        assert bias.alignment.low <= 1 <= bias.alignment.high
        if reference == QUANTIZED_FORWARD:  # what is quantized twice keeps the error of the first time
            assert row(result, output, EXACT).bias.relative_bias.low > 0.05


def test_clipping_and_choosing_after_rounding_are_biased() -> None:
    names = ["nvidia", "nvidia:4over6", "nvidia:quartet2"]
    result = layer_bias(*arrays(128, 64, 128), names, LayerSettings(256))
    clips, chooses, fits = (row(result, "dX", QUANTIZED_FORWARD, name).bias for name in names)
    assert clips.verdict == chooses.verdict == "biased"
    assert clips.relative_bias.low > 5e-3
    assert clips.alignment.high < 0.999  # what clips shrinks
    assert chooses.relative_bias.low > 1e-2
    assert fits.relative_bias.high < clips.relative_bias.low / 2
    assert fits.alignment.low > clips.alignment.high


@pytest.mark.parametrize("name", ["quartet2", "quartet", "nvidia:4over6"])
def test_threads_change_no_digit(name: str) -> None:
    layer = arrays(1024, 256, 512)  # several cells
    results = [layer_bias(*layer, [name], LayerSettings(4, threads=threads)) for threads in (1, 3)]
    assert results[0] == results[1]
    for gemm in GEMMS:
        one, two = (LayerDraws(layer_of(*layer)[0], recipe(name), threads=threads).draw(gemm, 2) for threads in (1, 2))
        np.testing.assert_array_equal(one, two)


def test_draws_do_not_depend_on_what_was_drawn_before_but_on_the_seed() -> None:
    straight, back = draws_of("quartet2"), draws_of("quartet2")
    first = [straight.draw("wgrad", k) for k in (0, 1)]
    np.testing.assert_array_equal(back.draw("wgrad", 1), first[1])
    np.testing.assert_array_equal(back.draw("wgrad", 0), first[0])
    assert not np.array_equal(draws_of("quartet2", seed=1).draw("wgrad", 0), first[0])


# --- input --------------------------------------------------------------------------------------------------------


def test_tensors_arrays_and_more_axes_are_the_same_layer() -> None:
    x, w, dy = arrays()
    plain = fp4sim.layer_bias(x, w, dy, "tseng,nvidia", draws=2)
    folded = layer_bias(
        ArrayTensor("a", x.reshape(4, 32, INPUTS)),
        ArrayTensor("b", w),
        ArrayTensor("c", dy.reshape(2, 64, OUTPUTS)),
        ["tseng", "nvidia"],
        LayerSettings(2),
    )
    assert plain.rows == folded.rows
    assert folded.sources == ("a", "b", "c")


def test_progress_counts_every_draw_of_every_recipe() -> None:
    seen: dict[str, int] = {}

    def progress(name: str, draws: int) -> None:
        seen[name] = seen.get(name, 0) + draws

    layer_bias(*arrays(), ["bf16", "nvidia"], LayerSettings(3), progress)
    assert seen == {"bf16": 3, "nvidia": 3}


def test_shapes_that_make_no_layer_are_named() -> None:
    x, w, dy = arrays()
    shapes = r"x \(128, 256\), w \(256, 384\), dy \(128, 384\)"
    with pytest.raises(UsageError, match=shapes):
        layer_bias(x, w.T, dy, ["bf16"])
    with pytest.raises(UsageError, match="128 tokens and dy 64"):
        layer_bias(x, w, dy[:64], ["bf16"])
    with pytest.raises(UsageError, match="a layer is"):
        layer_bias(x[0], w, dy, ["bf16"])
    with pytest.raises(UsageError, match="none of them empty"):
        layer_bias(x[:0], w, dy[:0], ["bf16"])


@pytest.mark.parametrize(("shape", "where"), [((96, 128, 128), "tokens = 96"), ((128, 128, 96), "out = 96")])
def test_a_rotation_that_does_not_divide_names_recipe_and_dimension(shape: tuple[int, int, int], where: str) -> None:
    with pytest.raises(UsageError, match=f"recipe quartet2: .* groups of 128, which do not divide {where}"):
        layer_bias(*arrays(*shape), ["quartet2"], LayerSettings(2))
    layer_bias(*arrays(*shape), ["tetrajet2"], LayerSettings(2))


def test_other_bad_arguments() -> None:
    x, w, dy = arrays()
    with pytest.raises(UsageError, match="1 draws: at least 2"):
        fp4sim.layer_bias(x, w, dy, draws=1)
    with pytest.raises(UsageError, match="margin 2"):
        fp4sim.layer_bias(x, w, dy, margin=2)
    with pytest.raises(UsageError, match="seed -1"):
        fp4sim.layer_bias(x, w, dy, seed=-1)
    with pytest.raises(UsageError, match="did you mean quartet"):
        fp4sim.layer_bias(x, w, dy, "quartet9")
    with pytest.raises(UsageError, match="no recipe"):
        fp4sim.layer_bias(x, w, dy, [])
    with pytest.raises(UsageError, match="one name"):
        fp4sim.layer_bias(x, w, dy, [PLAIN, replace(PLAIN, title="another")])
    with pytest.raises(UsageError, match="int64"):
        fp4sim.layer_bias(x.astype(np.int64), w, dy)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_named_by_tensor_and_place(bad: float) -> None:
    x, w, dy = arrays()
    broken = dy.copy()
    broken[3, 7] = bad
    with pytest.raises(UnreadableError, match=rf"'dy' holds {bad} at \[3, 7\]"):
        layer_bias(x, w, broken, ["nvidia"], LayerSettings(2))


def test_all_zero_gradients_are_undefined_and_not_an_error() -> None:
    x, w, dy = arrays()
    result = layer_bias(x, w, np.zeros_like(dy), ["quartet2"], LayerSettings(2))
    assert row(result, "dX").bias.mse is None
    assert "all zero" in row(result, "dX").bias.undefined["mse"]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("draws", [4, 64])
def test_products_that_overflow_have_no_verdict_and_warn_of_nothing(draws: int) -> None:
    x, w, dy = arrays()
    result = layer_bias(x * np.float32(1e30), w * np.float32(1e30), dy, ["nvidia"], LayerSettings(draws))
    assert "not finite" in row(result, "Y").bias.undefined["mse"]
    assert row(result, "dX").bias.mse is not None


def test_a_result_prints_as_its_table() -> None:
    result = layer_bias(*arrays(), ["nvidia"], LayerSettings(2))
    assert str(result) == layer_markdown(result) == result._repr_markdown_()


def test_the_synthetic_layer_is_what_it_says() -> None:
    x, w, dy = (tensor.read_all() for tensor in synthetic_layer(512, 256, 128, seed=3))
    assert (x.shape, w.shape, dy.shape) == ((512, 256), (128, 256), (512, 128))
    again = synthetic_layer(512, 256, 128, seed=3)
    np.testing.assert_array_equal(x, again[0].read_all())
    assert not np.array_equal(x, synthetic_layer(512, 256, 128, seed=4)[0].read_all())
    norms = np.sqrt((x**2).mean(axis=0))
    assert (norms > 10).sum() == 3  # a hundredth of 256 channels
    assert np.abs(dy).max() > 8 > 5.5 > np.abs(w).max()
    with pytest.raises(UsageError, match="at least 1"):
        synthetic_layer(0, 1, 1)
