// How a fused kernel finds a block's scale and codes. Macros besides block.cuh's:
//   TILE    1: 16x16 tiles, a thread a row of a tile; 0: row blocks, a thread a block
//   ADAPT   four over six (1 mse, 2 mae, 3 absmax) or not (0)
#pragma once

#include "block.cuh"

namespace fp4 {

// Where thread i's block lies: its index in row-major order of blocks.
FP4_HD i64 block_of(i64 i, i64 blocks_per_row) {
    if (!TILE) return i;
    const i64 tile = i / 16;
    return (tile / blocks_per_row * 16 + i % 16) * blocks_per_row + tile % blocks_per_row;
}

#if TILE
// The maximum of a tile's 16 rows, which 16 neighbouring lanes hold.
FP4_HD float tile_maximum(const void* x, i64 tile, i64 blocks_per_row, float own) {
#if defined(__CUDA_ARCH__)
    u32 most = bits_of(own);
#pragma unroll
    for (int distance = 1; distance < 16; distance *= 2) {
        const u32 other = __shfl_xor_sync(0xFFFFFFFFu, most, distance);
        most = other > most ? other : most;
    }
    return float_of(most);
#else
    u32 most = bits_of(own);
    for (int row = 0; row < 16; ++row) {
        u32 words[WORDS];
        load_block(x, (tile / blocks_per_row * 16 + row) * blocks_per_row + tile % blocks_per_row, words);
        const u32 other = bits_of(block_maximum(words));
        most = other > most ? other : most;
    }
    return float_of(most);
#endif
}
#endif

#if ADAPT
// The error of an encoding of 16 elements in the exact order of fp4sim/kernels/reference/choose.py. NEAR: see near_divisor.
template <bool NEAR>
FP4_HD float encoding_error(const u32 (&words)[WORDS], const u32 (&codes)[BLOCK / 8], float scale, const float* numbers) {
    const float group = numbers[2], reach = numbers[3], inverse = numbers[5];
    float sum = 0.0f;
#pragma unroll
    for (int j = 0; j < 16; ++j) {
        // signs of x and code agree, so the difference of magnitudes is the magnitude of the difference
        const u32 code = (codes[j / 8] >> (4 * (j % 8))) & 7u;
        const float value = code < 2u ? 0.5f * (float)(int)code : float_of((code << 22) + (126u << 23));
        const float product = mul(mul(value, scale), group);
        const float quotient = NEAR ? near_quotient(product, reach, inverse) : div(product, reach);
        float d = add(quotient, -magnitude_of(words, j));
        d = float_of(bits_of(d) & MAGNITUDE);
        if (ADAPT == 3) sum = d > sum ? d : sum;
        else sum = add(sum, ADAPT == 1 ? mul(d, d) : d);
    }
    return sum;
}
#endif

struct Encoded {
    Scale scale;
    u32 codes[BLOCK / 8];
};

// Scale and codes of thread i's block. numbers: te: fl(S_enc c), S_dec, and for ADAPT S_enc, S_dec, the group's amax (or decode
// multiplier), what that is over, and near_divisor's answer at [5]; E8M0: fl(1/max), shrink. flag: set to 1 where there is NaN or Inf, or the scale is NaN.
FP4_HD Encoded encode_with_scale(
    const u32 (&words)[WORDS], const void* x, const float* numbers, u32* flag, i64 i, i64 blocks_per_row, const Stream& stream) {
    Encoded best;
    float amax = block_maximum(words);
    if (bits_of(amax) >= INF_BITS) *flag = 1u;
#if TILE
    amax = tile_maximum(x, i / 16, blocks_per_row, amax);
#endif
#if ADAPT
    const float base = mul(div(amax, 6.0f), numbers[0]);
    Encoded four;
    best.scale = te_scale(base, numbers[1]);
    four.scale = te_scale(mul(base, 1.5f), numbers[1]);
    encode_block(words, best.scale.factor, stream, 0, best.codes);
    encode_block(words, four.scale.factor, stream, 0, four.codes);
    float six_error, four_error;
    if (numbers[5] != 0.0f) {
        six_error = encoding_error<true>(words, best.codes, best.scale.value, numbers);
        four_error = encoding_error<true>(words, four.codes, four.scale.value, numbers);
    } else {
        six_error = encoding_error<false>(words, best.codes, best.scale.value, numbers);
        four_error = encoding_error<false>(words, four.codes, four.scale.value, numbers);
    }
    if (four_error < six_error) best = four;
#else
    best.scale = SCALES == TE ? te_scale(mul(amax, numbers[0]), numbers[1]) : mx_scale(amax, numbers[0], numbers[1]);
    if (SCALES != TE && best.scale.code == 255u) *flag = 1u;
    encode_block(words, best.scale.factor, stream, (u64)block_of(i, blocks_per_row) * BLOCK, best.codes);
#endif
    return best;
}

}  // namespace fp4
