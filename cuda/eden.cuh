// MS-EDEN's block scale: fl(scale S), S = <z, z> / <z, r>, rounded stochastically (fp4sim/estimators/eden.py). Float32 sums tell it
// unless the draw falls too near to where rounding turns; the definition's float64 sums are for those blocks.
#pragma once

#include "hadamard.cuh"

namespace fp4 {

FP4_HD double halved_lanes(const double (&s)[16]) {
    const double even = ((s[0] + s[8]) + (s[4] + s[12])) + ((s[2] + s[10]) + (s[6] + s[14]));
    const double odd = ((s[1] + s[9]) + (s[5] + s[13])) + ((s[3] + s[11]) + (s[7] + s[15]));
    return even + odd;
}

// <a, b> of sixteen elements by halving. A product is exact, so one fma adds two of them with one rounding.
FP4_HD double halved(const float (&a)[16], const float (&b)[16]) {
    double s[8];
    FP4_UNROLL
    for (int i = 0; i < 8; ++i) {
        s[i] = fma_near((double)a[i + 8], (double)b[i + 8], (double)a[i] * (double)b[i]);
    }
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

// S = <z, z> / <z, r>, 1 where nothing is left to correct or a z is infinite.
FP4_HD float eden_correction(const float (&z)[16], const float (&r)[16]) {
    const double square = halved(z, z), product = halved(z, r);
    const bool usable = product > 0.0 && square <= 1.7976931348623157e308;
    return usable ? (float)(square / product) : 1.0f;
}

// 1 / x of a normal x, within 2^-23 of it.
FP4_HD float near_reciprocal(float x) {
#if defined(__CUDA_ARCH__)
    float out;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(out) : "f"(x));
    return out;
#else
    return div(1.0f, x);
#endif
}

struct EdenBlock {
    u64 codes;
    u32 scale;
};

// By the definition, whatever the block.
FP4_RARE EdenBlock eden_exact(const float (&y)[16], u32 scale, float decode, u32 random) {
    float z[16], r[16];
    const u64 codes = encode16(y, block_factor(scale, decode), z, r);
    const float wanted = mul(e4m3_value(scale), eden_correction(z, r));
    return {codes, stochastic_e4m3(e4m3_position(wanted), random)};
}

// The same scale by float32 sums: off by less than 19 units of 2^-24, six roundings in each sum, two units in the reciprocal, two
// products, and two roundings of the definition's own. A binade has 8 gaps, so that its position, in units of 2^-32 of a gap, is off
// by less than 16 * 19 * 2^8, which is below 2^17.
FP4_HD float quick_scale(const Quick16& block, float value) {
    const bool corrected = value > 0.0f && block.product > 0.0f;
    return corrected ? mul(value, mul(block.square, near_reciprocal(block.product))) : value;
}

// factor: the scale's, times 2^-14. Where no position so near crosses a whole one under the draw, the quick scale tells the code;
// a zero scale stays zero, though its sums may overflow.
FP4_HD EdenBlock eden_block(const float (&y)[16], u32 scale, float factor, float decode, u32 random) {
    const Quick16 quick(y, factor);
    const float value = e4m3_value(scale);
    const E4m3Position at = e4m3_position(quick_scale(quick, value));
    const bool known = quick.square <= FLT_MAX_ && at.rest + random + (1u << 17) >= 1u << 18;  // false of NaN
    if (value == 0.0f || known) return {quick.codes, stochastic_e4m3(at, random)};
    float passed[16];  // through memory, which y itself never sees
    FP4_UNROLL
    for (int i = 0; i < 16; ++i) passed[i] = y[i];
    return eden_exact(passed, scale, decode, random);
}

}  // namespace fp4
