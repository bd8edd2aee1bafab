"""Shared by the tests of the renderers: small comparisons, and tensors with names from hell."""

from __future__ import annotations

import numpy as np
import pytest

import fp4sim

HOSTILE = (
    "<script>alert(1)</script>",
    "[bold red]markup[/bold red] [link=http://x]y[/link]",
    "\x1b[31mred\x1b]0;title\x07",
    "line\nbreak\r\ttab",
    "pipe|`tick`\\back*star*_u_ @team",
    '=HYPERLINK("http://x","y")',
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "rtl‮gnp.exe‏",
    "long." * 2000,
    "",
    " ",
    " =1+1",
    "日本語の重み" * 30,
    "</td></table><img src=x onerror=alert(1)>",
    "`",
    "``|``",
)


@pytest.fixture(scope="session")
def hostile_names() -> tuple[str, ...]:
    return HOSTILE


@pytest.fixture(scope="session")
def hostile():
    """Every hostile name as a tensor that is compared, and once more as one that is skipped."""
    from fp4sim.commands.compare import Settings, compare_sources
    from fp4sim.grammar import parse_list
    from fp4sim.io.source import ArrayTensor, ListSource

    rng = np.random.default_rng(0)
    tensors = [ArrayTensor(name, rng.standard_normal((4, 32)).astype(np.float32)) for name in HOSTILE]
    tensors += [ArrayTensor(name, np.zeros(3, np.int32)) for name in HOSTILE]
    source = ListSource("=evil|source", tensors)
    return compare_sources([(source, source.tensors())], parse_list("nvfp4,mxfp4"), Settings())


@pytest.fixture(scope="session")
def exact():
    """Two tensors that mxfp4 holds exactly and nvfp4 does not, one of them from float64, and one that neither holds."""
    grid = np.tile(np.array([1, 2, 3, 4, 6, 0.5, 1.5, 0], np.float32), (4, 8))
    noise = np.random.default_rng(2).standard_normal((4, 64)).astype(np.float32)
    return fp4sim.compare({"grid": grid, "double": grid.astype(np.float64), "noise": noise}, "nvfp4,mxfp4")


@pytest.fixture(scope="session")
def plain():
    """Four ordinary tensors under three formats, one of them with a long name."""
    rng = np.random.default_rng(1)
    names = ["model.layers.0.self_attn.q_proj.weight", "model.layers.11.mlp.down_proj.weight", "lm_head", "zeros"]
    tensors = {name: rng.standard_normal((64, 96)).astype(np.float32) for name in names}
    tensors["zeros"][:] = 0
    return fp4sim.compare(tensors, "nvfp4,mxfp4,mxfp4@rceil+sr:bits=8")


@pytest.fixture(scope="session")
def every_kind(plain):
    """A small result of every kind, by the name of its schema."""
    from fp4sim.commands.diff import DiffSettings, diff_sources
    from fp4sim.commands.gemm import GemmSettings, gemm_errors
    from fp4sim.commands.gemm_operand import matrix_of
    from fp4sim.grammar import parse
    from fp4sim.io.source import ArrayTensor, ListSource
    from fp4sim.report.golden_model import GoldenResult
    from fp4sim.reproduce.engine import reproduce
    from fp4sim.reproduce.model import ReproduceSettings
    from fp4sim.reproduce.registry import entries, load
    from fp4sim.testing.mutation import mutation_score
    from fp4sim.testing.tolerance import Tolerance

    rng = np.random.default_rng(3)
    x = rng.standard_normal((32, 128)).astype(np.float32)
    square = rng.standard_normal((128, 128)).astype(np.float32)
    right = fp4sim.quantize(x, "nvfp4")
    codes, scales = right.codes.copy(), right.block_scale.copy()
    codes[3, 5] ^= 1
    scales[7, 2] += 1
    wrong = fp4sim.verify(x, "nvfp4", codes=codes, block_scale=scales, identify=True)
    fine = fp4sim.verify(x, "nvfp4", codes=right.codes, block_scale=right.block_scale)
    source = ListSource("arrays", [ArrayTensor("w", x), ArrayTensor("v", x * 3)])
    differ = diff_sources([(source, source.tensors())], parse("nvfp4"), parse("nvfp4@torchao"), DiffSettings())
    pair = parse("nvfp4"), parse("nvfp4")
    operands = [matrix_of(ArrayTensor(name, array)) for name, array in (("x", x), ("w", square[:16]))]
    return {
        "gemm": gemm_errors(*operands, [pair, (parse("mxfp4"), parse("mxfp4"))], GemmSettings()),
        "gemm-fit": fitted(),
        "evidence": evidence(),
        "compare": plain,
        "bias": fp4sim.bias({"w": x, "v": x[:16]}, "nvfp4,nvfp4+sr,nvfp4+mseden", draws=32, margin=0.5),
        "layer": fp4sim.layer_bias(square, square, square, "quartet2", draws=16),
        "verify": wrong,
        "golden-check": GoldenResult("pack", (fine, wrong), version="0.1", bits_version=1),
        "diff": differ,
        "reproduce": reproduce([load(entry) for entry in entries("constants")], ReproduceSettings(True, 0, 1), None),
        "mutations": mutation_score(Tolerance(0.1, 0.1), spec="nvfp4", x=x, part="dequantized"),
    }


def fitted():
    """What fitting a recording of one case found: one model obeyed, one ruled out."""
    from fp4sim.report.gemm_fit_model import FitCase, FitDifference, FitModel, FitResult

    first = FitDifference("probe", (0, 3), "carries", "3f800000", "3f800001")
    models = (FitModel(("blackwell", "b200"), 0, 16, None, {}), FitModel(("exact",), 2, 16, first, {"probe": 2}))
    cases = (FitCase("probe", "ue4m3/16", (4, 4), 64, 16),)
    return FitResult("dump.npz", cases, models, version="0.1", bits_version=1)


def evidence():
    """An evidence file of a GPU that there is not: a check of each status."""
    from fp4sim.report.evidence_model import CheckResult, Evidence
    from fp4sim.report.verify_model import Count

    checks = (
        CheckResult("cvt", "conversions", "pass", {"codes": Count(0, 65536)}, seconds=1.5),
        CheckResult(
            "mma", "matrix units", "fail", {"words": Count(3, 64)}, diagnosis=("first at 7",), raw={"d": "00ff"}
        ),
        CheckResult("rcp", "reciprocal", "skip", reason="no such instruction"),
        CheckResult("order", "order of sums", "error", {"words": Count(0, 0)}, reason="broke off", answer="two halves"),
    )
    device, software = {"name": "a simulated GPU", "compute_capability": "0.0"}, {"cuda": "13.0"}
    return Evidence("2026-11-28", device, software, {"a.cu": "00" * 32}, {"quick": True}, checks, "0.1", 1)
