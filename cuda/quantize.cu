// Fused quantization: block maximum, scale and codes in one pass over the data. Compiled for the macros of scheme.cuh and block.cuh.
#include "scheme.cuh"

using namespace fp4;

// packed: two codes a byte; scales: a byte a block or tile. blocks: threads with work, a multiple of 32 under TILE, where lanes
// shuffle; UNROLL blocks a thread, whose loads are all started first.
extern "C" __global__ void __launch_bounds__(256) quantize(
    const void* __restrict__ x, u32* __restrict__ packed, u8* __restrict__ scales, const float* __restrict__ numbers,
    u32* flag, i64 blocks, i64 blocks_per_row, i64 key0, i64 key1, i64 name, i64 draw) {
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
        const i64 block = block_of(i, blocks_per_row);
        const Encoded e = encode_with_scale(words[u], x, numbers, flag, i, blocks_per_row, stream);
        u32* out = packed + block * (BLOCK / 8);
#if defined(__CUDA_ARCH__)
        if (BLOCK == 16) *(uint2*)out = make_uint2(e.codes[0], e.codes[1]);
        else *(uint4*)out = make_uint4(e.codes[0], e.codes[1], e.codes[2 % (BLOCK / 8)], e.codes[3 % (BLOCK / 8)]);
#else
        for (int g = 0; g < BLOCK / 8; ++g) out[g] = e.codes[g];
#endif
        if (!TILE || i % 16 == 0) scales[TILE ? i / 16 : block] = (u8)e.scale.code;
    }
}
