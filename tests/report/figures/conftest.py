"""Results of every kind in the states that figures must bear: empty, one tensor, hostile names, nothing defined, a thousand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import fp4sim
from fp4sim.commands.blocks import block_errors
from fp4sim.commands.compare import Settings, compare_sources
from fp4sim.commands.gemm import gemm_errors
from fp4sim.commands.gemm_operand import matrix_of
from fp4sim.commands.rounding_bias import rounding_bias
from fp4sim.grammar import parse, parse_list
from fp4sim.io.source import ArrayTensor, ListSource
from fp4sim.report.rounding_model import RoundingResult
from fp4sim.stats.bias_curve import Sweep, bias_curve

NASTY = (
    "<script>alert(1)</script>",
    "</text></svg><img src=x onerror=alert(1)>",
    '" style="fill:red" href="#x',
    "$x_1^2$ \\frac{a}{b}",
    "a$b",
    "\x1b[31mred\x07",
    "line\nbreak\r\ttab",
    "rtl‮gnp.exe‏",
    "long." * 2000,
    "",
    "日本語の重み",
    "\ud800",
    "url(#x) %s {0}",
)
MODULES = (
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.up_proj",
    "mlp.down_proj",
)


def noise(rows=32, columns=96, seed=0):
    return np.random.default_rng(seed).standard_normal((rows, columns)).astype(np.float32)


def broken(names=("nan",), nonfinite="propagate"):
    x = noise(4, 64)
    x[0, 0], x[1, 3] = np.nan, np.inf
    source = ListSource("broken", [ArrayTensor(name, x) for name in names])
    return (source, source.tensors()), Settings(nonfinite=nonfinite)


def renamed(result, names):
    """The result's first tensor once under each name."""
    return replace(result, tensors=tuple(replace(result.tensors[0], name=name) for name in names))


@pytest.fixture(scope="session")
def compared():
    one = fp4sim.compare({"model.layers.0.mlp.up_proj.weight": noise()}, "nvfp4,mxfp4")
    grid = np.tile(np.array([1, 2, 3, 4, 6, 0.5, 1.5, 0], np.float32), (4, 8))
    exact = fp4sim.compare({"grid": grid, "zeros": np.zeros((4, 32), np.float32)}, "mxfp4,bf16")
    source, settings = broken()
    many = fp4sim.compare(
        noise(), "nvfp4,mxfp4,mxfp4@rceil,nvfp4+4over6,e1m2/16@e4m3,e3m0/16@e4m3,nvfp4/16x16,e2m1/16@fp32"
    )
    names = [f"model.layers.{i // 6}.{MODULES[i % 6]}.weight" for i in range(1000)]
    return {
        "empty": replace(one, tensors=(), totals=()),
        "one": one,
        "nasty": renamed(one, NASTY),
        "exact": exact,
        "nan": compare_sources([source], parse_list("nvfp4,mxfp4"), settings),
        "thousand": renamed(many, names),
        "unlayered": renamed(many, [f"w{i}" for i in range(1000)]),
    }


@pytest.fixture(scope="session")
def blocked():
    def measure(arrays, formats):
        source = ListSource("arrays", [ArrayTensor(name, array) for name, array in arrays.items()])
        return block_errors([(source, source.tensors())], parse_list(formats), Settings())

    one = measure({"w": noise()}, "nvfp4")
    many = measure(
        {"w": noise()}, "nvfp4,mxfp4,nvfp4+4over6,nvfp4+4over6:mae,e1m2/16@e4m3,e2m1/row@fp32,e2m1,nvfp4/16x16"
    )
    source, settings = broken()
    return {
        "empty": replace(one, tensors=()),
        "one": one,
        "nasty": renamed(many, NASTY),
        "zeros": measure({"z": np.zeros((4, 32), np.float32)}, "nvfp4,mxfp4,nvfp4+4over6"),
        "nan": block_errors([source], parse_list("nvfp4,nvfp4+4over6"), settings),
        "tiny": measure({"t": noise(1, 1)}, "nvfp4,mxfp4"),
        "thousand": renamed(many, [f"w{i}" for i in range(1000)]),
    }


@pytest.fixture(scope="session")
def biased():
    one = fp4sim.bias({"w": noise(4, 128)}, "nvfp4,nvfp4+sr", draws=16)
    zeros = fp4sim.bias({"z": np.zeros((4, 128), np.float32)}, "nvfp4+sr", draws=4)
    many = fp4sim.bias(
        noise(4, 128), "nvfp4,nvfp4+sr,nvfp4+mseden,mxfp4,mxfp4+sr,nvfp4+sr:clip,nvfp4+sr:bits=8,mxfp4@rceil", draws=4
    )
    return {
        "empty": replace(one, tensors=()),
        "one": one,
        "nasty": renamed(one, NASTY),
        "zeros": zeros,
        "thousand": renamed(many, [f"w{i}" for i in range(1000)]),
    }


@pytest.fixture(scope="session")
def layered():
    x, w, dy = noise(128, 128, 1), noise(128, 128, 2), noise(128, 128, 3)
    return {"one": fp4sim.layer_bias(x, w, dy, "nvidia,quartet2", draws=4)}


@pytest.fixture(scope="session")
def rounded():
    specs = parse_list("nvfp4+sr,nvfp4+sr:bits=8,nvfp4+sr:clip,mxfp4+sr:bits=4")
    found = rounding_bias(specs)
    return {"one": rounding_bias(specs[:1]), "many": found, "empty": RoundingResult(())}


@pytest.fixture(scope="session")
def swept():
    curves = tuple(bias_curve(parse(spec), draws=4) for spec in ("nvfp4", "nvfp4+sr"))
    return {"one": Sweep(curves[:1]), "many": Sweep(curves * 5), "empty": Sweep(())}


@pytest.fixture(scope="session")
def verified():
    x = noise(40, 64)
    packed = fp4sim.quantize(x, "nvfp4")
    codes = np.array(packed.codes)
    right = fp4sim.verify(x, "nvfp4", codes=codes, block_scale=packed.block_scale, tensor_scale=packed.tensor_scale)
    codes[3, :16] ^= 1
    scales = np.array(packed.block_scale)
    scales[7, 2] += 1
    wrong = fp4sim.verify(x, "nvfp4", codes=codes, block_scale=scales, tensor_scale=packed.tensor_scale)
    values = fp4sim.verify(x, "nvfp4", dequantized=packed.dequantize() * 2)
    return {
        "right": right,
        "one": wrong,
        "values": values,
        "nasty": replace(wrong, cases=tuple(replace(wrong.cases[0], name=name) for name in NASTY)),
        "empty": replace(wrong, cases=()),
        "thousand": replace(wrong, cases=wrong.cases * 1000),
    }


@pytest.fixture(scope="session")
def multiplied():
    def split(a, b, *formats):
        operands = [matrix_of(ArrayTensor("w", array)) for array in (a, b)]
        return gemm_errors(*operands, [(spec, spec) for spec in parse_list(",".join(formats))])

    one = split(noise(40, 64, 1), noise(24, 64, 2), "nvfp4")
    many = split(noise(40, 64, 1), noise(24, 64, 2), "nvfp4", "mxfp4", "e3m0/16@e4m3", "nvfp4+4over6")
    return {
        "one": one,
        "many": many,
        "empty": replace(one, formats=()),
        "zeros": split(np.zeros((4, 32), np.float32), noise(4, 32), "nvfp4"),
        "tiny": split(noise(1, 1, 1), noise(1, 1, 2), "nvfp4"),
    }


@pytest.fixture(scope="session")
def results(compared, blocked, biased, layered, rounded, swept, multiplied, verified):
    """By the name in the schema, then by state."""
    return {
        "compare": compared,
        "blocks": blocked,
        "bias": biased,
        "layer": layered,
        "rounding": rounded,
        "sweep": swept,
        "gemm": multiplied,
        "verify": verified,
    }
