"""Every array of the te and quartet vectors is accounted for: by the test that compares it, or as that test's input.

The table is checked against the keys of the project's copies, and, where the whole files lie beside the checkout in
../shared/golden, against theirs, whose arrays must be the copies' bit for bit.
"""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import golden

SHARED = Path(__file__).parents[3] / "shared" / "golden"
PACKAGE = "tests."

_DIST = "(normal|heavy|outlier|zeroblk|tiny|small|huge|expspread|allzero|ties|negzero)"
_PLAIN, _TE = f"{_DIST}/(bf16|fp32|fp16)/(1x16|16x16)", "test_golden_te::"
_ROTATION, _FOURS = "estimators.test_est_rotation::", "estimators.test_est_four_over_six::"
_SIXES = "4over6_(448|256)_(MAE|MSE)_(exact|fast)/(bf16|fp32)/(1x16|16x16)"
_RHT = "(normal|heavy|expspread|outlier)/bf16"

# What a key matches, and the test that compares it (for inputs: that reads it).
TE = {
    f"{_PLAIN}/(x|q|q_hw|s|amax|amaxT)": f"{_TE}test_nvfp4_equals_transformer_engine",
    f"{_PLAIN}/(qT|sT)": f"{_TE}test_nvfp4_along_the_other_axis_equals_transformer_engine_on_the_transpose",
    "rowscaled/(bf16|fp32)/1x16/(x|q|s|amax)": f"{_TE}test_row_scaled_nvfp4_equals_transformer_engine",
    "rowscaled/(bf16|fp32)/1x16/(qT|sT|amaxT)": (
        f"{_TE}test_row_scaled_nvfp4_of_the_transpose_equals_transformer_engine"
    ),
    f"{_SIXES}/(x|q|s|amax)": f"{_FOURS}test_transformer_engine_s_modes",
    f"rht_sign/{_RHT}/(x|qT|sT|amaxT)": f"{_ROTATION}test_transformer_engine_s_rotated_operand",
    f"rht_nosign/{_RHT}/(x|qT|sT|amaxT)": f"{_ROTATION}test_transformer_engine_s_operand_without_signs",
    f"rht_(sign|nosign)/{_RHT}/(q|s|amax)": f"{_ROTATION}test_transformer_engine_does_not_rotate_the_other_operand",
    f"rht_(sign|nosign)/{_RHT}/rhtT_(cpu|exact)": f"{_ROTATION}test_transformer_engine_s_transform_in_bf16",
    "gemm/[0-9x]+/(qx|qw|sx|sw|ax|aw|aw_col|fp32/y|bf16/y)": (
        f"{_TE}test_products_of_decoded_operands_equal_transformer_engine_s_reference"
    ),
}

_Q, _TORCH, _THREE = "estimators.test_est_quartet::", "estimators.test_est_quartet_torch::", "(gauss|scaled|heavy)"
_FOUR = "(gauss|scaled|heavy|edge)"
QUARTET = {
    "in_(gauss|scaled|heavy|edge)": f"{_Q}test_nvfp4_round_to_nearest",
    "in_edge_mx": f"{_Q}test_quest",
    "rht_signs128": f"{_TORCH}test_the_order_of_their_rotation",
    "H(32|128)": f"{_TORCH}test_their_matrices",
    f"q2/{_FOUR}__nvfp4_rtn_(1x16|16x16)_46[01]": f"{_Q}test_nvfp4_round_to_nearest",
    f"q2/{_FOUR}__nvfp4_rtn_1x16_(qrtn0.93|sr17_16)": f"{_Q}test_nvfp4_round_to_nearest",
    f"q2/{_FOUR}__rht128": f"{_Q}test_their_rotation_to_rounding",
    f"q2/{_THREE}__quest_nvfp4": f"{_TORCH}test_quest_under_e4m3_scales",
    f"q2/{_THREE}__torch_nvfp4_had16_(1x16|16x16)": f"{_TORCH}test_the_helper_on_its_own_rotation",
    f"q2/{_THREE}__eden_fp32_g128_(no|eden)_0.96": f"{_TORCH}test_eden_over_fp32_scales",
    f"q2/{_THREE}__eden_e8m0_g32_no_1.0": f"{_Q}test_eden_s_e8m0_quantizer_without_correction",
    f"q2/{_THREE}__mseden_S(16|128)_(codes|base_scale_e4m3|tensor_scale|down|up|p_up)": f"{_Q}test_ms_eden",
    f"q2/{_THREE}__mseden_S(16|128)_(S|corrected_scale)": f"{_Q}test_ms_eden_s_correction",
    "lin_[xw]|q2/lin__(quartet2|nvidia)(_46)?__y": "test_layer::test_forward_in_the_released_arithmetic",
    f"q1/{_FOUR}__quest_mxfp4(_mult1.5)?_(H32|I)|q1/{_FOUR}__quest_mxfp4_(H32|I)_mask": f"{_Q}test_quest",
    f"q1/{_FOUR}__absmax_rtn_mxfp4_(H32|I)": f"{_Q}test_absmax_at_three_quarters",
    f"q1/{_FOUR}__absmax_rtn_pma_H32": f"{_Q}test_constant_alignment",
    f"q1/{_THREE}__FP4ClipQuantizer_rows0_31": f"{_TORCH}test_quest_over_rows",
}
LAYER = {"lin_x": "x", "lin_w": "w"}  # the layer's arrays lie in golden_layer.npz under shorter names
FILES = {"golden_te.npz": TE, "golden_quartet.npz": QUARTET}


def copies(name: str) -> dict[str, np.ndarray]:
    """The project's arrays under the keys of the whole file."""
    found = dict(golden(name).items())
    if name == "golden_quartet.npz":
        layer = golden("golden_layer.npz")
        short = {**LAYER, **{f"q2/lin__{key}__y": key for key in layer.files if key not in LAYER.values()}}
        found |= {key: layer[own] for key, own in short.items()}
    return found


def unaccounted(keys: list[str], table: dict[str, str]) -> list[str]:
    return [key for key in keys if sum(re.fullmatch(pattern, key) is not None for pattern in table) != 1]


@pytest.mark.parametrize("name", FILES)
def test_every_key_of_the_copies_is_accounted_for(name: str) -> None:
    keys, table = list(copies(name)), FILES[name]
    assert unaccounted(keys, table) == []
    assert [pattern for pattern in table if not any(re.fullmatch(pattern, key) for key in keys)] == []


@pytest.mark.parametrize("name", FILES)
def test_every_key_of_the_whole_file_is_accounted_for_and_copied(name: str) -> None:
    if not (SHARED / name).is_file():
        pytest.skip(f"the whole file {name} is not in {SHARED}")
    whole, own = np.load(SHARED / name, allow_pickle=False), copies(name)
    assert unaccounted(whole.files, FILES[name]) == []
    assert set(whole.files) == set(own)
    for key in whole.files:
        stored = whole[key]
        assert (stored.dtype, stored.shape, stored.tobytes()) == (own[key].dtype, own[key].shape, own[key].tobytes()), (
            key
        )


@pytest.mark.parametrize("where", sorted({*TE.values(), *QUARTET.values()}))
def test_the_tests_that_the_table_names_are_there(where: str) -> None:
    module, name = where.split("::")
    assert callable(getattr(import_module(PACKAGE + module), name))


def test_a_key_that_nothing_compares_is_found() -> None:
    assert unaccounted(["gemm/16x16x64/qx", "gemm/16x16x64/new", "q3/gauss"], TE) == ["gemm/16x16x64/new", "q3/gauss"]
