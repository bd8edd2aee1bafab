"""Small floats as data: derived value tables against ml_dtypes, published tables and the formula itself."""

import struct

import ml_dtypes
import numpy as np
import pytest

import fp4sim
from fp4sim.errors import UsageError
from fp4sim.floats import CASTS, ELEMENTS, SCALES, UE5M3_SPECIALS, FloatFormat, element_format, scale_format

# Microsoft, "Optimizing LLM Training Using FP4" (arXiv 2501.17116), Table 4, by code. The paper's columns run from 1111
# down to 1001, then 1000/0000, then 0001 to 0111; its second column headed 1101 is a misprint for 1001.
TABLE_4_CODES = (15, 14, 13, 12, 11, 10, 9, 0, 1, 2, 3, 4, 5, 6, 7)
TABLE_4 = {
    "e3m0": (-16, -8, -4, -2, -1, -0.5, -0.25, 0, 0.25, 0.5, 1, 2, 4, 8, 16),
    "e2m1": (-6, -4, -3, -2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2, 3, 4, 6),
    "e1m2": (-3.5, -3, -2.5, -2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5),
}

ML_DTYPES = [
    (element_format("e2m1"), ml_dtypes.float4_e2m1fn, 1 << 4),
    (element_format("e4m3"), ml_dtypes.float8_e4m3fn, 1 << 8),
    (element_format("e5m2"), ml_dtypes.float8_e5m2, 1 << 8),
    (element_format("bf16"), ml_dtypes.bfloat16, 1 << 16),
    (scale_format("e4m3"), ml_dtypes.float8_e4m3fn, 1 << 7),
    (scale_format("e5m2"), ml_dtypes.float8_e5m2, 1 << 7),
    (scale_format("e3m4"), ml_dtypes.float8_e3m4, 1 << 7),
    (scale_format("e8m0"), ml_dtypes.float8_e8m0fnu, 1 << 8),
    (scale_format("bf16"), ml_dtypes.bfloat16, 1 << 15),
]

# name, bits, max, min_normal, smallest, emax, max_code, nan_code, inf_code
ELEMENT_FACTS = [
    ("e2m1", 4, 6.0, 1.0, 0.5, 2, 7, None, None),
    ("e1m2", 4, 3.5, 2.0, 0.5, 1, 7, None, None),
    ("e3m0", 4, 16.0, 0.25, 0.25, 4, 7, None, None),
    ("e0m3", 4, 7.0, 8.0, 1.0, 2, 7, None, None),
    ("e4m3", 8, 448.0, 2.0**-6, 2.0**-9, 8, 0x7E, 0x7F, None),
    ("e5m2", 8, 57344.0, 2.0**-14, 2.0**-16, 15, 0x7B, 0x7F, 0x7C),
    ("bf16", 16, 2.0**127 * (2 - 2.0**-7), 2.0**-126, 2.0**-133, 127, 0x7F7F, 0x7FFF, 0x7F80),
    ("fp32", 32, 2.0**127 * (2 - 2.0**-23), 2.0**-126, 2.0**-149, 127, 0x7F7FFFFF, 0x7FFFFFFF, 0x7F800000),
]
SCALE_FACTS = [
    ("e8m0", 8, 2.0**127, 2.0**-127, 2.0**-127, 127, 254, 255, None),
    ("e4m3", 7, 448.0, 2.0**-6, 2.0**-9, 8, 0x7E, 0x7F, None),
    ("e5m2", 7, 57344.0, 2.0**-14, 2.0**-16, 15, 0x7B, 0x7F, 0x7C),
    ("ue5m3", 8, 114688.0, 2.0**-14, 2.0**-17, 16, 0xFE, 0xFF, None),
    ("e3m4", 7, 15.5, 0.25, 2.0**-6, 3, 0x6F, 0x7F, 0x70),
]
GENERIC = [(x, y) for x in range(1, 9) for y in range(9 - x) if f"e{x}m{y}" not in {fmt.name for fmt in SCALES}]


def assert_same_floats(actual, expected):
    """Equal to the bit, but for NaN, of which there is one."""
    np.testing.assert_array_equal(actual, expected)
    number = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(actual)[number], np.signbit(expected)[number])


@pytest.mark.parametrize(("fmt", "dtype", "codes"), ML_DTYPES, ids=lambda value: getattr(value, "__name__", str(value)))
def test_values_are_those_of_ml_dtypes(fmt, dtype, codes):
    raw = np.arange(codes).astype(np.uint8 if np.dtype(dtype).itemsize == 1 else np.uint16)
    with np.errstate(invalid="ignore"):  # ml_dtypes' own NaNs
        expected = raw.view(dtype).astype(np.float64)
    assert fmt.values().dtype == np.float64
    assert_same_floats(fmt.values(), expected)


@pytest.mark.parametrize("name", TABLE_4)
def test_fp4_values_are_the_published_table(name):
    table = element_format(name).values()
    assert tuple(table[list(TABLE_4_CODES)]) == TABLE_4[name]
    assert table[8] == 0
    assert np.signbit(table[8])


def test_fp32_decodes_as_ieee_754():
    fmt = element_format("fp32")
    rng = np.random.default_rng(0)
    codes = [0, 1, 0x7FFFFF, 0x800000, 0x7F7FFFFF, 0x7F800000, 0x80000000, 0xFF800000, *rng.integers(0, 1 << 32, 200)]
    expected = np.array([struct.unpack("<f", struct.pack("<I", int(code)))[0] for code in codes])
    assert_same_floats(np.array([fmt.value(int(code)) for code in codes]), expected)
    assert np.isnan(fmt.value(0x7F800001))


@pytest.mark.parametrize("facts", ELEMENT_FACTS, ids=lambda facts: facts[0])
def test_element_facts(facts):
    assert_facts(element_format(facts[0]), facts)
    assert element_format(facts[0]).signed


@pytest.mark.parametrize("facts", SCALE_FACTS, ids=lambda facts: facts[0])
def test_scale_facts(facts):
    assert_facts(scale_format(facts[0]), facts)
    assert not scale_format(facts[0]).signed


def assert_facts(fmt: FloatFormat, facts):
    found = (fmt.name, fmt.bits, fmt.max, fmt.min_normal, fmt.smallest, fmt.emax, fmt.max_code, fmt.nan_code)
    assert (*found, fmt.inf_code) == facts
    assert fmt.sign_mask == (1 << (fmt.bits - 1) if fmt.signed else 0)
    assert fmt.bits_stored in (8, 16, 32)
    assert fmt.bits_stored // 2 < max(fmt.bits, 8) <= fmt.bits_stored


@pytest.mark.parametrize("fmt", [*ELEMENTS, *CASTS, *SCALES], ids=lambda fmt: f"{fmt.name}-{fmt.signed}")
def test_magnitudes_rise_with_the_code(fmt):
    if fmt.bits > 16:
        with pytest.raises(UsageError, match=r"fp32 has 2\^3[12] codes"):
            fmt.values()
        return
    magnitudes = fmt.magnitudes()
    assert magnitudes.shape == (fmt.max_code + 1,)
    assert (np.diff(magnitudes) > 0).all()
    assert magnitudes[-1] == fmt.max
    assert magnitudes[magnitudes > 0][0] == fmt.smallest
    if fmt.signed:
        assert_same_floats(fmt.values()[fmt.sign_mask :][: magnitudes.size], -magnitudes)


@pytest.mark.parametrize("maximum", UE5M3_SPECIALS)
def test_ue5m3_has_three_maxima_and_one_smallest(maximum):
    fmt = scale_format("ue5m3", maximum)
    assert fmt.max == maximum
    assert fmt.smallest == 2.0**-17
    assert np.isfinite(fmt.values()).sum() == {61440: 248, 114688: 255, 122880: 256}[maximum]
    widest = scale_format("ue5m3", 122880).values()
    np.testing.assert_array_equal(fmt.magnitudes(), widest[widest <= maximum])


def test_ue5m3_means_114688_unless_told():
    assert scale_format("ue5m3") == scale_format("ue5m3", 114688)


@pytest.mark.parametrize(("x", "y"), GENERIC)
def test_generic_scales_are_ieee_biased_and_all_finite(x, y):
    fmt = scale_format(f"e{x}m{y}")
    bias = 2 ** (x - 1) - 1
    expected = [
        (m / 2**y) * 2.0 ** (1 - bias) if e == 0 else (1 + m / 2**y) * 2.0 ** (e - bias)
        for e in range(2**x)
        for m in range(2**y)
    ]
    assert not fmt.signed
    assert fmt.bits == x + y
    assert fmt.values().tolist() == expected
    assert fmt.code_dtype == np.uint8


def test_value_tables_cannot_be_overwritten():
    with pytest.raises(ValueError, match="read-only"):
        element_format("e2m1").values()[3] = 0


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: element_format("e9m9"), "e9m9"),
        (lambda: element_format("nvfp4"), "nvfp4"),
        (lambda: element_format("E2M1"), "E2M1"),
        (lambda: scale_format("e0m3"), "e0m3"),
        (lambda: scale_format("e5m4"), "e5m4"),
        (lambda: scale_format("e9m0"), "e9m0"),
        (lambda: scale_format("e4m"), "e4m"),
        (lambda: scale_format("e\u0664m\u0663"), "unknown scale"),  # digits of another script are not digits here
        (lambda: scale_format("ue5m3", 448), "448"),
        (lambda: scale_format("e4m3", 61440), "e4m3:max=61440"),
        (lambda: fp4sim.formats("nothing"), "nothing"),
    ],
)
def test_an_unknown_format_lists_the_known_ones(call, named):
    with pytest.raises(UsageError) as caught:
        call()
    message = str(caught.value)
    assert named in message
    assert "e2m1" in message or "e8m0" in message or "61440, 114688, 122880" in message
    assert "\n" not in message


@pytest.mark.parametrize("code", [-1, 16, 1000])
def test_a_code_that_is_not_there_says_which_are(code):
    with pytest.raises(UsageError, match=rf"e2m1 has no code {code}: codes are 0\.\.15"):
        element_format("e2m1").value(code)


def test_the_public_listing_has_every_format():
    listing = fp4sim.formats()
    operands = {fmt.name for fmt in (*ELEMENTS, *CASTS)}
    assert set(listing) == operands | {f"u{fmt.name}" if fmt.name in operands else fmt.name for fmt in SCALES}
    assert all(fp4sim.formats(name) == fmt for name, fmt in listing.items())
    assert fp4sim.formats("e1m3").bits == 4
