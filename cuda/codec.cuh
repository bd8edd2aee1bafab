// Small floats: encode by every rounding and cast policy, decode. The definition is fp4sim/kernels/reference/encode.py; here a
// position on the axis of codes is an integer part and a fraction of up to 32 bits, in integers throughout.
#pragma once

#include "philox.cuh"
#include "portable.cuh"

namespace fp4 {

enum Rounding { RN, RNA, RNZ, RNU, RZ, RU, RD, SR };          // in the order of fp4sim.rounding.Rounding
enum NanPolicy { NAN_HARDWARE, NAN_ZERO, NAN_SIGNED, NAN_PAYLOAD };
enum ZeroPolicy { ZERO_KEEP, ZERO_DROP, ZERO_NEVER, ZERO_SET };

// fp4sim.floats.FloatFormat in numbers. nan_code is -1 where a format has none, ieee says that it has Inf.
struct Format {
    int exponent_bits, mantissa_bits, bias, max_code, nan_code;
    bool is_signed, has_zero, ieee;

    FP4_HD int lowest() const { return has_zero ? 1 - bias : -bias; }
    FP4_HD u32 sign_mask() const { return is_signed ? 1u << (exponent_bits + mantissa_bits) : 0u; }
};

constexpr Format E2M1{2, 1, 1, 7, -1, true, true, false};
constexpr Format E1M2{1, 2, 0, 7, -1, true, true, false};
constexpr Format E3M0{3, 0, 3, 7, -1, true, true, false};
constexpr Format E4M3{4, 3, 7, 126, 127, true, true, false};
constexpr Format UE4M3{4, 3, 7, 126, 127, false, true, false};
constexpr Format UE8M0{8, 0, 127, 254, 255, false, false, false};

struct Cast {
    Rounding rounding;
    int random_bits;
    bool overflow_special;
    NanPolicy nan;
    ZeroPolicy zero;
};

constexpr Cast NEAREST{RN, 0, false, NAN_HARDWARE, ZERO_KEEP};

// A magnitude on the axis of codes: the code below and the rest, a fraction of 2^-drop.
struct Position {
    int lower, drop;
    u32 rest;
};

FP4_HD Position position_of(u32 magnitude, const Format& f) {  // finite
    const int field = (int)(magnitude >> 23);
    const u32 significand = (magnitude & 0x7FFFFFu) | (field ? 0x800000u : 0u);
    const int unit = (field ? field : 1) - 150;
    int exponent = significand ? unit + 31 - leading_zeros(significand) : f.lowest();
    exponent = exponent > f.lowest() ? exponent : f.lowest();
    int drop = exponent - f.mantissa_bits - unit;  // never negative: no format has more than 23 bits, nor a lower unit
    drop = drop > 58 ? 58 : drop;                  // 24 bits and 32 random ones are gone by then
    const u32 whole = drop < 24 ? significand >> drop : 0u;
    const u32 rest = drop < 24 ? significand & ((1u << drop) - 1u) : significand;
    const int offset = (exponent - f.lowest()) * (1 << f.mantissa_bits) - (f.has_zero ? 0 : 1);
    return {(int)whole + offset, drop, rest};
}

FP4_HD bool rounds_away(const Position& p, Rounding rounding, bool negative, u32 random, int random_bits) {
    const u64 rest = p.rest, half = p.drop ? 1ull << (p.drop - 1) : ~0ull;
    switch (rounding) {
        case RN: return rest > half || (rest == half && (p.lower & 1));
        case RNA: return rest >= half;
        case RNZ: return rest > half;
        case RNU: return negative ? rest > half : rest >= half;
        case RU: return !negative && rest > 0;
        case RD: return negative && rest > 0;
        case SR: return ((rest << random_bits) >> p.drop) + random >= 1ull << random_bits;
        default: return false;
    }
}

FP4_HD u32 nan_code_of(u32 bits, const Format& f, NanPolicy policy) {
    const bool negative = bits & SIGN;
    const int cut = 23 - f.mantissa_bits;
    if (policy == NAN_PAYLOAD && f.is_signed && 1 + f.exponent_bits + f.mantissa_bits <= 4) {
        const i64 magnitude = bits & MAGNITUDE, odd = (magnitude >> cut) & 1;
        const i64 rounded = magnitude + (i64)(f.bias - 127) * (1ll << 23) + (1ll << (cut - 1)) - 1 + odd;
        return (u32)((rounded >> cut) & (f.sign_mask() - 1)) | (negative ? f.sign_mask() : 0u);
    }
    if (policy == NAN_SIGNED && f.is_signed) {
        const bool sign = f.nan_code >= 0 ? negative : !negative;
        u32 quiet = f.nan_code >= 0 ? (u32)f.nan_code : 0u;
        if (f.ieee) quiet = (u32)(f.max_code + 1) | 1u << (f.mantissa_bits - 1);
        return quiet | (sign ? f.sign_mask() : 0u);
    }
    if (policy == NAN_ZERO) return 0u;
    return f.nan_code >= 0 ? (u32)f.nan_code : (u32)f.max_code;
}

// Float32 bits to a code. random: an integer in [0, 2^random_bits) under SR.
FP4_HD u32 encode(u32 bits, const Format& f, const Cast& cast, u32 random = 0) {
    const u32 magnitude = bits & MAGNITUDE;
    const bool negative = bits & SIGN;
    if (magnitude > INF_BITS) return nan_code_of(bits, f, cast.nan);
    int code = f.max_code + 1;
    if (magnitude < INF_BITS) {
        const Position p = position_of(magnitude, f);
        code = p.lower + (rounds_away(p, cast.rounding, negative, random, cast.random_bits) ? 1 : 0);
    }
    if (code > f.max_code) code = f.max_code + (cast.overflow_special ? 1 : 0);
    if (code < 0) code = 0;
    bool sign = negative;
    if (cast.zero == ZERO_DROP) sign = negative && magnitude != 0;
    if (cast.zero == ZERO_NEVER) sign = negative && code != 0;
    if (cast.zero == ZERO_SET) sign = negative || magnitude == 0;
    return (u32)code | (sign ? f.sign_mask() : 0u);
}

// The value of a code, exact in float32 (formats reach no further than float32 itself).
FP4_HD float decode(u32 code, const Format& f) {
    const u32 magnitude = code & ((1u << (f.exponent_bits + f.mantissa_bits)) - 1u);
    const u32 sign = (code & f.sign_mask()) ? SIGN : 0u;
    if ((int)magnitude > f.max_code) return float_of(f.ieee && (int)magnitude == f.max_code + 1 ? sign | INF_BITS : 0x7FC00000u);
    const int field = (int)(magnitude >> f.mantissa_bits);
    const u32 fraction = magnitude & ((1u << f.mantissa_bits) - 1u);
    const bool subnormal = field == 0 && f.has_zero;
    const u32 significand = subnormal ? fraction : fraction | (1u << f.mantissa_bits);
    const int unit = (subnormal ? 1 : field) - f.bias - f.mantissa_bits;  // the value is significand * 2^unit
    if (significand == 0) return float_of(sign);
    const int top = 31 - leading_zeros(significand), exponent = unit + top;
    if (exponent >= -126) return float_of(sign | (u32)(exponent + 127) << 23 | ((significand << (23 - top)) & 0x7FFFFFu));
    return float_of(sign | significand << (unit + 149));  // a float32 subnormal: bf16, fp32 and the last of E8M0
}

// 1 / divisor, rounded, where near_quotient divides by it correctly: the two reaches of Transformer Engine's four over six and
// 1 (a test tries every significand), on dividends that are 0 or between 2^-103 and 2^112. Else 0.
FP4_HD float near_divisor(float divisor, float group) {
    const bool known = divisor == 1536.0f || divisor == 2688.0f || divisor == 1.0f;
    return known && group >= 0x1p-90f && group <= 0x1p100f ? div(1.0f, divisor) : 0.0f;
}

// fl(a / divisor) by its reciprocal and one correction (Markstein, IBM J. Res. Dev. 34, 1990).
FP4_HD float near_quotient(float a, float divisor, float inverse) {
    const float quotient = mul(a, inverse);
    return fma_near(fma_near(-quotient, divisor, a), inverse, quotient);
}

// bfloat16 and float16 bits widened, exactly.
FP4_HD u32 widen_bf16(u32 bits) { return bits << 16; }

FP4_HD u32 widen_fp16(u32 bits) {
    const u32 sign = (bits & 0x8000u) << 16, field = (bits >> 10) & 31u, fraction = bits & 0x3FFu;
    if (field == 31) return sign | INF_BITS | fraction << 13;
    if (field) return sign | (field + 112) << 23 | fraction << 13;
    if (!fraction) return sign;
    const int top = 31 - leading_zeros(fraction);
    return sign | (u32)(top - 24 + 127) << 23 | ((fraction << (23 - top)) & 0x7FFFFFu);
}

// Float32 to bfloat16, nearest even; NaN stays NaN, quiet.
FP4_HD u32 narrow_bf16(u32 bits) {
    if (is_nan(bits)) return (bits >> 16) | 0x40u;
    return (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
}

// Float32 to float16, nearest even.
FP4_HD u32 narrow_fp16(u32 bits) {
    const u32 sign = (bits >> 16) & 0x8000u, magnitude = bits & MAGNITUDE;
    if (magnitude > INF_BITS) return sign | 0x7E00u;
    if (magnitude >= 0x477FF000u) return sign | 0x7C00u;  // half of a quantum above the largest, 65520
    const Format fp16{5, 10, 15, 0x7BFF, 0x7C00, false, true, true};
    constexpr Cast nearest = NEAREST;  // device code may use a host constant's value, but not refer to it
    return sign | encode(magnitude, fp16, nearest);
}

// Float64 to a narrower float in one rounding: float32 rounded to odd keeps what a second rounding needs to know.
FP4_HD u32 float_to_odd(double exact) {
    const float near = (float)exact;
    u32 bits = bits_of(near);
    const double back = (double)near;
    if (!(back == back) || (bits & MAGNITUDE) == INF_BITS) return bits;
    const double away = back < 0 ? exact - back : back - exact;
    if (away > 0) --bits;
    if (away != 0) bits |= 1u;
    return bits;
}

}  // namespace fp4
