"""What follows from scales that are not fp4sim's own: rules that a library lacks, zero scales, flushed operands."""

from __future__ import annotations

import numpy as np
import pytest

import fp4sim
from fp4sim.dialects.operations import flushed
from fp4sim.report.verify_model import CaseResult
from fp4sim.spec_names import DIALECT_ROWS, POW2_RULES


def blocks(size: int, width: int = 16) -> np.ndarray:
    """Normal values, blocks over 32 binades, 2^size of the largest."""
    rng = np.random.default_rng(11)
    small = np.exp2(rng.uniform(-32, 0, (64, 1024 // width)) + size).repeat(width, axis=1)
    return (rng.standard_normal((64, 1024)) * small).astype(np.float32)


def verified(x: np.ndarray, spec: str, made: fp4sim.PackedTensor) -> CaseResult:
    return fp4sim.verify(x, spec, codes=made.packed, block_scale=made.block_scale).cases[0]


@pytest.mark.parametrize("name", [name for name, row in DIALECT_ROWS.items() if row.pow2_rules and not row.cast_only])
def test_a_rule_that_the_library_does_not_have_is_named(name: str) -> None:
    """It raised UsageError, whatever the rule was, as soon as one scale differed."""
    x = np.random.default_rng(2).standard_normal((64, 1024)).astype(np.float32)
    own = DIALECT_ROWS[name].pow2_rules[0]
    for rule in set(POW2_RULES) - {own}:
        made = fp4sim.quantize(x, f"e2m1/32@e8m0@{rule}")
        case = verified(x, f"e2m1/32@e8m0@{own}@{name}", made)
        if case.counts["scales"].wrong:
            assert case.findings[0].cause == f"scale.rule.{rule}"


def test_operands_that_are_not_flushed_are_no_ties() -> None:
    x = blocks(-118)
    case = verified(x, "nvfp4@flashinfer", fp4sim.quantize(x, "nvfp4@vllm-cuda"))
    assert [finding.cause for finding in case.findings] == ["scale.operation_order", "code.operation_order"]
    assert "vllm-cuda" in case.findings[1].sentence


def test_codes_follow_from_scales_that_were_flushed() -> None:
    """A zero scale silences no block of this dialect: its codes saturate, which is not a second cause."""
    x = blocks(0)
    made = fp4sim.quantize(x, "nvfp4@flashinfer")
    scales = np.where(made.block_scale < 8, 0, made.block_scale).astype(np.uint8)
    silenced = (scales == 0) & (made.block_scale != 0)
    codes = made.packed.reshape(64, 64, 8).copy()
    signs = np.signbit(flushed(x)).reshape(64, 64, 8, 2).astype(np.uint8)
    saturated = (7 | signs[..., 0] << 3) | (7 | signs[..., 1] << 3) << 4
    codes[silenced] = saturated[silenced]
    case = fp4sim.verify(x, "nvfp4@flashinfer", codes=codes.reshape(64, -1), block_scale=scales).cases[0]
    assert [finding.cause for finding in case.findings] == ["scale.flushed"]


def test_code_zero_has_a_multiplier_of_its_own() -> None:
    x = blocks(-118, 32)
    case = verified(x, "mxfp4@flashinfer:v0.7.4", fp4sim.quantize(x, "mxfp4@vllm-cuda"))
    assert [finding.cause for finding in case.findings] == ["scale.rule.even"]
