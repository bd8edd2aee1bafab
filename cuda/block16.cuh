// Sixteen elements in a thread's registers: how they are loaded, and E2M1's rounding to nearest as float arithmetic.
#pragma once

#include "codec.cuh"

#if defined(__CUDACC__)
#define FP4_UNROLL _Pragma("unroll")
#define FP4_ROLLED _Pragma("unroll 1")
#define FP4_SHARED_WORDS(name) extern __shared__ u32 name[]
#else
#define FP4_UNROLL
#define FP4_ROLLED
#define FP4_SHARED_WORDS(name) static u32 name[1 << 16]
#endif

namespace fp4 {

// PTX prmt: byte i of the result is byte s of (low, high), s the i-th nibble of the selector; with its top bit set, that
// byte's sign eight times.
FP4_HD u32 permute(u32 low, u32 high, u32 selector) {
#if defined(__CUDA_ARCH__)
    u32 out;
    asm("prmt.b32 %0, %1, %2, %3;" : "=r"(out) : "r"(low), "r"(high), "r"(selector));
    return out;
#else
    const u64 both = (u64)high << 32 | low;
    u32 out = 0;
    for (int i = 0; i < 4; ++i) {
        const u32 s = (selector >> (4 * i)) & 15u;
        u32 byte = (u32)(both >> (8 * (s & 7u))) & 0xFFu;
        if (s & 8u) byte = (byte & 0x80u) ? 0xFFu : 0u;
        out |= byte << (8 * i);
    }
    return out;
#endif
}

FP4_HD double fma_near(double a, double b, double c) {
#if defined(__CUDA_ARCH__)
    return __fma_rn(a, b, c);
#else
    return std::fma(a, b, c);
#endif
}

FP4_HD float fmax_num(float a, float b) {
#if defined(__CUDA_ARCH__)
    return fmaxf(a, b);
#else
    return std::fmax(a, b);
#endif
}

FP4_HD float magnitude(float x) {
#if defined(__CUDA_ARCH__)
    return fabsf(x);
#else
    return std::fabs(x);
#endif
}

FP4_HD float larger_magnitude(float most, float x) { return fmax_num(most, magnitude(x)); }

// The same, NaN where either is.
FP4_HD float larger_magnitude_or_nan(float most, float x) {
#if defined(__CUDA_ARCH__)
    float out;
    asm("max.NaN.f32 %0, %1, %2;" : "=f"(out) : "f"(most), "f"(fabsf(x)));
    return out;
#else
    return most != most ? most : x != x ? x : larger_magnitude(most, x);
#endif
}

// float16 bits widened, by the instruction where there is one.
FP4_HD float half_to_float(u32 bits) {
#if defined(__CUDA_ARCH__)
    float out;
    asm("cvt.f32.f16 %0, %1;" : "=f"(out) : "h"((u16)bits));
    return out;
#else
    return float_of(widen_fp16(bits));
#endif
}

enum Input { BF16, FP16, FP32 };

// Sixteen elements as they lie in memory. signs(q): a byte for each of elements 4q to 4q + 3, all ones where it is negative.
template <Input type>
struct Sixteen {
    static constexpr int WORDS = type == FP32 ? 16 : 8;
    u32 word[WORDS];

    FP4_HD void load(const void* base, u64 block) {
#if defined(__CUDA_ARCH__)
        const uint4* from = (const uint4*)base + block * (WORDS / 4);
        FP4_UNROLL
        for (int i = 0; i < WORDS / 4; ++i) {
            const uint4 four = __ldcs(from + i);
            word[4 * i] = four.x, word[4 * i + 1] = four.y, word[4 * i + 2] = four.z, word[4 * i + 3] = four.w;
        }
#else
        memcpy(word, (const u32*)base + block * WORDS, sizeof word);
#endif
    }

    FP4_HD float operator[](int i) const {
        if (type == FP32) return float_of(word[i]);
        if (type == BF16) return float_of(i & 1 ? word[i / 2] & 0xFFFF0000u : word[i / 2] << 16);
        return half_to_float(i & 1 ? word[i / 2] >> 16 : word[i / 2] & 0xFFFFu);
    }

    FP4_HD u32 signs(int q) const {
        if (type != FP32) return permute(word[2 * q], word[2 * q + 1], 0xFDB9u);
        const u32 low = permute(word[4 * q], word[4 * q + 1], 0xFBu), high = permute(word[4 * q + 2], word[4 * q + 3], 0xFBu);
        return permute(low, high, 0x5410u);
    }

    // The largest and the smallest magnitude, two at a time where they are halves: their order is that of their bits.
    FP4_HD void range(float& most, float& least) const {
        const u32 mask = type == FP32 ? MAGNITUDE : 0x7FFF7FFFu;
        u32 high = word[0] & mask, low = high;
        FP4_UNROLL
        for (int i = 1; i < WORDS; ++i) {
            const u32 next = word[i] & mask;
            high = type == FP32 ? larger(high, next) : larger_halves(high, next);
            low = type == FP32 ? smaller(low, next) : smaller_halves(low, next);
        }
        if (type == FP32) {
            most = float_of(high), least = float_of(low);
            return;
        }
        high = larger(high >> 16, high & 0xFFFFu), low = smaller(low >> 16, low & 0xFFFFu);
        most = type == BF16 ? float_of(high << 16) : half_to_float(high);
        least = type == BF16 ? float_of(low << 16) : half_to_float(low);
    }

    FP4_HD static u32 larger(u32 a, u32 b) { return a > b ? a : b; }
    FP4_HD static u32 smaller(u32 a, u32 b) { return a < b ? a : b; }

    FP4_HD static u32 larger_halves(u32 a, u32 b) {
#if defined(__CUDA_ARCH__)
        return __vmaxu2(a, b);
#else
        return larger(a >> 16, b >> 16) << 16 | larger(a & 0xFFFFu, b & 0xFFFFu);
#endif
    }

    FP4_HD static u32 smaller_halves(u32 a, u32 b) {
#if defined(__CUDA_ARCH__)
        return __vminu2(a, b);
#else
        return smaller(a >> 16, b >> 16) << 16 | smaller(a & 0xFFFFu, b & 0xFFFFu);
#endif
    }
};

// One instruction from sm_90 on.
FP4_HD u32 least_of_three(u32 a, u32 b, u32 c) {
#if defined(__CUDA_ARCH__)
    return __vimin3_u32(a, b, c);
#else
    return Sixteen<FP32>::smaller(a, Sixteen<FP32>::smaller(b, c));
#endif
}

// The smaller of two halves each, taken as signed.
FP4_HD u32 smaller_signed_halves(u32 a, u32 b) {
#if defined(__CUDA_ARCH__)
    return __vmins2(a, b);
#else
    const u32 top = 0x80008000u;
    return Sixteen<BF16>::smaller_halves(a ^ top, b ^ top) ^ top;
#endif
}

// The E2M1 value nearest to a magnitude of at most 6, ties to the even code. With 2^e the largest power of two not above
// max(a, 1), the grid at a is 2^(e-1), which is one unit in the last place of 2^(e+22): adding that rounds to the grid.
FP4_HD float nearest_e2m1(float a) {
    const float binade = fmax_num(a, 1.0f);
    const float anchor = float_of(bits_of(binade) & INF_BITS);
    const float moved = fma_near(anchor, 4194304.0f, a);
    return fma_near(anchor, -4194304.0f, moved);
}

// The same in three operations, of 0 <= a < 7. m 2^22 is a multiple of the grid's step at a, which is one unit in the last place
// of m 2^22 - a: that subtraction rounds a to the grid. At ties m 2^22 is an even multiple, so what is even there is even here.
// Below 1 it is 2^22 + 2, so that the difference stays above 2^22, where the last place is 2^-1. From 7 on 8 would be nearer than 6.
// unit: a power of two that a and the grid are multiplied by.
FP4_HD float nearest_e2m1_below_7(float a, float unit = 1.0f) {
    const float m = fmax_num(a, unit * 1.000000476837158203125f);  // 1 + 2^-21
    const float moved = fma_near(m, 4194304.0f, -a);
    return fma_near(m, 4194304.0f, -moved);
}

// The E4M3 code nearest to x >= 0, at most 448, ties to even; NaN is 448 (the caller's fmin has taken it away).
FP4_HD u32 nearest_e4m3(float x) {
    const u32 bits = bits_of(x);
    const u32 rounded = (bits + 0x7FFFFu + ((bits >> 20) & 1u)) >> 20;
    const u32 normal = rounded - (120u << 3);
    const u32 subnormal = bits_of(add(x, 16384.0f)) - bits_of(16384.0f);  // a unit in the last place of 2^14 is 2^-9
    const u32 code = bits < (121u << 23) ? subnormal : normal;
    return code > 126u ? 126u : code;
}

// x >= 0 on the axis of E4M3's codes: the code not above it, and what lies between, in units of 2^-32 of a gap, cut.
struct E4m3Position {
    u32 code, rest;
};

FP4_HD E4m3Position e4m3_position(float x) {
    const u32 bits = bits_of(x), field = bits >> 23;
    if (field > 120u) return {(bits >> 20) - (120u << 3), bits << 12};
    const u32 below = 120u - field;  // binades below that of gaps of 2^-9
    const u64 significand = (bits & 0x7FFFFFu) | 0x800000u, position = significand << 11 >> (below < 63u ? below : 63u);
    return {(u32)(position >> 32), (u32)position};
}

// The code under 32 random bits: up where they carry out of what lies between.
FP4_HD u32 stochastic_e4m3(const E4m3Position& x, u32 random) {
    const u32 sum = x.rest + random, code = x.code + (sum < random ? 1u : 0u);
    return code > 126u ? 126u : code;
}

// The value of a code, exact.
FP4_HD float e4m3_value(u32 code) {
    const float subnormal = mul((float)code, 0.001953125f);
    return code < 8u ? subnormal : float_of((code << 20) + (120u << 23));
}

}  // namespace fp4
