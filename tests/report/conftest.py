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
