// cuda/block16.cuh, packed16.cuh and eden.cuh on the host, for tests: how many results are not those of codec.cuh, or
// of the definition that a quick way stands for.
#include "eden.cuh"

using namespace fp4;

extern "C" {

// Bits first, first + step, ... below last: E2M1 and E4M3 to nearest, values of codes, and codes of blocks of alternating signs.
u64 host_nearest_mismatches(u64 first, u64 last, u64 step) {
    u64 wrong = 0, filled = 0;
    float y[16], z[16], r16[16];
    u64 codes = 0;
    for (u64 bits = first; bits < last; bits += step) {
        const float x = float_of((u32)bits);
        const float r = nearest_e2m1(fmin_num(x, 6.0f));
        const u32 code = encode((u32)bits, E2M1, NEAREST), scale = encode((u32)bits, UE4M3, NEAREST);
        wrong += bits_of(r) != bits_of(decode(code, E2M1));
        const u32 sign = (u32)(filled & 1u) << 3;
        y[filled] = sign ? -x : x;
        codes |= (u64)(code | sign) << (4 * filled);
        if (++filled == 16) {
            wrong += encode16(y, 1.0f, z, r16) != codes || Quick16(y, UNIT16).codes != codes;
            filled = codes = 0;
        }
        wrong += nearest_e4m3(x) != scale;
        wrong += bits_of(e4m3_value(scale)) != bits_of(decode(scale, UE4M3));
    }
    return wrong;
}

// Bits from first on below last, all of which must be below 7.
u64 host_below_7_mismatches(u64 first, u64 last, u64 step) {
    u64 wrong = 0;
    for (u64 bits = first; bits < last; bits += step) {
        const float x = float_of((u32)bits);
        wrong += bits_of(nearest_e2m1_below_7(x)) != bits_of(nearest_e2m1(fmin_num(x, 6.0f)));
    }
    return wrong;
}

u64 host_stochastic_mismatches(const u32* x, const u32* random, u64 n) {
    const Cast cast{SR, 32, false, NAN_HARDWARE, ZERO_KEEP};
    u64 wrong = 0;
    for (u64 i = 0; i < n; ++i) wrong += stochastic_e4m3(e4m3_position(float_of(x[i])), random[i]) != encode(x[i], UE4M3, cast, random[i]);
    return wrong;
}

// Blocks under scales and draws: how many get other codes or another scale than by the definition. farthest: of the quick
// scale's position from the definition's, in units of 2^-32 of a gap; exact: how many the definition itself was asked.
u64 host_eden_mismatches(const float* y, const u32* scales, float decode, const u32* random, u64 n, u64* farthest, u64* exact) {
    u64 wrong = 0;
    for (u64 i = 0; i < n; ++i) {
        float block[16], z[16], r[16];
        memcpy(block, y + 16 * i, sizeof block);
        const float value = e4m3_value(scales[i]), factor = unit_factor(block_factor(scales[i], decode));
        const EdenBlock wanted = eden_exact(block, scales[i], decode, random[i]);
        const EdenBlock found = eden_block(block, scales[i], factor, decode, random[i]);
        wrong += found.codes != wanted.codes || found.scale != wanted.scale;
        const Quick16 quick(block, factor);
        const E4m3Position near = e4m3_position(quick_scale(quick, value));
        encode16(block, block_factor(scales[i], decode), z, r);
        const E4m3Position at = e4m3_position(mul(value, eden_correction(z, r)));
        const i64 off = (i64)((u64)near.code << 32 | near.rest) - (i64)((u64)at.code << 32 | at.rest);
        const bool known = quick.square <= FLT_MAX_;
        if (known && (u64)(off < 0 ? -off : off) > *farthest) *farthest = (u64)(off < 0 ? -off : off);
        *exact += value > 0.0f && !(known && near.rest + random[i] + (1u << 17) >= 1u << 18);
    }
    return wrong;
}

// The rest of each block's position on the axis of scales, by the definition.
void host_eden_rests(const float* y, const u32* scales, float decode, u64 n, u32* rests) {
    for (u64 i = 0; i < n; ++i) {
        float block[16], z[16], r[16];
        memcpy(block, y + 16 * i, sizeof block);
        encode16(block, block_factor(scales[i], decode), z, r);
        rests[i] = e4m3_position(mul(e4m3_value(scales[i]), eden_correction(z, r))).rest;
    }
}

// <z, z> and <z, r> of each block, as the definition adds them.
void host_eden_sums(const float* z, const float* r, u64 n, double* square, double* product) {
    for (u64 i = 0; i < n; ++i) {
        float scaled[16], rounded[16];
        memcpy(scaled, z + 16 * i, sizeof scaled);
        memcpy(rounded, r + 16 * i, sizeof rounded);
        square[i] = halved(scaled, scaled), product[i] = halved(scaled, rounded);
    }
}
}
