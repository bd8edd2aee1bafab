"""Whole estimators: the CPU backend equals the reference bit for bit, on every step, kind of data, axis and thread count."""

from __future__ import annotations

import numpy as np
import pytest

import fp4sim
from fp4sim.io.source import ArrayTensor
from fp4sim.kernels.cpu.kernels import CpuKernels
from fp4sim.kernels.reference.kernels import ReferenceKernels
from fp4sim.packed import PackedTensor
from fp4sim.packing import quantize_tensor
from tests.estimators.data import KINDS, data

SPECS = (
    "nvfp4+rht:16",
    "nvfp4+rht:16:te",
    "nvfp4/16x16+rht:32",
    "nvfp4+rht:64+sr",
    "mxfp4+h:32",
    "nvfp4+h:16+4over6",
    "nvfp4+4over6",
    "nvfp4/16x16+4over6:mae",
    "nvfp4/32+4over6:absmax:bound=448",
    "nvfp4@ts:row+4over6",
    "nvfp4@ts:64+4over6",
    "nvfp4@ts:none+4over6",
    "nvfp4+4over6+sr",
    "e2m1/16@fp32+4over6",
    "nvfp4+mseden:size=32",
    "nvfp4+mseden:size=64:s=64",
    "nvfp4@quartet2+mseden:size=64:s=32",
    "nvfp4+mseden:size=1",
    "nvfp4+mseden:posthoc:size=32",
    "e2m1/64@fp32+eden:size=64",
    "e2m1/16@fp32+eden:size=64",
    "mxfp4+eden:size=64",
    "mxfp4+eden:size=1:override=0.8",
    "mxfp4+quest",
    "mxfp4+quest:size=1:mult=1+rnz",
    "mxfp4+quest+sr",
    "mxfp4+h:32+max:4.5+pma",
    "nvfp4+max:4+pma:1.01",
    "mxfp4+minmse",
    "mxfp4/16@rceil+minmse",
    "mxfp4/32x32+minmse+sr:bits=8",
    "if4",
    "if4/16x16",
    "if4+sr",
    "mxplus",
    "nvfp4+occ:0.9",
    "e2m1/row@fp32+occ:0.97:row",
    "mxfp4+rht:32+occ:0.95",
    "nvfp4+occ:0.9:nocomp",
)
# Shapes whose axes are whole rotations (64) in both directions; odd ones are for estimators that do not rotate.
SHAPES = {"even": (64, 64), "odd": (5, 3, 77)}
ROTATES = ("rht", "+h:", "eden", "quest")


def quantized(x: np.ndarray, spec: str, axis: int, kernels: type, threads: int) -> PackedTensor:
    tensor = ArrayTensor("w", x)
    return quantize_tensor(tensor, fp4sim.parse(spec), axis=axis, seed=7, kernels=kernels, threads=threads)


def assert_equal_bits(ours: PackedTensor, theirs: PackedTensor) -> None:
    np.testing.assert_array_equal(ours.packed, theirs.packed)
    np.testing.assert_array_equal(ours.block_scale, theirs.block_scale)
    np.testing.assert_array_equal(ours.tensor_scale, theirs.tensor_scale)
    assert ours.extra.keys() == theirs.extra.keys()
    for name, array in ours.extra.items():
        np.testing.assert_array_equal(array, theirs.extra[name], err_msg=name)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("spec", SPECS)
def test_backends_agree(spec: str, kind: str) -> None:
    x = data(kind, SHAPES["even"])
    for axis, threads in ((-1, 1), (0, 3)):
        want = quantized(x, spec, axis, ReferenceKernels, 1)
        assert_equal_bits(quantized(x, spec, axis, CpuKernels, threads), want)
        assert np.isfinite(want.dequantize(domain="rotated")).all()


def fits_any_shape(spec: str) -> bool:
    return not any(mark in spec for mark in ROTATES) or ":size=1:" in f"{spec}:"


@pytest.mark.parametrize("kind", ["normal", "ties", "sparse"])
@pytest.mark.parametrize("spec", [spec for spec in SPECS if fits_any_shape(spec)])
def test_backends_agree_on_odd_shapes(spec: str, kind: str) -> None:
    x = data(kind, SHAPES["odd"])
    for axis in (-1, 0, 1):
        want = quantized(x, spec, axis, ReferenceKernels, 1)
        assert_equal_bits(quantized(x, spec, axis, CpuKernels, 3), want)
        assert want.dequantize().shape == x.shape


@pytest.mark.parametrize("spec", SPECS)
def test_pieces_and_threads_change_no_bit(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small pieces make many cells a tensor; each must find its own random bits, maxima and places."""
    x = data("normal", (128, 192))
    whole = quantized(x, spec, -1, CpuKernels, 1)
    monkeypatch.setattr("fp4sim.geometry.PIECE_ELEMENTS", 1 << 11)
    for threads in (1, 3):
        assert_equal_bits(quantized(x, spec, -1, CpuKernels, threads), whole)


class Streamed(ArrayTensor):
    """A tensor that is not kept in memory."""

    load_whole = False


@pytest.mark.parametrize("spec", SPECS)
def test_a_streamed_tensor_has_the_same_bits(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x = data("normal", (128, 192))
    whole = quantized(x, spec, -1, CpuKernels, 1)
    monkeypatch.setattr("fp4sim.panels.RESIDENT_BYTES", 1 << 10)
    monkeypatch.setattr("fp4sim.geometry.PIECE_ELEMENTS", 1 << 12)
    streamed = quantize_tensor(Streamed("w", x), fp4sim.parse(spec), seed=7, threads=2)
    assert_equal_bits(streamed, whole)


def test_the_cases_cover_every_forward_step() -> None:
    from fp4sim.spec_names import STEPS

    used = {step.name for spec in SPECS for step in fp4sim.parse(spec).steps}
    rounding = {"rn", "rna", "rnz", "rnu", "rz", "ru", "rd"}
    forward = {row.name for row in STEPS if row.available} - rounding - {"dge"}
    assert forward <= used
