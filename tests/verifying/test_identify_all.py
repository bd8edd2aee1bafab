"""Every named dialect on the bf16 sweep: ``--identify`` names the right one, and nobody whose output differs."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest

import fp4sim
from fp4sim.dialects.registry import available
from fp4sim.golden.cases import cases_of
from fp4sim.golden.stimuli import named
from fp4sim.verifying.check import Options, verify_dump
from fp4sim.verifying.dump import dump_of
from fp4sim.verifying.identify import candidates_of
from tests.verifying.inputs import many_amax

# a base, how many tensors of the sweep are enough, and who writes the same bits on all of them
BASES = {
    "nvfp4": (22, ("nvfp4 nvfp4@flashinfer-exact nvfp4@flashinfer-exact:ftz", "nvfp4@torchao nvfp4@torchao:v0.18",
                   "nvfp4@vllm-cuda nvfp4@flashinfer nvfp4@flashinfer:v0.7.4 nvfp4@flashinfer-cutedsl nvfp4@qutlass")),
    "mxfp4": (3, None),
    "e2m1": (3, None),
}  # fmt: skip


@lru_cache
def sweep():
    """bf16 tensors of many amax: those of golden packs, and larger ones."""
    cases = cases_of((fp4sim.parse("nvfp4"),), named("amax"), 0)
    return (many_amax(41, (64, 256)), many_amax(42, (64, 256)), *(case.arrays["x"] for case in cases))


@lru_cache
def outputs(base):
    """What each candidate of a base writes, by its name."""
    tensors = sweep()[: BASES[base][0]]
    return {
        spec.short: [fp4sim.quantize(x, spec, nonfinite="propagate") for x in tensors]
        for spec in candidates_of(fp4sim.parse(base))
    }


def same(a, b):
    parts = ("packed", "block_scale", "tensor_scale")
    return all(np.array_equal(getattr(x, part), getattr(y, part)) for x, y in zip(a, b, strict=True) for part in parts)


def twins(base, name):
    """Everyone who writes what ``name`` does."""
    made = outputs(base)
    return {other for other in made if same(made[name], made[other])}


def dump_by(base, name):
    arrays = {}
    for i, (x, packed) in enumerate(zip(sweep(), outputs(base)[name], strict=False)):
        arrays |= {f"{i}.x": x, f"{i}.codes": packed.packed}
        if packed.spec.scale is not None:
            arrays[f"{i}.block_scale"] = packed.block_scale
        if packed.spec.tensor_scale.mode != "none":
            arrays[f"{i}.ts"] = packed.tensor_scale
    return dump_of(arrays)


@pytest.mark.parametrize("base", BASES)
def test_the_right_dialect_is_named_and_nobody_who_differs(base):
    for name in outputs(base):
        result = verify_dump(dump_by(base, name), fp4sim.parse(base), Options(explain=False, identify=True))
        exact = [{one.spec for one in case.candidates if one.exact} for case in result.cases]
        assert set.intersection(*exact) == twins(base, name), name


def test_every_dialect_is_tried():
    tried = {fp4sim.parse(name).dialect for base in BASES for name in outputs(base)}
    assert tried == set(available())
    assert "nvfp4@llamacpp" in outputs("nvfp4")


def test_the_sweep_tells_nvfp4_dialects_apart():
    """All but the few that do the same on data whose scaled values are no subnormals."""
    for group in BASES["nvfp4"][1]:
        for name in group.split():
            assert twins("nvfp4", name) == set(group.split())
    listed = set(" ".join(BASES["nvfp4"][1]).split())
    for name in set(outputs("nvfp4")) - listed:
        assert twins("nvfp4", name) == {name}


def test_values_alone_identify_too():
    """Decoded values without codes or scales are compared as well; nobody is named for nothing."""
    x = sweep()[0]
    values = fp4sim.quantize(x, "nvfp4@cublaslt").dequantize()
    case = fp4sim.verify(x, "nvfp4", dequantized=values, identify=True).cases[0]
    alike = {name for name, made in outputs("nvfp4").items() if made[0].dequantize().tobytes() == values.tobytes()}
    assert {one.spec for one in case.candidates if one.exact} == alike
    assert "nvfp4@cublaslt" in alike
    assert "nvfp4" not in alike
    draws = fp4sim.verify(x, "nvfp4+sr", codes=fp4sim.quantize(x, "nvfp4+sr").packed, identify=True).cases[0]
    assert draws.candidates == ()
    assert "nothing was dumped that tells dialects apart" in " ".join(draws.notes)
