"""What compare measures, against independent float64 NumPy, and that its digits depend on nothing but data and spec."""

import json
import math
from types import MappingProxyType
from unittest.mock import patch

import ml_dtypes
import numpy as np
import pytest

import fp4sim
from fp4sim import geometry, panels, parse
from fp4sim.commands.compare import Settings, compare_sources
from fp4sim.errors import NothingComparedError, UnreadableError
from fp4sim.io.source import ArrayTensor, ListSource, open_source
from fp4sim.kernels.cpu.kernels import CpuKernels
from fp4sim.kernels.reference.kernels import ReferenceKernels
from fp4sim.report.cells import metric_text, number_text
from fp4sim.report.json_text import strict_json
from fp4sim.report.model import METRICS
from fp4sim.statistic import by_definition, default_kernels

F32 = np.float32
FLT_MAX = np.finfo(F32).max

SPECS = ["nvfp4", "nvfp4@ts:none", "nvfp4@ts:row", "nvfp4@ts:64", "nvfp4@ts:bound=256", "nvfp4/16x16", "nvfp4/6"]
SPECS += ["mxfp4", "mxfp4@rceil", "mxfp4@even", "mxfp4/8x32", "nvint4", "e1m2/16@ue5m3", "e3m0/32@e8m0", "nvfp4@up"]
SPECS += ["nvfp4/row", "nvfp4/tensor", "mxfp4/row@ceil", "mxfp4/tensor", "nvfp4@bf16", "nvfp4@fp32", "e2m1", "e4m3"]
SPECS += ["nvfp4+sr", "mxfp4+sr:bits=8", "nvfp4+rz", "e4m3/32@e8m0", "nvfp4/row@ts:row", "bf16"]
RARE = [pytest.param("e5m2/16@e4m3@ts:none", marks=pytest.mark.slow)]  # kernels of its own, compiled for seconds


def wide_data(shape=(70, 100), seed=0):
    """Blocks of very different size: scales that vanish, are subnormal or saturate; elements that flush or clip; zeros."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape) * 2.0 ** rng.integers(-24, 8, (*shape[:-1], 1))
    x[..., :20] *= 1e-4
    x[x.shape[0] // 2] = 0
    x[1, ::3] = -0.0
    return x.astype(F32)


def measured(x, spec, **arguments):
    """The metrics of one tensor under one spec."""
    (tensor,) = fp4sim.compare({"x": x}, spec, **arguments).tensors
    return tensor.results[0]


def block_index(x, spec):
    """The number of each element's block, in the order of ``block_scale``, for a matrix quantized along its rows."""
    row, col = np.indices(x.shape)
    rows, cols = {"row": (1, x.shape[1]), "tile": (spec.block.rows, spec.block.cols)}.get(spec.block.kind, x.shape)
    return row // rows * -(-x.shape[1] // cols) + col // cols


def block_amax(x, spec):
    index = block_index(x, spec)
    amax = np.zeros(index.max() + 1, F32)
    np.maximum.at(amax, index, np.abs(x))
    return amax, index


@pytest.mark.parametrize("text", SPECS + RARE)
@pytest.mark.parametrize("axis", [0, 1])
def test_sums_are_those_of_float64_numpy(text, axis):
    x = wide_data()
    found = measured(x, text, axis=axis, seed=5)
    value = fp4sim.quantize(x, text, axis=axis, seed=5, name="x").dequantize(np.float64)
    exact, error = x.astype(np.float64), value - x
    e2, x2, v2 = (math.fsum((term * term).ravel()) for term in (error, exact, value))
    cross = math.fsum((exact * value).ravel())
    expected = {
        "mse": e2 / x.size,
        "rel_mse": e2 / x2,
        "snr_db": -10 * math.log10(e2 / x2),
        "effective_bits": -math.log2(e2 / x2) / 2,
        "cosine": cross / math.sqrt(x2 * v2),
        "alignment": cross / x2,
        "mean_error": math.fsum(error.ravel()) / x.size,
    }
    for name, number in expected.items():
        slack = 1e-12 * np.abs(error).mean() if name == "mean_error" else 0.0
        assert getattr(found, name) == pytest.approx(number, rel=1e-12, abs=slack), name
    assert found.elements == x.size
    assert found.flushed == ((value == 0) & (exact != 0)).sum() / x.size
    assert found.undefined == {}


@pytest.mark.parametrize("text", SPECS + RARE)
def test_the_largest_error_is_found_where_it_is(text):
    x, found = wide_data(), measured(wide_data(), text, seed=5)
    error = fp4sim.quantize(x, text, seed=5, name="x").dequantize(np.float64) - x
    amax, index = block_amax(x, parse(text))
    ratio = np.abs(error) / np.where(amax > 0, amax, 1).astype(np.float64)[index]
    assert found.max_error == pytest.approx(ratio.max(), rel=1e-14)
    assert ratio[found.max_error_at] == pytest.approx(ratio.max(), rel=1e-14)


@pytest.mark.parametrize("text", SPECS + RARE)
def test_counts_of_codes_and_scales_are_exact(text):
    x, spec = wide_data(), parse(text)
    found = measured(x, text, seed=5)
    packed = fp4sim.quantize(x, text, seed=5, name="x")
    if spec.element.bits <= 8:
        assert found.occupancy == tuple(np.bincount(packed.codes.ravel(), minlength=1 << spec.element.bits))
        assert found.occupancy[spec.element.sign_mask] == (packed.codes == spec.element.sign_mask).sum() > 0
    if spec.scale is None:
        assert (found.blocks, found.scale_histogram) == (0, {})
        return
    scales, (amax, _) = packed.block_scale.ravel(), block_amax(x, spec)
    values = np.array([spec.scale.value(int(code)) for code in scales])
    assert found.blocks == scales.size == amax.size
    assert found.scale_zero == (values == 0).mean()
    assert found.scale_lost == ((values == 0) & (amax > 0)).mean()
    subnormal = (values > 0) & (values < spec.scale.min_normal) if spec.scale.has_zero else values < 0
    assert found.scale_subnormal == subnormal.mean()
    assert found.scale_saturated == (values == spec.scale.max).mean()
    if spec.scale.bits <= 8:
        codes, counts = np.unique(scales, return_counts=True)
        assert found.scale_histogram == {str(code): count for code, count in zip(codes, counts, strict=True)}


def factors(x, spec):
    """fl(1 / fl(s S_dec)) or 2^-e of each block: what the elements are multiplied by."""
    packed = fp4sim.quantize(x, spec, name="x")
    scale = np.array([spec.scale.value(int(code)) for code in packed.block_scale.ravel()])
    with np.errstate(divide="ignore", over="ignore"):
        if not spec.scale.has_zero:
            return packed, scale, (1 / scale).astype(F32)
        tensor = spec.tensor_scale.mode == "tensor"
        decode = F32(1) / (F32(spec.scale.max * spec.element.max) / np.abs(x).max()) if tensor else F32(1)
        return packed, scale, np.minimum(F32(1) / (scale.astype(F32) * decode), FLT_MAX)


@pytest.mark.parametrize(
    "text", ["nvfp4", "nvfp4@ts:none", "mxfp4", "mxfp4@rceil", "nvfp4/16x16", "nvint4", "nvfp4@down"]
)
def test_errors_are_shared_out_by_cause(text):
    x, spec = wide_data(), parse(text)
    packed, scale, factor = factors(x, spec)
    index = block_index(x, spec)
    scaled = np.abs(x * factor[index])
    value = packed.dequantize(np.float64)
    squared = (value - x.astype(np.float64)) ** 2
    lost = scale[index] == 0
    over = ~lost & (scaled > F32(spec.element.max))
    flushed = ~lost & ~over & (value == 0)
    found = measured(x, text)
    for name, cause in {"scale_zero": lost, "over_maximum": over, "flushed": flushed}.items():
        share = math.fsum(squared[cause]) / math.fsum(squared.ravel())
        assert found.error_share[name] == pytest.approx(share, rel=1e-12, abs=0)
        assert found.element_share[name] == (cause & (x != 0)).sum() / x.size
    assert sum(found.error_share.values()) == pytest.approx(1, rel=1e-12)
    assert found.flushed == ((value == 0) & (x != 0)).sum() / x.size


def test_the_data_exercises_every_cause_and_kind_of_scale():
    x = wide_data()
    found = measured(x, "nvfp4")
    assert min(found.scale_zero, found.scale_lost, found.scale_subnormal, found.scale_saturated) > 0
    assert found.scale_zero > found.scale_lost
    assert min(found.element_share["scale_zero"], found.element_share["flushed"]) > 0
    assert measured(x, "mxfp4").element_share["over_maximum"] > 0


DIGIT_SPECS = ["nvfp4", "nvfp4/16x16", "nvfp4@ts:row", "nvfp4@ts:64", "mxfp4@even", "nvfp4+sr", "nvfp4/row"]
DIGIT_SPECS += ["nvfp4/tensor", "e2m1", "bf16", "nvfp4/6", "e4m3/32@e8m0"]


def small_cells():
    """Many cells in a small tensor."""
    return patch.multiple(geometry, CELL_ELEMENTS=1 << 10, PIECE_ELEMENTS=1 << 12)


def digits(x, *, nonfinite="error", **arguments):
    result = fp4sim.compare({"x": x}, DIGIT_SPECS, nonfinite=nonfinite, **arguments).to_dict()
    return json.dumps([result["tensors"], result["totals"]])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_threads_change_no_digit(axis):
    x = wide_data((5, 60, 70))
    with small_cells():
        assert len({digits(x, axis=axis, threads=threads) for threads in (1, 2, 3, 5)}) == 1


def test_threads_change_no_digit_on_full_sized_cells():
    x = wide_data((700, 1024))
    assert len({digits(x, threads=threads) for threads in (1, 2, 3)}) == 1


def compare_file(path, **arguments):
    with open_source(path) as source:
        result = compare_sources([(source, source.tensors())], list(map(parse, DIGIT_SPECS)), Settings(**arguments))
    return result.to_dict()


@pytest.mark.parametrize("shape", [(60, 70), (3, 20, 130), (2, 5000)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_streamed_tensors_have_the_digits_of_resident_ones(tmp_path, monkeypatch, shape, dtype):
    path = tmp_path / "weights.npy"
    np.save(path, wide_data(shape).astype(np.dtype(getattr(ml_dtypes, dtype, dtype))))
    with small_cells():
        resident = compare_file(path, threads=1)
        monkeypatch.setattr(panels, "RESIDENT_BYTES", 0)
        with open_source(path) as source:
            assert not panels.Panels(source.tensors()[0], len(shape) - 1).resident
        for threads in (1, 2, 3):
            assert compare_file(path, threads=threads) == resident
        assert compare_file(path, axis=0) == compare_file(path, axis=0, threads=1)


def test_streamed_tensors_report_the_same_nonfinite_element(tmp_path, monkeypatch):
    x = wide_data((50, 90))
    x[41, 7], x[45, 3] = np.inf, np.nan
    np.save(tmp_path / "weights.npy", x)
    monkeypatch.setattr(panels, "RESIDENT_BYTES", 0)
    for threads in (1, 2):
        with small_cells(), pytest.raises(UnreadableError, match=r"tensor 'weights' holds inf at \[41, 7\]"):
            compare_file(tmp_path / "weights.npy", threads=threads)


@pytest.mark.parametrize("nonfinite", ["error", "propagate", "ignore"])
@pytest.mark.parametrize("axis", [0, 2])
def test_the_reference_kernels_give_the_same_digits(axis, nonfinite):
    x = wide_data((4, 40, 70))
    if nonfinite != "error":
        x[1, 3, 5], x[2, 7, 11], x[2, 7, 12] = np.nan, np.inf, -np.inf
    with small_cells():
        compiled = digits(x, axis=axis, nonfinite=nonfinite)
        with by_definition():
            assert default_kernels() is ReferenceKernels
            assert digits(x, axis=axis, nonfinite=nonfinite) == compiled
        assert default_kernels() is CpuKernels


def test_where_everything_is_lost_the_snr_is_zero_without_a_sign():
    x = np.full((4, 64), 2.0**-20, np.float32)
    found = fp4sim.compare({"w": x}, ["nvfp4@ts:none"]).tensors[0].results[0]
    assert found.rel_mse == 1.0
    for name in ("snr_db", "effective_bits"):
        assert (found.value(name), math.copysign(1, found.value(name))) == (0.0, 1.0)
        assert metric_text(name, found) == number_text(name, 0.0)
    assert number_text("snr_db", -0.0) == metric_text("snr_db", found) == "0.00"
    assert number_text("snr_db", -0.001) == "-1.0e-03"


def test_a_format_has_the_same_digits_alone_and_in_company():
    x = wide_data((50, 130))
    with small_cells():
        together = fp4sim.compare(x, DIGIT_SPECS).tensors[0].results
        for text, result in zip(DIGIT_SPECS, together, strict=True):
            assert fp4sim.compare(x, text).tensors[0].results[0] == result


def test_totals_are_ratios_of_sums_with_medians_beside():
    data = {"a": wide_data((8, 64), 1), "b": 100 * wide_data((4, 30), 2), "c": wide_data((2, 3, 48), 3)}
    result = fp4sim.compare(data, ["nvfp4", "mxfp4+sr"])
    for i in range(2):
        rows, total = [tensor.results[i] for tensor in result.tensors], result.totals[i]
        n, e2 = sum(row.elements for row in rows), sum(row.mse * row.elements for row in rows)
        x2 = sum(row.mse * row.elements / row.rel_mse for row in rows)
        assert total.metrics.elements == n == sum(x.size for x in data.values())
        ratios = (total.metrics.mse, total.metrics.rel_mse, total.metrics.snr_db)
        assert ratios == pytest.approx((e2 / n, e2 / x2, -10 * math.log10(e2 / x2)), rel=1e-12)
        assert total.metrics.occupancy == tuple(np.sum([row.occupancy for row in rows], axis=0))
        assert total.metrics.blocks == sum(row.blocks for row in rows) == sum(total.metrics.scale_histogram.values())
        worst = max(range(3), key=lambda k: rows[k].max_error)
        found = (total.metrics.max_error, total.metrics.max_error_at, total.metrics.max_error_in)
        assert found == (rows[worst].max_error, rows[worst].max_error_at, result.tensors[worst].name)
        assert set(total.median) == set(METRICS)
        for name, median in total.median.items():
            assert median == np.median([getattr(row, name) for row in rows])


def test_what_is_no_matrix_of_floats_is_skipped_with_its_reason():
    arrays = {"bias": np.ones(64, F32), "ids": np.ones((2, 3), int), "none": np.ones((0, 4), F32), "w": wide_data()}
    source = ListSource("here", [ArrayTensor(name, array) for name, array in arrays.items()])
    result = compare_sources([(source, source.tensors())], [parse("nvfp4")], Settings())
    assert [tensor.name for tensor in result.tensors] == ["w"]
    reasons = {skip.name: skip.reason for skip in result.skipped}
    assert list(reasons) == ["bias", "ids", "none"]
    assert "only tensors with at least 2 are quantized" in reasons["bias"]
    assert reasons["ids"] == "dtype int64 is not a float"
    assert reasons["none"] == "no elements"
    assert {skip.source for skip in result.skipped} == {"here"}


def test_nothing_to_compare_is_never_success():
    with pytest.raises(NothingComparedError, match=r"its tensor was skipped \('ids': dtype int64 is not a float"):
        fp4sim.compare({"ids": np.ones((4, 4), int)}, "nvfp4")
    with pytest.raises(NothingComparedError, match="no tensor is there"):
        fp4sim.compare({}, "nvfp4")


@pytest.mark.parametrize(("value", "shown"), [(np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf")])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_first_nonfinite_element_is_named(value, shown, axis):
    x = wide_data((3, 20, 40))
    x[1, 7, 9] = value
    says = rf"tensor ('x' )?holds {shown} at \[1, 7, 9\]: .*nonfinite='ignore'.*'propagate'"
    for call in (fp4sim.compare, lambda x, spec, **kw: fp4sim.quantize(x, spec, name="x", **kw)):
        for spec in ("nvfp4", "nvfp4/16x16", "mxfp4", "e2m1"):
            with pytest.raises(UnreadableError, match=says) as caught:
                call(x, spec, axis=axis)
            assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["nvfp4", "nvfp4/16x16", "mxfp4", "nvfp4/row", "nvfp4+sr", "e2m1"])
def test_ignored_elements_are_dropped_and_counted(text):
    clean = wide_data((20, 70))
    holes = np.random.default_rng(1).random(clean.shape) < 0.03
    x = np.where(holes, np.array([np.nan, np.inf, -np.inf], F32)[np.arange(clean.size).reshape(clean.shape) % 3], clean)
    zeroed = np.where(holes, F32(0), clean)
    (tensor,) = fp4sim.compare({"x": x}, text, nonfinite="ignore").tensors
    found, expected = tensor.results[0], measured(zeroed, text)
    assert tensor.nonfinite == holes.sum() == x.size - found.elements > 0
    assert found.mse == pytest.approx(expected.mse * x.size / found.elements, rel=1e-14)
    for name in ("rel_mse", "max_error", "max_error_at", "cosine", "blocks", "scale_histogram"):
        assert getattr(found, name) == getattr(expected, name)
    kept = fp4sim.quantize(zeroed, text, name="x").codes[~holes]
    assert found.occupancy == tuple(np.bincount(kept, minlength=16))
    assert fp4sim.quantize(x, text, nonfinite="ignore").nonfinite == holes.sum()


@pytest.mark.parametrize("text", ["nvfp4", "mxfp4", "nvfp4/row", "e2m1", "e4m3", "bf16"])
def test_propagated_nan_gives_no_number(text):
    x = wide_data((20, 70))
    x[3, 4] = np.nan
    (tensor,) = fp4sim.compare(x, text, nonfinite="propagate").tensors
    found = tensor.results[0]
    assert (tensor.nonfinite, tensor.amax, found.elements) == (1, None, x.size)
    for name in ("mse", "rel_mse", "snr_db", "cosine", "alignment", "mean_error"):
        assert getattr(found, name) is None
        assert "NaN or Inf" in found.undefined[name]


def test_every_result_is_strict_json():
    x = wide_data((20, 70))
    x[3, 4] = np.nan
    for data in (x, *(np.full((4, 64), value, F32) for value in (0, 1, 3e38, 1e-45))):
        found = fp4sim.compare(data, SPECS, nonfinite="propagate")
        result = json.loads(
            strict_json(found.to_dict()), parse_constant=lambda name: pytest.fail(f"{name} is not JSON")
        )
        assert result == found.to_dict()
        assert result["schema"] == "fp4sim.compare/1"
        assert result["BITS_VERSION"] == fp4sim.BITS_VERSION
        assert [info["spec"] for info in result["formats"]] == [str(parse(spec)) for spec in SPECS]


@pytest.mark.parametrize("text", ["nvfp4", "mxfp4", "e2m1", "nvfp4/row"])
def test_all_zero_data_has_no_ratio(text):
    found = measured(np.zeros((4, 64), F32), text)
    assert (found.mse, found.mean_error, found.max_error, found.flushed) == (0, 0, 0, 0)
    assert found.scale_lost == 0
    for name in ("rel_mse", "snr_db", "effective_bits", "cosine", "alignment"):
        assert getattr(found, name) is None
        assert "all zero" in found.undefined[name]


def test_exact_data_has_no_error_and_no_snr():
    found = measured(np.tile(np.array([0.5, 1, 1.5, 2, 3, 4, 6, -6] * 4, F32), (4, 1)), "mxfp4")
    assert (found.mse, found.rel_mse, found.max_error, found.cosine, found.alignment) == (0, 0, 0, 1, 1)
    assert found.undefined == {"snr_db": "no error at all", "effective_bits": "no error at all"}
    assert (found.snr_db, sum(found.error_share.values())) == (None, 0)


def test_inputs_of_every_kind(tmp_path):
    x = wide_data((8, 64))
    np.save(tmp_path / "w.npy", x)
    array = fp4sim.compare(x)
    assert [info.short for info in array.formats] == ["nvfp4", "mxfp4"]
    assert [tensor.name for tensor in array.tensors] == [""]
    for other in ({"": x}, MappingProxyType({"": x}), x.tolist()):
        assert fp4sim.compare(other, ["nvfp4", "mxfp4"]).totals == array.totals
    drawn = np.bincount(fp4sim.quantize(x, "nvfp4+sr").codes.ravel(), minlength=16)  # the same draw
    assert fp4sim.compare(x, "nvfp4+sr").totals[0].metrics.occupancy == tuple(drawn)
    for path in (tmp_path / "w.npy", str(tmp_path / "w.npy")):
        (tensor,) = fp4sim.compare(path).tensors
        assert (tensor.name, tensor.results) == ("w", array.tensors[0].results)
    vector = fp4sim.compare(x.reshape(-1))
    assert vector.tensors[0].shape == (1, 512)
    assert fp4sim.compare(x.reshape(-1), axis=0).totals == vector.totals  # its only axis
    named = fp4sim.compare("synthetic:gaussian:64x64", "nvfp4")
    assert (named.tensors[0].name, named.settings["axis"]) == ("gaussian", -1)


def test_seed_and_name_choose_the_random_bits():
    x = wide_data((8, 64))
    draws = [("x", 1), ("x", 1), ("x", 2), ("y", 1)]
    found = [fp4sim.compare({name: x}, "nvfp4+sr", seed=seed).totals[0].metrics.mse for name, seed in draws]
    assert found[0] == found[1]
    assert len(set(found)) == 3
