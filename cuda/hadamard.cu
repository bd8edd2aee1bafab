// Rotations of rows, alone and fused with NVFP4 quantization under a given tensor scale (hadamard.cuh). One thread a run of
// sixteen elements; `runs` of them lie one after the other, so that groups of n and blocks of 16 are whole.
#include "hadamard.cuh"

using namespace fp4;

namespace {

template <Input type>
__device__ __forceinline__ void rotate(
    const void* x, float* out, i64 runs, const u32* signs, i64 size, i64 normalizer, i64 inverse) {
    const Rotation rotation = rotation_of(signs, size, normalizer);
    const u32 lane = threadIdx.x & 31;
    const Flips<type> before(rotation, lane, inverse != 0);
    const Flips<FP32> after(rotation, lane, inverse == 0);
    for (Runs at(runs); at.any(); at.run += at.stride) {
        float y[16];
        read(x, at, before, y);
        rotate16(y, rotation, lane);
        if (!at.live()) continue;
        u32 bits[16];
        FP4_UNROLL
        for (int i = 0; i < 16; ++i) bits[i] = bits_of(y[i]);
        after.flip(bits);
        FP4_UNROLL
        for (int i = 0; i < 4; ++i) {
            ((uint4*)out)[at.run * 4 + i] = make_uint4(bits[4 * i], bits[4 * i + 1], bits[4 * i + 2], bits[4 * i + 3]);
        }
    }
}

// The bits of the largest magnitude, into `amax`: above those of Inf where a sum is NaN.
template <Input type>
__device__ __forceinline__ void rotated_amax(const void* x, u32* amax, i64 runs, const u32* signs, i64 size, i64 normalizer) {
    const Rotation rotation = rotation_of(signs, size, normalizer);
    const u32 lane = threadIdx.x & 31;
    const Flips<type> flips(rotation, lane);
    float most = 0.0f;
    for (Runs at(runs); at.any(); at.run += at.stride) {
        float y[16];
        read(x, at, flips, y);
        sums16(y, rotation, lane);
        FP4_UNROLL
        for (int i = 0; i < 16; ++i) most = larger_magnitude_or_nan(most, y[i]);
    }
    // Rounding keeps the order, so that the normalizer may come last.
    const u32 bits = __reduce_max_sync(~0u, bits_of(mul(most, rotation.normalizer)));
    if (lane == 0) atomicMax(amax, bits);
}

// packed: eight bytes a block; scales: one. multiplier, decode: bits of fl(S_enc fl(1/v)) and S_dec.
template <Input type>
__device__ __forceinline__ void rotate_quantize(
    const void* x, u64* packed, u8* scales, i64 runs, const u32* signs, i64 size, i64 normalizer, i64 multiplier, i64 decode) {
    __shared__ float factor[128];
    const FactorTable table{factor};
    table.fill(float_of((u32)decode));
    const Rotation rotation = rotation_of(signs, size, normalizer);
    const u32 lane = threadIdx.x & 31;
    const Flips<type> flips(rotation, lane);
    for (Runs at(runs); at.any(); at.run += at.stride) {
        float y[16], z[16], r[16];
        read(x, at, flips, y);
        rotate16(y, rotation, lane);
        if (!at.live()) continue;
        const u32 scale = nearest_e4m3(fmin_num(mul(amax16(y), float_of((u32)multiplier)), FLT_MAX_));
        const float unit = factor[scale];
        packed[at.run] = unit == unit ? Quick16(y, unit).codes : encode16(y, block_factor(scale, float_of((u32)decode)), z, r);
        scales[at.run] = (u8)scale;
    }
}

}  // namespace

#define ROTATIONS(suffix, type)                                                                                            \
    extern "C" __global__ void __launch_bounds__(RUN_THREADS) rotate_##suffix(                                             \
        const void* x, float* out, i64 runs, const u32* signs, i64 size, i64 normalizer, i64 inverse) {                    \
        rotate<type>(x, out, runs, signs, size, normalizer, inverse);                                                      \
    }                                                                                                                      \
    extern "C" __global__ void __launch_bounds__(RUN_THREADS) rotated_amax_##suffix(                                       \
        const void* x, u32* amax, i64 runs, const u32* signs, i64 size, i64 normalizer) {                                  \
        rotated_amax<type>(x, amax, runs, signs, size, normalizer);                                                        \
    }                                                                                                                      \
    extern "C" __global__ void __launch_bounds__(RUN_THREADS) rotate_quantize_##suffix(                                    \
        const void* x, u64* packed, u8* scales, i64 runs, const u32* signs, i64 size, i64 normalizer, i64 multiplier,      \
        i64 decode) {                                                                                                      \
        rotate_quantize<type>(x, packed, scales, runs, signs, size, normalizer, multiplier, decode);                       \
    }
ROTATIONS(bf16, BF16)
ROTATIONS(fp16, FP16)
ROTATIONS(fp32, FP32)
