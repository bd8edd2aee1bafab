"""Every planted bug is named, or called unknown; right kernels have no findings."""

from __future__ import annotations

import numpy as np
import pytest

import fp4sim
from fp4sim.verifying.check import verify_dump
from fp4sim.verifying.dump import dump_of
from tests.verifying.bugs import BUGS, Bug
from tests.verifying.inputs import many_amax, ties, wide
from tests.verifying.kernel import MX, NV

SEEDS = (101, 202)


def findings_of(bug: Bug, make, seed: int):
    """The first input from ``seed`` on that shows the bug: rounding differences of a few ppm need some tries."""
    for more in range(30):
        with np.errstate(all="ignore"):
            dump = dump_of(bug.run(make(seed + 1000 * more)))
        case = verify_dump(dump, fp4sim.parse(bug.spec)).cases[0]
        if not case.ok:
            return case
    raise AssertionError(f"{bug.name}: the bug changes nothing on these inputs")


def outcome(bug: Bug, make, seed: int) -> tuple[str, list[str]]:
    """right, unknown or false; and what was said."""
    case = findings_of(bug, make, seed)
    said = [f"{finding.cause}: {finding.sentence}" for finding in case.findings]
    # Causes that leave the same bits are named together, and the sentence says that the data does not tell them apart.
    named = [{finding.cause, *finding.also} for finding in case.findings]
    fitting = bool(named) and all(one & set(bug.causes) for one in named)
    ordered = bug.causes[0] == "scale.operation_order"
    if fitting and (ordered or any(bug.causes[0] in one for one in named)):
        return "right", said
    strange = set().union(*(one for one in named if not one & set(bug.causes)), set())
    return ("unknown" if not named or strange == {"unknown"} else "false"), said


CASES = [(bug, make, seed) for bug in BUGS for make in bug.inputs for seed in SEEDS]


@pytest.mark.parametrize(("bug", "make", "seed"), CASES, ids=[f"{b.name}-{m.__name__}-{s}" for b, m, s in CASES])
def test_nothing_false_is_said(bug, make, seed):
    result, said = outcome(bug, make, seed)
    assert result != "false", said


def test_causes_are_named():
    results = [outcome(bug, make, seed)[0] for bug, make, seed in CASES]
    assert len(BUGS) >= 30
    assert results.count("right") >= 0.95 * len(results)


@pytest.mark.parametrize("make", [many_amax, ties, wide])
@pytest.mark.parametrize(("kernel", "spec"), [(NV, "nvfp4"), (MX, "mxfp4")])
def test_right_kernels_have_no_findings(kernel, spec, make):
    for seed in range(5):
        case = verify_dump(dump_of(kernel(make(seed))), fp4sim.parse(spec)).cases[0]
        assert case.ok
        assert case.findings == ()


def large_dump(run):
    return verify_dump(dump_of(run(many_amax(7, (1024, 1024)))), fp4sim.parse("nvfp4")).cases[0]


def test_other_specs_are_told_on_large_tensors():
    def four_over_six(x):
        packed = fp4sim.quantize(x, "nvfp4+4over6")
        return {"x": x, "codes": packed.packed, "scales": packed.block_scale}

    def by_row(x):
        packed = fp4sim.quantize(x, "nvfp4@ts:row")
        return {"x": x, "codes": packed.packed, "scales": packed.block_scale}

    columns = next(bug for bug in BUGS if bug.name == "blocks along columns")
    for run, cause in (
        (four_over_six, "scale.four_over_six"),
        (by_row, "tensor_scale.row"),
        (columns.run, "layout.axis"),
    ):
        assert [finding.cause for finding in large_dump(run).findings if finding.part != "tensor_scale"] == [cause]


def values_only(kernel, x):
    packed = kernel(x)
    made = fp4sim.quantize(x, "nvfp4").__class__(
        packed=(packed["codes"][:, 0::2] | packed["codes"][:, 1::2] << 4).astype(np.uint8),
        block_scale=packed["scales"],
        tensor_scale=np.asarray(packed["tensor_scale"], np.float32),
        shape=x.shape,
        axis=1,
        spec=fp4sim.parse("nvfp4"),
    )
    return made.dequantize()


def test_causes_from_values_alone():
    """What the dequantized output alone tells."""
    for name, cause in (
        ("ties away, NVFP4", "code.ties_away"),
        ("truncation", "code.truncated"),
        ("scale truncated", "scale.truncated"),
        ("amax mapped to 4", "scale.element_max"),
    ):
        bug = next(bug for bug in BUGS if bug.name == name)
        x = ties(3) if "ties" in name else many_amax(3)
        findings = fp4sim.verify(x, "nvfp4", dequantized=values_only(bug.run, x)).cases[0].findings
        assert [finding.cause for finding in findings] == [cause], name
    x = many_amax(3)
    odd = fp4sim.quantize(x, "nvfp4").dequantize() * np.float32(1.01)
    assert fp4sim.verify(x, "nvfp4", dequantized=odd).cases[0].findings[0].cause == "unknown"
