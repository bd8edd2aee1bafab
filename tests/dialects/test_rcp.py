"""rcp.approx.ftz.f32 as measured on an H200: the whole table, every exponent, and the special cases."""

import hashlib

import numpy as np
import pytest

from fp4sim.errors import UnreadableError
from fp4sim.rcp import MANTISSAS, approximate_reciprocal, hopper_table, read_table

# of the int8 array `delta` that was measured
SHA256 = "862bea101da795bf5fd46df9dfe5142a79c29edd831e2da30aa84385d885e8fe"
EXPONENTS = [1, 127, 252]
EXPONENTS += [pytest.param(exponent, marks=pytest.mark.slow) for exponent in (2, 100, 126, 128, 200, 250, 251)]


def bits(values):
    return np.asarray(values, np.float32).view(np.uint32)


def test_the_table_is_the_one_that_was_measured():
    table = hopper_table()
    assert hashlib.sha256(table.tobytes()).hexdigest() == SHA256
    assert np.bincount(table.astype(np.int64) + 1).tolist() == [374_723, 7_280_086, 733_799]


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_all_mantissas_of_an_exponent(exponent):
    mantissas = np.arange(MANTISSAS, dtype=np.uint32)
    x = (mantissas | np.uint32(exponent << 23)).view(np.float32)
    correct = (1 / x.astype(np.float64)).astype(np.float32).view(np.uint32).astype(np.int64)
    expected = correct + hopper_table()
    np.testing.assert_array_equal(bits(approximate_reciprocal(x)), expected)
    np.testing.assert_array_equal(bits(approximate_reciprocal(-x)), expected | 0x80000000)


def test_special_cases():
    given = [0, 0x80000000, 1, 0x807FFFFF, 0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC00000, 0x7F800001]
    found = bits(approximate_reciprocal(np.array(given, np.uint32).view(np.float32)))
    nan = 0x7FFFFFFF
    assert found.tolist() == [0x7F800000, 0xFF800000, 0x7F800000, 0xFF800000, 0, 0x80000000, nan, nan, nan]


@pytest.mark.parametrize("exponent", [253, 254])
def test_subnormal_results_are_flushed(exponent):
    x = (np.arange(MANTISSAS, dtype=np.uint32) | np.uint32(exponent << 23)).view(np.float32)
    found = bits(approximate_reciprocal(x))
    assert found[0] == (0x00800000 if exponent == 253 else 0)
    assert not found[1:].any()


def test_e4m3_scales_have_exact_reciprocals():
    from fp4sim.floats import UE4M3

    values = UE4M3.magnitudes()[1:].astype(np.float32)
    np.testing.assert_array_equal(approximate_reciprocal(values), np.float32(1) / values)
    assert approximate_reciprocal(np.float32(6)) == np.float32(1) / np.float32(6)


def test_another_table_takes_its_place(tmp_path):
    table = np.zeros(MANTISSAS, np.int8)
    table[0] = 1
    np.savez_compressed(tmp_path / "t.npz", delta=table)
    other = read_table(tmp_path / "t.npz")
    assert bits(approximate_reciprocal(np.float32(1), other)) == 0x3F800001
    assert bits(approximate_reciprocal(np.float32(1))) == 0x3F800000


@pytest.mark.parametrize(
    "array", [np.zeros(5, np.int8), np.zeros(MANTISSAS, np.int16), np.full(MANTISSAS, 2, np.int8), None]
)
def test_what_is_no_table_is_refused(tmp_path, array):
    path = tmp_path / "t.npz"
    if array is None:
        path.write_bytes(b"PK no")
    else:
        np.savez_compressed(path, delta=array)
    with pytest.raises(UnreadableError, match=r"rcp\.approx\.ftz"):
        read_table(path)
