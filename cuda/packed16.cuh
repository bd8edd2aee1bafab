// A block of sixteen to E2M1 codes, scaled by 2^-14: E2M1's subnormals are then float16's, and the bits of a value in float16 are
// those of its code, two at a time.
#pragma once

#include "block16.cuh"

namespace fp4 {

constexpr float UNIT16 = 0.00006103515625f;  // 2^-14
constexpr u32 NAN_BITS = 0x7FC00000u;

// The factor of a block times 2^-14; NaN where that is not exact.
FP4_HD float unit_factor(float factor) {
    const float scaled = mul(factor, UNIT16);
    return mul(scaled, 16384.0f) == factor ? scaled : float_of(NAN_BITS);
}

// Two values that float16 has, as its bits, the first in the lower half.
FP4_HD u32 pair_of_halves(float low, float high) {
#if defined(__CUDA_ARCH__)
    u32 out;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(out) : "f"(high), "f"(low));
    return out;
#else
    return narrow_fp16(bits_of(high)) << 16 | narrow_fp16(bits_of(low));
#endif
}

// The upper word of (high, low) shifted left by four.
FP4_HD u32 shift_in_four(u32 high, u32 low) {
#if defined(__CUDA_ARCH__)
    return __funnelshift_l(low, high, 4);
#else
    return high << 4 | low >> 28;
#endif
}

// Codes of eight elements, one every four bits. r: their magnitudes on the grid times 2^-14, whose float16 has the code in
// bits 9 to 11; y: whose signs they take.
FP4_HD u32 eight_codes(const float* r, const float* y) {
    const u32 low = pair_of_halves(r[0], r[4]) + 16u * pair_of_halves(r[1], r[5]);
    const u32 high = pair_of_halves(r[2], r[6]) + 16u * pair_of_halves(r[3], r[7]);
    u32 signs = 0;
    FP4_UNROLL
    for (int i = 7; i >= 0; --i) signs = shift_in_four(signs, bits_of(y[i]));
    return low >> 9 | high >> 1 | (signs & 0x88888888u);
}

FP4_HD u64 sixteen_codes(const float (&r)[16], const float (&y)[16]) {
    return (u64)eight_codes(r + 8, y + 8) << 32 | eight_codes(r, y);
}

// A block's codes under any factor. z: scaled magnitudes, r: their values on the grid.
FP4_HD u64 encode16(const float (&y)[16], float factor, float (&z)[16], float (&r)[16]) {
    float units[16];
    FP4_UNROLL
    for (int i = 0; i < 16; ++i) {
        z[i] = mul(magnitude(y[i]), factor);
        r[i] = nearest_e2m1_below_7(fmin_num(z[i], 6.0f));
        units[i] = mul(r[i], UNIT16);
    }
    return sixteen_codes(units, y);
}

// The same under a factor times 2^-14, which must be a number, with the sums of z^2 and z r times 2^-28, six roundings each.
// What underflows is z or z^2 of a z below 2^-49, whose r is 0: nothing beside a z that has an r.
struct Quick16 {
    u64 codes;
    float square, product;

    FP4_HD Quick16(const float (&y)[16], float factor) {
        float r[16], squares[4], products[4];
        FP4_UNROLL
        for (int i = 0; i < 16; ++i) {
            const float z = mul(magnitude(y[i]), factor);
            r[i] = nearest_e2m1_below_7(fmin_num(z, 6.0f * UNIT16), UNIT16);
            squares[i & 3] = i < 4 ? mul(z, z) : fma_near(z, z, squares[i & 3]);
            products[i & 3] = i < 4 ? mul(z, r[i]) : fma_near(z, r[i], products[i & 3]);
        }
        square = add(add(squares[0], squares[1]), add(squares[2], squares[3]));
        product = add(add(products[0], products[1]), add(products[2], products[3]));
        codes = sixteen_codes(r, y);
    }
};

}  // namespace fp4
