// One block of a fused kernel: its elements in registers, its maximum, its scale, its E2M1 codes. What a kernel is compiled
// for comes as macros from fp4sim/gpu/fused.py:
//   INPUT   0 float32, 1 bfloat16, 2 float16
//   BLOCK   elements a block, 16 or 32
//   SCALES  0 te (E4M3, two-level), 1 floor, 2 ceil, 3 rceil, 4 even (E8M0)
//   RANDOM  random bits an element under stochastic rounding, 0: nearest even
// Elements are finite: a kernel raises a flag where they are not, and the general path does the tensor again.
#pragma once

#include "codec.cuh"

namespace fp4 {

enum Scales { TE, FLOOR, CEIL, RCEIL, EVEN };

constexpr int WORDS = INPUT == 0 ? BLOCK : BLOCK / 2;  // 32-bit words of a block

struct alignas(16) Quad {
    u32 w[4];
};

FP4_HD void load_block(const void* x, i64 block, u32 (&words)[WORDS]) {
    const Quad* quads = (const Quad*)x + block * (WORDS / 4);
#pragma unroll
    for (int i = 0; i < WORDS / 4; ++i) {
#if defined(__CUDA_ARCH__)
        const uint4 q = __ldg((const uint4*)(quads + i));
        words[4 * i] = q.x, words[4 * i + 1] = q.y, words[4 * i + 2] = q.z, words[4 * i + 3] = q.w;
#else
        for (int j = 0; j < 4; ++j) words[4 * i + j] = quads[i].w[j];
#endif
    }
}

FP4_HD u32 max_halves(u32 a, u32 b) {  // of two pairs of 16-bit integers
#if defined(__CUDA_ARCH__)
    return __vmaxu2(a, b);
#else
    const u32 low = (a & 0xFFFFu) > (b & 0xFFFFu) ? a : b, high = a >> 16 > b >> 16 ? a : b;
    return (high & 0xFFFF0000u) | (low & 0xFFFFu);
#endif
}

FP4_HD float widen_half(u32 bits) {  // float16, finite
#if defined(__CUDA_ARCH__)
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"((u16)bits));
    return x;
#else
    return float_of(widen_fp16(bits));
#endif
}

// |element| j of a block.
FP4_HD float magnitude_of(const u32 (&words)[WORDS], int j) {
    if (INPUT == 0) return float_of(words[j] & MAGNITUDE);
    const u32 pair = words[j / 2] & 0x7FFF7FFFu;
    if (INPUT == 1) return float_of(j % 2 ? pair & 0xFFFF0000u : pair << 16);
    return widen_half(j % 2 ? pair >> 16 : pair & 0xFFFFu);
}

// The block's amax; NaN and Inf are the largest patterns.
FP4_HD float block_maximum(const u32 (&words)[WORDS]) {
    u32 most = 0;
#pragma unroll
    for (int i = 0; i < WORDS; ++i) {
        if (INPUT == 0) {
            const u32 magnitude = words[i] & MAGNITUDE;
            most = magnitude > most ? magnitude : most;
        } else {
            most = max_halves(most, words[i] & 0x7FFF7FFFu);
        }
    }
    if (INPUT == 0) return float_of(most);
    const u32 half = (most >> 16) > (most & 0xFFFFu) ? most >> 16 : most & 0xFFFFu;
    return float_of(INPUT == 1 ? half << 16 : widen_fp16(half));
}

// --- Scales -----------------------------------------------------------------------------------------------------------

struct Scale {
    u32 code;
    float value, factor;  // of the code; what elements are multiplied by
};

// E4M3 of a finite w >= 0, nearest even, saturating.
FP4_HD u32 encode_ue4m3(float w) {
    const float clamped = fmin_num(w, 448.0f);
    const u32 bits = bits_of(clamped);
    const u32 normal = ((bits + 0x7FFFFu + ((bits >> 20) & 1u)) >> 20) - (120u << 3);
    const u32 subnormal = bits_of(fma_near(clamped, 512.0f, 12582912.0f)) - 0x4B400000u;
    return bits < 0x3C800000u ? subnormal : normal;
}

FP4_HD float decode_ue4m3(u32 code) { return code < 8u ? (float)(int)code * 0x1p-9f : float_of((code << 20) + (120u << 23)); }

FP4_HD float power_of_two(int code) {  // 2^(code - 127), code in 0 .. 254
    return float_of(code ? (u32)code << 23 : 0x400000u);
}

// Transformer Engine's order (fp4sim/dialects/te.py): multiplier is fl(S_enc c), decoder S_dec.
FP4_HD Scale te_scale(float wanted, float decoder) {
    const u32 code = encode_ue4m3(fmin_num(wanted, FLT_MAX_));
    const float value = decode_ue4m3(code);
    return {code, value, fmin_num(div(1.0f, mul(value, decoder)), FLT_MAX_)};
}

// fp4sim/dialects/mx.py for E2M1; 255 where the rule has no finite answer.
FP4_HD Scale mx_scale(float amax, float inverse, float shrink) {
    const u32 bits = bits_of(amax);
    int code = (int)(bits >> 23) - 2;
    if (SCALES == CEIL) code += (bits & 0x7FFFFFu) != 0;
    if (SCALES == EVEN) code = (int)((bits + (1u << 21)) >> 23) - 2;
    if (SCALES == RCEIL) {
        const u32 product = bits_of(mul(amax, inverse));
        const u32 exponent = product >> 23, mantissa = product & 0x7FFFFFu;
        code = (int)(exponent + (exponent ? mantissa != 0 : mantissa > 0x400000u));
    }
    if (SCALES == EVEN && code >= 253) return {255u, 0.0f, 0.0f};
    code = code < 0 ? 0 : code > 254 ? 254 : code;
    return {(u32)code, power_of_two(code), fmin_num(mul(power_of_two(254 - code), shrink), FLT_MAX_)};
}

// --- Codes ------------------------------------------------------------------------------------------------------------

// E2M1's axis of codes is the least of 2 m, m + 2 and m / 2 + 4 (fp4sim/kernels/cpu/encode.py). The float adder rounds each: the
// low bits of fma(m, slope, 1.5 * 2^23 + start) are the integer, to nearest even because pieces start at even codes.
constexpr float MAGIC = 12582912.0f;
constexpr u32 MAGIC_BITS = 0x4B400000u;

FP4_HD u32 least(u32 a, u32 b, u32 c) {  // one instruction on Hopper; of floats it would be two
    const u32 less = a < b ? a : b;
    return less < c ? less : c;
}

FP4_HD u32 nearest_bits(float scaled) {  // MAGIC_BITS + code
    const float m = fmin_num(scaled, 6.0f);
    const float first = fma_near(m, 2.0f, MAGIC), second = fma_near(m, 1.0f, MAGIC + 2.0f);
    return least(bits_of(first), bits_of(second), bits_of(fma_near(m, 0.5f, MAGIC + 4.0f)));
}

// Magnitude codes of 8 elements, a nibble each: a sum of shifted patterns less what the magics add up to.
template <class Bits>
FP4_HD u32 pack_nearest(Bits&& bits) {
    constexpr u32 magics = (u32)(0x11111111ull * MAGIC_BITS);
    u32 sum = bits(7);
#pragma unroll
    for (int j = 6; j >= 0; --j) sum = sum * 16u + bits(j);
    return sum - magics;
}

// a * b + c rounded down to an integer; a * b + c is in [2^23, 2^24).
FP4_HD float fma_floor(float a, float b, float c) {
#if defined(__CUDA_ARCH__)
    return __fmaf_rd(a, b, c);
#else
    return (float)std::floor((double)a * (double)b + (double)c);
#endif
}

FP4_HD u32 bytes_of(u32 a, u32 b, u32 selector) {
#if defined(__CUDA_ARCH__)
    return __byte_perm(a, b, selector);
#else
    const u64 both = (u64)b << 32 | a;
    u32 out = 0;
    for (int i = 0; i < 4; ++i) out |= (u32)((both >> (8 * ((selector >> (4 * i)) & 7))) & 0xFF) << (8 * i);
    return out;
#endif
}

// 2^23 (as bits) + floor(2^bits position), bits <= 20.
FP4_HD u32 position_bits(float scaled, int bits) {
    const float unit = (float)(1u << bits), base = 8388608.0f, m = fmin_num(scaled, 6.0f);
    const float first = fma_floor(m, 2.0f * unit, base), second = fma_floor(m, unit, base + 2.0f * unit);
    return least(bits_of(first), bits_of(second), bits_of(fma_floor(m, 0.5f * unit, base + 4.0f * unit)));
}

// At any number of bits: the carry of the fraction's top bits and the random word's.
FP4_HD u32 stochastic(float scaled, u32 word, u32 mask) {
    const float m = fmin_num(scaled, 6.0f), base = 8388608.0f;
    const float slope = m < 2.0f ? 2.0f : m < 4.0f ? 1.0f : 0.5f;
    const u32 start = m < 2.0f ? 0u : m < 4.0f ? 2u : 4u;
    const float position = mul(m, slope), whole = fma_floor(position, 1.0f, base);
    const float fraction = add(position, -add(whole, -base));  // exact
#if defined(__CUDA_ARCH__)
    const u32 bits = __float2uint_rz(mul(fraction, 4294967296.0f));
#else
    const u32 bits = (u32)((double)fraction * 4294967296.0);
#endif
    const u32 kept = bits & mask, carried = kept + (word & mask);
    return (bits_of(whole) & 7u) + start + (carried < kept ? 1u : 0u);
}

// The sign bits of elements 8 g .. 8 g + 7 where their nibbles want them.
FP4_HD u32 signs_of(const u32 (&words)[WORDS], int g) {
    u32 even, odd;  // the bytes that hold the signs of elements 0 2 4 6 and 1 3 5 7
    if (INPUT == 0) {
        const u32* w = words + 8 * g;
        even = bytes_of(bytes_of(w[0], w[2], 0x73u), bytes_of(w[4], w[6], 0x73u), 0x5410u);
        odd = bytes_of(bytes_of(w[1], w[3], 0x73u), bytes_of(w[5], w[7], 0x73u), 0x5410u);
    } else {
        const u32* w = words + 4 * g;
        const u32 low = bytes_of(w[0], w[1], 0x7351u), high = bytes_of(w[2], w[3], 0x7351u);
        even = bytes_of(low, high, 0x5410u);
        odd = bytes_of(low, high, 0x7632u);
    }
    return ((even >> 4) & 0x08080808u) | (odd & 0x80808080u);
}

// Four positions of 8-bit fractions plus four random bytes: the codes, a byte each. A byte's carry is the majority of its top
// bits and what the rest carries into them.
FP4_HD u32 round_bytes(u32 p0, u32 p1, u32 p2, u32 p3, u32 random) {
    const u32 a = bytes_of(p0, p1, 0x5140u), b = bytes_of(p2, p3, 0x5140u);
    const u32 fraction = bytes_of(a, b, 0x5410u), lower = bytes_of(a, b, 0x7632u);
    const u32 sum = (fraction & 0x7F7F7F7Fu) + (random & 0x7F7F7F7Fu);
    const u32 carry = (fraction & random) | ((fraction | random) & sum);
    return lower + ((carry >> 7) & 0x01010101u);
}

// Magnitude codes of elements 8 g .. 8 g + 7, a nibble each, by stochastic rounding; `first` is the block's first flat index.
template <class Scaled>
FP4_HD u32 pack_stochastic(Scaled&& scaled, int g, const Stream& stream, u64 first, const Words& shared) {
    u32 position[8];
    if (RANDOM == 8) {  // one call of Philox served 16 elements
#pragma unroll
        for (int j = 0; j < 8; ++j) position[j] = position_bits(scaled(j), 8);
        const u32 low = shared.w[2 * g % 4], high = shared.w[2 * g % 4 + 1];
        const u32 even = round_bytes(position[0], position[2], position[4], position[6], bytes_of(low, high, 0x6420u));
        const u32 odd = round_bytes(position[1], position[3], position[5], position[7], bytes_of(low, high, 0x7531u));
        return odd * 16u + even;
    }
    // The first 20 bits decide unless fraction and random bits add up to ones there: then, rarely, all bits are looked at.
    constexpr int bits = RANDOM > 20 ? 20 : RANDOM ? RANDOM : 1, unused = RANDOM ? 32 - RANDOM : 0;
    const Words drawn[2] = {philox((first >> 2) + 2 * g, stream), philox((first >> 2) + 2 * g + 1, stream)};
    u32 doubt = 0, codes = 0;
#pragma unroll
    for (int j = 0; j < 8; ++j) {
        position[j] = position_bits(scaled(j), bits) + (drawn[j / 4].w[j % 4] >> (32 - bits));
        const u32 rest = position[j] << (32 - bits);
        doubt = rest > doubt ? rest : doubt;
    }
    if (RANDOM > 20 && doubt >= 0xFFFFF000u) {
#pragma unroll  // an index known at run time would put the words in memory
        for (int j = 0; j < 8; ++j) codes |= stochastic(scaled(j), drawn[j / 4].w[j % 4], 0xFFFFFFFFu << unused) << (4 * j);
        return codes;
    }
    if (bits == 20) {  // bits 20-22 of a position are the code: the high nibble of its third byte
        const u32 even = bytes_of(bytes_of(position[0], position[2], 0x62u), bytes_of(position[4], position[6], 0x62u), 0x5410u);
        const u32 odd = bytes_of(bytes_of(position[1], position[3], 0x62u), bytes_of(position[5], position[7], 0x62u), 0x5410u);
        return ((even >> 4) & 0x07070707u) | (odd & 0x70707070u);
    }
#pragma unroll
    for (int j = 0; j < 8; ++j) codes |= ((position[j] >> bits) & 7u) << (4 * j);
    return codes;
}

// Codes of elements 8 g .. 8 g + 7.
FP4_HD u32 encode_group(const u32 (&words)[WORDS], int g, float factor, const Stream& stream, u64 first, const Words& shared) {
    const auto scaled = [&](int j) { return mul(magnitude_of(words, 8 * g + j), factor); };
    u32 codes;
    if (RANDOM == 0) codes = pack_nearest([&](int j) { return nearest_bits(scaled(j)); });
    else codes = pack_stochastic(scaled, g, stream, first, shared);
    return codes | signs_of(words, g);
}

// All codes of a block, 8 a word.
FP4_HD void encode_block(const u32 (&words)[WORDS], float factor, const Stream& stream, u64 first, u32 (&codes)[BLOCK / 8]) {
#pragma unroll
    for (int sixteen = 0; sixteen < BLOCK / 16; ++sixteen) {
        Words shared = {{0, 0, 0, 0}};
        if (RANDOM == 8) shared = philox((first >> 4) + sixteen, stream);
#pragma unroll
        for (int g = 2 * sixteen; g < 2 * sixteen + 2; ++g) codes[g] = encode_group(words, g, factor, stream, first, shared);
    }
}

}  // namespace fp4
