// Fused quantize-dequantize: what the codes mean, in the input's own dtype, in one pass. Macros as for quantize.cu.
#include "scheme.cuh"

using namespace fp4;

namespace {

FP4_HD float e2m1_value(u32 code) { return code < 2u ? 0.5f * (float)(int)code : float_of((code << 22) + (126u << 23)); }

// Two products v0 t and v1 t, each rounded once to the input's 16-bit dtype, v0 low: exact, because float32 rounded to odd keeps
// what the second rounding needs. SMALL: below 2^-100 the rest of a product could vanish, so that is done in float64.
template <bool SMALL>
FP4_HD u32 narrow_products(float v0, float v1, float stored) {
    u32 bits[2];
    const float v[2] = {v0, v1};
#pragma unroll
    for (int i = 0; i < 2; ++i) {
#if defined(__CUDA_ARCH__)
        if (!SMALL) {
            const float cut = __fmul_rz(v[i], stored);
            bits[i] = bits_of(cut) | (fma_near(v[i], stored, -cut) != 0.0f ? 1u : 0u);
            continue;
        }
#endif
        bits[i] = float_to_odd((double)v[i] * (double)stored);
    }
#if defined(__CUDA_ARCH__)
    u32 pair;
    if (INPUT == 1) asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(float_of(bits[1])), "f"(float_of(bits[0])));
    else asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(float_of(bits[1])), "f"(float_of(bits[0])));
    return pair;
#else
    return INPUT == 1 ? narrow_bf16(bits[0]) | narrow_bf16(bits[1]) << 16 : narrow_fp16(bits[0]) | narrow_fp16(bits[1]) << 16;
#endif
}

// 16-bit values of 8 codes: a table of the block's eight magnitudes in four registers, read a byte lane at a time.
struct Table {
    u32 low[2], high[2];  // bytes of values 0-3 and 4-7

    FP4_HD Table(float scale, float stored) {
        if (mul(0.5f * scale, stored) >= 0x1p-99f || scale == 0.0f) fill<false>(scale, stored);
        else fill<true>(scale, stored);
    }

    template <bool SMALL>
    FP4_HD void fill(float scale, float stored) {
#pragma unroll
        for (u32 half = 0; half < 2; ++half) {
            u32 pair[2];
#pragma unroll
            for (u32 p = 0; p < 2; ++p) {
                const u32 code = 4 * half + 2 * p;  // the value times the scale is exact in float32
                pair[p] = narrow_products<SMALL>(mul(e2m1_value(code), scale), mul(e2m1_value(code + 1), scale), stored);
            }
            low[half] = bytes_of(pair[0], pair[1], 0x6420u);
            high[half] = bytes_of(pair[0], pair[1], 0x7531u);
        }
    }

    FP4_HD void read(u32 codes, u32 (&pairs)[4]) const {  // of 8 codes
        const u32 magnitudes = codes & 0x77777777u;
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const u32 selector = half ? magnitudes >> 16 : magnitudes;
            const u32 l = bytes_of(low[0], low[1], selector), h = bytes_of(high[0], high[1], selector);
            pairs[2 * half] = bytes_of(l, h, 0x5140u);
            pairs[2 * half + 1] = bytes_of(l, h, 0x7362u);
        }
    }
};

}  // namespace

// numbers: as encode_with_scale reads them, then at [4] the stored tensor scale.
extern "C" __global__ void __launch_bounds__(256) fake_quant(
    const void* __restrict__ x, u32* __restrict__ out, const float* __restrict__ numbers, u32* flag, i64 blocks,
    i64 blocks_per_row, i64 key0, i64 key1, i64 name, i64 draw) {
    const Stream stream{(u32)key0, (u32)key1, (u32)name, (u32)draw};
    const i64 start = (i64)blockIdx.x * blockDim.x * UNROLL + threadIdx.x;
    u32 words[UNROLL][WORDS];
#pragma unroll
    for (int u = 0; u < UNROLL; ++u) {
        const i64 i = start + u * (i64)blockDim.x;
        if (i < blocks) load_block(x, block_of(i, blocks_per_row), words[u]);
    }
#pragma unroll
    for (int u = 0; u < UNROLL; ++u) {
        const i64 i = start + u * (i64)blockDim.x;
        if (i >= blocks) return;
        const Encoded e = encode_with_scale(words[u], x, numbers, flag, i, blocks_per_row, stream);
        u32 values[WORDS];
#if INPUT == 0
#pragma unroll
        for (int j = 0; j < BLOCK; ++j) {
            const u32 code = (e.codes[j / 8] >> (4 * (j % 8))) & 7u;
            values[j] = bits_of(mul(mul(e2m1_value(code), e.scale.value), numbers[4])) | (words[u][j] & SIGN);
        }
#else
        const Table table(e.scale.value, numbers[4]);
#pragma unroll
        for (int g = 0; g < BLOCK / 8; ++g) {
            u32 pairs[4];
            table.read(e.codes[g], pairs);
#pragma unroll
            for (int p = 0; p < 4; ++p) values[4 * g + p] = pairs[p] | (words[u][4 * g + p] & 0x80008000u);
        }
#endif
        u32* target = out + block_of(i, blocks_per_row) * WORDS;
#pragma unroll
        for (int q = 0; q < WORDS / 4; ++q) {
#if defined(__CUDA_ARCH__)
            ((uint4*)target)[q] = make_uint4(values[4 * q], values[4 * q + 1], values[4 * q + 2], values[4 * q + 3]);
#else
            for (int w = 4 * q; w < 4 * q + 4; ++w) target[w] = values[w];
#endif
        }
    }
}
