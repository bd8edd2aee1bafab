"""The random stream: Philox's published vectors, the project's layout frozen by literals, and independence of chunking."""

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fp4sim
from fp4sim import geometry, parse
from fp4sim.errors import UsageError
from fp4sim.io.source import ArrayTensor
from fp4sim.kernels.reference.kernels import ReferenceKernels
from fp4sim.kernels.reference.philox import philox4x32
from fp4sim.packing import quantize_tensor
from fp4sim.randbits import Stream, random_bits

# Random123 1.14, tests/kat_vectors, "philox4x32 10": counter, key, result.
PHILOX = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def words(text):
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "expected"), PHILOX)
def test_philox_has_the_published_vectors(counter, key, expected):
    found = philox4x32(np.array(words(counter), np.uint32), tuple(words(key)))
    assert found.dtype == np.uint32
    assert found.tolist() == words(expected)
    many = philox4x32(np.tile(np.array(words(counter), np.uint32), (3, 2, 1)), tuple(words(key)))
    assert (many == found).all()


def philox_in_python(counter, key):
    """Philox4x32-10 in Python integers, from the paper."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        high0, low0 = divmod(c0 * 0xD2511F53, 1 << 32)
        high1, low1 = divmod(c2 * 0xCD9E8D57, 1 << 32)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + 0x9E3779B9) % (1 << 32), (k1 + 0xBB67AE85) % (1 << 32)
    return c0, c1, c2, c3


def bits_in_python(stream, i, bits):
    """The layout as DESIGN.md states it, for one element."""
    per_counter = 16 if bits == 8 else 4
    low, high = (i // per_counter) % (1 << 32), (i // per_counter) >> 32
    block = philox_in_python((low, high, stream.name, stream.draw), (stream.seed % (1 << 32), stream.seed >> 32))
    if bits == 8:
        return block[(i // 4) % 4].to_bytes(4, "little")[i % 4]
    return block[i % 4] >> (32 - bits)


# Frozen: seed, name, draw, bits, first index, the bits of five elements from there on.
FROZEN = [
    (0, "", 0, 32, 0, [0xAF13B15E, 0x96623A0C, 0x977153AB, 0x4A59E5B4, 0x16CF4D2B]),
    (0, "", 0, 8, 0, [0x5E, 0xB1, 0x13, 0xAF, 0x0C]),
    (0, "", 0, 8, 14, [0x59, 0x4A, 0x2B, 0x4D, 0xCF]),
    (1, "", 0, 32, 3, [0x7726CB90, 0xBBAA4708, 0xF5F4C514, 0xFEE730B4, 0xE8B878B0]),
    (0, "", 1, 32, 0, [0x9B4DBC79, 0xBA1D1293, 0xFDB5251E, 0x6D713331, 0xE9264503]),
    (0, "model.layers.0.mlp.down_proj.weight", 0, 32, 0, [0xAE7B4C27, 0x35819472, 0x1010E1D3, 0xDADAB1B8, 0x102B16C4]),
    (0, "model.layers.0.mlp.down_proj.weight", 0, 8, 0, [0x27, 0x4C, 0x7B, 0xAE, 0x72]),
    (12345678901234567890, "x", 7, 32, 1000003, [0x23DC8324, 0x34408976, 0x28BF17A5, 0x5D177461, 0xDD54486C]),
    (12345678901234567890, "x", 7, 8, 1000003, [0x2E, 0xF9, 0x61, 0xE7, 0x2D]),
    (0, "", 0, 1, 0, [1, 1, 1, 0, 0]),
    (0, "", 0, 7, 0, [0x57, 0x4B, 0x4B, 0x25, 0x0B]),
    (0, "", 0, 12, 5, [0x61D, 0xB9C, 0x859, 0xD3F, 0x15D]),
    (5, "é", 2, 23, 9, [0x69750F, 0x2FEA0E, 0x749D57, 0x4A7C41, 0x509684]),
    (0, "", 0, 32, (1 << 34) - 2, [0x6F360297, 0x27FBA4BD, 0x422D24F9, 0x7B0064B5, 0x010ECBBE]),
    (0, "", 0, 8, (1 << 36) - 2, [0xFB, 0x27, 0xF9, 0x24, 0x2D]),
    (7, "w", 0, 32, 3 << 40, [0xA9C6047F, 0xA69E0487, 0x44A3FFAA, 0x8EB90419, 0xE5DAABFB]),
]


@pytest.mark.parametrize(("seed", "name", "draw", "bits", "first", "expected"), FROZEN)
def test_the_layout_is_frozen(seed, name, draw, bits, first, expected):
    index = first + np.arange(5)
    found = random_bits(Stream.of(seed, name, draw), index, bits)
    assert found.dtype == np.uint32
    assert found.tolist() == expected


indices = st.one_of(st.integers(0, 100), st.integers((1 << 34) - 50, (1 << 34) + 50), st.integers(0, (1 << 62)))
streams = st.builds(Stream, st.integers(0, (1 << 64) - 1), st.integers(0, (1 << 32) - 1), st.integers(0, (1 << 32) - 1))


@settings(max_examples=200, deadline=None)
@given(streams, st.lists(indices, min_size=1, max_size=8), st.integers(1, 32))
def test_the_layout_is_the_stated_one(stream, index, bits):
    found = random_bits(stream, np.array(index), bits)
    assert found.tolist() == [bits_in_python(stream, i, bits) for i in index]


def test_narrow_bits_are_the_top_of_the_word():
    stream, index = Stream.of(3, "w"), np.arange(1000)
    whole = random_bits(stream, index, 32)
    for bits in (1, 2, 7, 9, 16, 31):
        np.testing.assert_array_equal(random_bits(stream, index, bits), whole >> np.uint32(32 - bits))


def test_the_shape_of_the_index_is_kept():
    index = np.arange(24)
    for bits in (8, 32):
        flat = random_bits(Stream(1), index, bits)
        np.testing.assert_array_equal(random_bits(Stream(1), index.reshape(2, 3, 4), bits), flat.reshape(2, 3, 4))
        assert random_bits(Stream(1), np.int64(7), bits) == flat[7]


def test_names_enter_by_their_sha256():
    assert Stream.of(0, "").name == 0x42C4B0E3  # sha256("") = e3b0c442...
    assert Stream.of(0, "abc").name == 0xBF1678BA  # sha256("abc") = ba7816bf...
    assert Stream.of(0, "\udcff").name != Stream.of(0, "").name  # names that are not UTF-8 have a stream too


def test_seed_name_and_draw_each_change_the_bits():
    index = np.arange(64)
    base = random_bits(Stream.of(1, "a", 0), index, 32)
    for other in (Stream.of(2, "a", 0), Stream.of(1 + (1 << 32), "a", 0), Stream.of(1, "b", 0), Stream.of(1, "a", 1)):
        assert (random_bits(other, index, 32) != base).sum() > 60


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: Stream(-1), "seed -1 does not fit"),
        (lambda: Stream(1 << 64), r"must be in 0 \.\. 2\^64 - 1"),
        (lambda: Stream(0, 0, -1), "draw -1 does not fit"),
        (lambda: Stream(0, 0, 1 << 32), "draw 4294967296 does not fit"),
        (lambda: random_bits(Stream(), np.arange(4), 0), "0 random bits: 1 to 32"),
        (lambda: random_bits(Stream(), np.arange(4), 33), "33 random bits: 1 to 32"),
        (lambda: fp4sim.quantize(np.ones((1, 32), np.float32), "nvfp4+sr", seed=-5), "seed -5 does not fit"),
        (lambda: fp4sim.quantize(np.ones((1, 32), np.float32), "nvfp4+sr", draw=1 << 40), "draw 1099511627776"),
    ],
)
def test_what_does_not_fit_is_refused(call, says):
    with pytest.raises(UsageError, match=says):
        call()


# --- The bits an element uses do not depend on how the work is cut ----------------------------------------------------

SR_SPECS = [
    "e2m1+sr",
    "e2m1+sr:bits=8",
    "mxfp4+sr:bits=5",
    "nvfp4+sr",
    "nvfp4+sr:clip:bits=8",
    "e4m3+sr:bits=16",
    "bf16+sr",
]


def tensor(shape, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape) * 2.0 ** rng.integers(-3, 4, shape)).astype(np.float32)


@pytest.mark.parametrize("spec", SR_SPECS)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_codes_are_the_same_for_any_cut_thread_count_and_backend(spec, axis):
    x = tensor((7, 34, 50))
    whole = fp4sim.quantize(x, spec, axis=axis, seed=9, name="w", threads=1)
    for cell, piece in [(256, 512), (1024, 2048)]:
        with patch.multiple(geometry, CELL_ELEMENTS=cell, PIECE_ELEMENTS=piece):
            for threads in (1, 2, 5):
                cut = fp4sim.quantize(x, spec, axis=axis, seed=9, name="w", threads=threads)
                np.testing.assert_array_equal(cut.packed, whole.packed)
    source = ArrayTensor("w", x)
    reference = quantize_tensor(source, parse(spec), axis=axis, seed=9, kernels=ReferenceKernels)
    np.testing.assert_array_equal(reference.packed, whole.packed)


@pytest.mark.parametrize("spec", ["e2m1+sr", "e2m1+sr:bits=8", "e1m2+sr:bits=3"])
def test_an_elements_code_does_not_depend_on_the_axis(spec):
    x = tensor((6, 20, 35), 4)
    codes = [fp4sim.quantize(x, spec, axis=axis, seed=2).codes for axis in range(3)]
    np.testing.assert_array_equal(codes[1], codes[0])
    np.testing.assert_array_equal(codes[2], codes[0])


def test_a_reshape_keeps_the_codes():
    x = tensor((12, 64), 5)
    codes = fp4sim.quantize(x, "nvfp4+sr", seed=2).codes
    for shape in [(3, 4, 64), (12 * 64,), (2, 6, 64)]:
        np.testing.assert_array_equal(
            fp4sim.quantize(x.reshape(shape), "nvfp4+sr", seed=2).codes.ravel(), codes.ravel()
        )


def test_draws_differ_and_repeat():
    x = tensor((16, 64), 6)
    first, again, other = (fp4sim.quantize(x, "nvfp4+sr", seed=1, draw=draw).codes for draw in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 32), st.integers(0, 200), st.integers(0, 1 << 40))
def test_an_element_rounds_away_when_its_bits_carry(bits, row, seed):
    """x = 2.25 lies a quarter of the way from 2 (code 4) to 3 (code 5)."""
    x = np.full((1, row + 1), 2.25, np.float32)
    codes = fp4sim.quantize(x, f"e2m1+sr:bits={bits}", seed=seed).codes[0]
    stream = Stream.of(seed)
    for i in (0, row):
        carries = (1 << bits) // 4 + bits_in_python(stream, i, bits) >= 1 << bits
        assert codes[i] == 4 + carries
