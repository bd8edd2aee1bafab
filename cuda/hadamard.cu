// Rotations of rows, alone and fused with NVFP4 quantization under a given tensor scale (hadamard.cuh). One thread a run of
// sixteen elements; `runs` of them lie one after the other, so that groups of n and blocks of 16 are whole.
#include "hadamard.cuh"

using namespace fp4;

namespace {

template <Input type>
__device__ __forceinline__ void rotate(
    const void* x, float* out, i64 runs, const u32* signs, i64 size, i64 normalizer, i64 inverse) {
    const Rotation rotation = rotation_of(signs, size, normalizer);
    for (Runs at(runs); at.any(); at.run += at.stride) {
        float y[16];
        read<type>(x, at, y);
        rotate16(y, rotation, at.lane, inverse != 0);
        if (!at.live()) continue;
        FP4_UNROLL
        for (int i = 0; i < 4; ++i) {
            ((float4*)out)[at.run * 4 + i] = make_float4(y[4 * i], y[4 * i + 1], y[4 * i + 2], y[4 * i + 3]);
        }
    }
}

// The bits of the largest magnitude, into `amax`: above those of Inf where a sum is NaN.
template <Input type>
__device__ __forceinline__ void rotated_amax(const void* x, u32* amax, i64 runs, const u32* signs, i64 size, i64 normalizer) {
    const Rotation rotation = rotation_of(signs, size, normalizer);
    u32 most = 0;
    for (Runs at(runs); at.any(); at.run += at.stride) {
        float y[16];
        read<type>(x, at, y);
        rotate16(y, rotation, at.lane, false);
        const u32 here = bits_of(amax16(y));
        most = here > most ? here : most;
    }
    most = __reduce_max_sync(~0u, most);
    if (!(threadIdx.x & 31)) atomicMax(amax, most);
}

// packed: eight bytes a block; scales: one. multiplier, decode: bits of fl(S_enc fl(1/v)) and S_dec.
template <Input type>
__device__ __forceinline__ void rotate_quantize(
    const void* x, u64* packed, u8* scales, i64 runs, const u32* signs, i64 size, i64 normalizer, i64 multiplier, i64 decode) {
    const Rotation rotation = rotation_of(signs, size, normalizer);
    for (Runs at(runs); at.any(); at.run += at.stride) {
        float y[16];
        read<type>(x, at, y);
        rotate16(y, rotation, at.lane, false);
        if (!at.live()) continue;
        Quantized q;
        quantize16(y, float_of((u32)multiplier), float_of((u32)decode), q);
        packed[at.run] = q.packed;
        scales[at.run] = (u8)q.scale;
    }
}

}  // namespace

#define ROTATIONS(suffix, type)                                                                                            \
    extern "C" __global__ void __launch_bounds__(RUN_THREADS) rotate_##suffix(                                                 \
        const void* x, float* out, i64 runs, const u32* signs, i64 size, i64 normalizer, i64 inverse) {                    \
        rotate<type>(x, out, runs, signs, size, normalizer, inverse);                                                      \
    }                                                                                                                      \
    extern "C" __global__ void __launch_bounds__(RUN_THREADS) rotated_amax_##suffix(                                           \
        const void* x, u32* amax, i64 runs, const u32* signs, i64 size, i64 normalizer) {                                  \
        rotated_amax<type>(x, amax, runs, signs, size, normalizer);                                                        \
    }                                                                                                                      \
    extern "C" __global__ void __launch_bounds__(RUN_THREADS) rotate_quantize_##suffix(                                        \
        const void* x, u64* packed, u8* scales, i64 runs, const u32* signs, i64 size, i64 normalizer, i64 multiplier,      \
        i64 decode) {                                                                                                      \
        rotate_quantize<type>(x, packed, scales, runs, signs, size, normalizer, multiplier, decode);                       \
    }
ROTATIONS(bf16, BF16)
ROTATIONS(fp16, FP16)
ROTATIONS(fp32, FP32)
