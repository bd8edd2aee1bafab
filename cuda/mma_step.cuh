// One K = 64 step of Blackwell's block-scaled MMA on one output, twice. The rule is fp4sim/kernels/reference/mma.py; models
// like Blackwell's differ in the bits kept below the anchor, in the floor, and in which groups anchor (the operand's data).
#pragma once

#include "portable.cuh"

namespace fp4 {

// max(a + b, c), one instruction on Hopper.
FP4_HD int larger_sum(int a, int b, int c) {
#if defined(__CUDA_ARCH__)
    return __viaddmax_s32(a, b, c);
#else
    return a + b > c ? a + b : c;
#endif
}

// a + b rounded toward zero; the host's version needs an exact sum in double.
FP4_HD float add_toward_zero(float a, float b) {
#if defined(__CUDA_ARCH__)
    return __fadd_rz(a, b);
#else
    const double sum = (double)a + (double)b;
    const float near = (float)sum;
    return std::fabs((double)near) > std::fabs(sum) ? std::nextafter(near, 0.0f) : near;
#endif
}

FP4_HD int whole_part(float x) {  // toward zero
#if defined(__CUDA_ARCH__)
    return __float2int_rz(x);
#else
    return (int)x;
#endif
}

FP4_HD float float_from(int x) {  // |x| <= 2^24 or a multiple of 2^24: exact
#if defined(__CUDA_ARCH__)
    return __int2float_rn(x);
#else
    return (float)x;
#endif
}

// What a group of 16 is to an output: the exponent that it anchors at, plus ANCHOR_BIAS, from bit 23; FEW where fewer than 9 of
// its elements may anchor; a bit for each that may. Sums of two compare as sums of exponents do.
using Anchor = int;
constexpr int ANCHOR_BIAS = 64;
constexpr Anchor FEW = 1 << 20, NEVER_ANCHORS = -(1 << 30);

FP4_HD Anchor anchor_word(u32 mask, int elements, int exponent) {
    const int field = exponent + ANCHOR_BIAS;
    if (!mask) return NEVER_ANCHORS;
    return (field < 1 ? 1 : field > 127 ? 127 : field) << 23 | (elements < 9 ? FEW : 0) | (Anchor)mask;
}

// The step in float32, for rows shifted so that nothing leaves float32's range (gemm_operands.cuh):
//   t: the four groups' sums under their scales, at most 20 significant bits, below 2^11 of the power that they anchor at;
//   c: the accumulator, a multiple of 2^-61 or so; fraction: bits kept below the anchor, at most 35.
// Counted in quanta, every addend is below 2^46 and their sum below 2^48. Added to a running sum that starts at 1.5 * 2^49,
// an addend gives its multiple of 2^26 there (0 where it has bits below the quantum, being below 2^23 then); what is left of
// it is exact, at most 2^25, and is cut by the conversion to an integer. At last the low sum's own multiple of 2^24 goes to
// the high one, and one addition toward zero is the step's rounding.
// SURE: no anchor is FEW: two groups of 9 elements or more share one, so that every pair of groups that may anchor does.
template <bool SURE>
FP4_HD float narrow_step(const float (&t)[4], const Anchor (&a)[4], const Anchor (&b)[4], float c, int fraction) {
    constexpr float SPLIT = 0x1.8p49f;
    constexpr int LEAST = (2 * ANCHOR_BIAS - 64) << 23, TO_FLOAT = (2 * ANCHOR_BIAS - 127) << 23;
    int top = larger_sum((int)(bits_of(c) & MAGNITUDE), TO_FLOAT, LEAST);
#if defined(__CUDACC__)
#pragma unroll
#endif
    for (int g = 0; g < 4; ++g)
        if (SURE || (a[g] & b[g] & 0xFFFF)) top = larger_sum(a[g], b[g], top);
    const u32 anchor = (u32)top & INF_BITS;  // biased by 2 ANCHOR_BIAS
    const float per_quantum = float_of(((u32)(2 * ANCHOR_BIAS + 127 + fraction) << 23) - anchor);
    float high = fma_near(c, per_quantum, SPLIT);
    int low = whole_part(fma_near(c, per_quantum, add(SPLIT, -high)));
#if defined(__CUDACC__)
#pragma unroll
#endif
    for (int g = 0; g < 4; ++g) {
        const float before = high;
        high = fma_near(t[g], per_quantum, before);
        low += whole_part(fma_near(t[g], per_quantum, add(before, -high)));
    }
    high = add(add(high, -SPLIT), float_from(low & (int)0xFF000000u));
    const float sum = add_toward_zero(high, float_from(low & 0x00FFFFFF));
    return mul(sum, float_of(anchor - ((u32)(2 * ANCHOR_BIAS - 127 + fraction) << 23)));
}

// A group's sum and scale in integers: the value is sum * 2^(exponent - unit).
struct Term {
    i32 sum;
    int exponent;
    bool anchors;
};

// The step in 64-bit integers, for any scales and any accumulator. no_floor: a floor below every exponent.
constexpr int NO_FLOOR = -4096;

FP4_HD i64 cut(i64 value, int shift) {  // value * 2^shift toward zero; shift <= 38
    if (shift >= 0) return value * ((i64)1 << shift);
    const i64 rest = shift < -62 ? 0 : (value < 0 ? -value : value) >> -shift;
    return value < 0 ? -rest : rest;
}

FP4_HD int leading_zeros_long(u64 x) {
    const u32 high = (u32)(x >> 32);
    return high ? leading_zeros(high) : 32 + leading_zeros((u32)x);
}

// Bits of sum * 2^unit toward zero; zeros and what underflows are +0.
FP4_HD u32 float_bits_toward_zero(i64 sum, int unit) {
    const u64 magnitude = sum < 0 ? (u64)-sum : (u64)sum;
    if (!magnitude) return 0;
    const int leading = 63 - leading_zeros_long(magnitude) + unit;
    const int quantum = (leading > -126 ? leading : -126) - 23, drop = quantum - unit;
    const u64 kept = drop > 63 ? 0 : drop >= 0 ? magnitude >> drop : magnitude << -drop;
    if (!kept) return 0;
    const u32 sign = sum < 0 ? SIGN : 0u;
    if (leading > 127) return sign | INF_BITS;
    return sign | (kept >> 23 ? (u32)(quantum + 150) << 23 | ((u32)kept & 0x7FFFFFu) : (u32)kept);
}

// c and result are float32 bits. unit: fraction bits of sums, 2 under power-of-two scales, 8 under UE4M3.
FP4_HD u32 wide_step(const Term (&terms)[4], int unit, u32 c, int fraction, int floor) {
    const u32 magnitude = c & MAGNITUDE, field = magnitude >> 23;
    if (magnitude >= INF_BITS) return magnitude == INF_BITS ? c : MAGNITUDE;
    const int exponent = (int)(field ? field : 1u) - 127;
    int anchor = magnitude ? exponent : floor;
    for (int g = 0; g < 4; ++g)
        if (terms[g].anchors && terms[g].exponent > anchor) anchor = terms[g].exponent;
    if (anchor == NO_FLOOR) return 0;
    const int quantum = anchor - fraction;
    const i64 significand = (magnitude & 0x7FFFFFu) | (field ? 0x800000u : 0u);
    i64 sum = cut(c & SIGN ? -significand : significand, exponent - 23 - quantum);
    for (int g = 0; g < 4; ++g)
        if (terms[g].sum) sum += cut(terms[g].sum, terms[g].exponent - unit - quantum);
    return float_bits_toward_zero(sum, quantum);
}

}  // namespace fp4
