// The tensor's amax, and what te's scale stage and a stored tensor scale come to from it: nothing returns to the host between.
#include "codec.cuh"

using namespace fp4;

// most: 0 on entry, the largest magnitude as float32 bits on exit (NaN is largest). quads: whole 16-byte groups of the data,
// tail: bytes after them. INPUT: 0 float32, 1 bfloat16, 2 float16. Grid-stride; UNROLL loads in flight.
extern "C" __global__ void __launch_bounds__(256) tensor_amax(const void* __restrict__ x, u32* most, i64 quads, i64 tail) {
    const i64 threads = (i64)gridDim.x * blockDim.x, thread = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    const u32* words = (const u32*)x;
    u32 found = 0;  // of float32 magnitudes, or of pairs of 16-bit ones
    const auto take = [&](u32 word) {
#if INPUT == 0
        const u32 magnitude = word & MAGNITUDE;
        found = magnitude > found ? magnitude : found;
#elif defined(__CUDA_ARCH__)
        found = __vmaxu2(found, word & 0x7FFF7FFFu);
#else
        const u32 low = word & 0x7FFFu, high = word & 0x7FFF0000u;
        found = ((found & 0xFFFFu) > low ? found & 0xFFFFu : low) | ((found & 0xFFFF0000u) > high ? found & 0xFFFF0000u : high);
#endif
    };
    for (i64 first = thread; first < quads; first += threads * UNROLL) {
        u32 w[UNROLL][4];
#pragma unroll
        for (int u = 0; u < UNROLL; ++u) {
            const i64 q = first + u * threads;
#if defined(__CUDA_ARCH__)
            const uint4 loaded = q < quads ? __ldg((const uint4*)x + q) : make_uint4(0, 0, 0, 0);
            w[u][0] = loaded.x, w[u][1] = loaded.y, w[u][2] = loaded.z, w[u][3] = loaded.w;
#else
            for (int j = 0; j < 4; ++j) w[u][j] = q < quads ? words[4 * q + j] : 0u;
#endif
        }
#pragma unroll
        for (int u = 0; u < UNROLL; ++u)
            for (int j = 0; j < 4; ++j) take(w[u][j]);
    }
    if (thread == 0) {
        const i64 size = INPUT == 0 ? 4 : 2;
        for (i64 byte = 16 * quads; byte < 16 * quads + tail; byte += size)
            take(INPUT == 0 ? words[byte / 4] : (u32)((const u16*)x)[byte / 2]);
    }
#if INPUT != 0
    found = (found >> 16) > (found & 0xFFFFu) ? found >> 16 : found & 0xFFFFu;
    found = INPUT == 1 ? widen_bf16(found) : widen_fp16(found);
#endif
#if defined(__CUDA_ARCH__)
    for (int distance = 16; distance; distance /= 2) {
        const u32 other = __shfl_xor_sync(0xFFFFFFFFu, found, distance);
        found = other > found ? other : found;
    }
    if (threadIdx.x % 32 == 0) atomicMax(most, found);
#else
    if (found > *most) *most = found;
#endif
}

// numbers[0..5] of scheme.cuh from the amax, in the order of fp4sim/dialects/operations.py (te). inverse: fl(1/v); reach: what amax
// maps to. adapt: four over six reads S_enc, S_dec, amax, reach.
extern "C" __global__ void te_numbers(const u32* most, float* numbers, i64 reach_bits, i64 inverse_bits, i64 adapt) {
    const float amax = float_of(*most), reach = float_of((u32)reach_bits), inverse = float_of((u32)inverse_bits);
    float encode = fmin_num(div(reach, amax), FLT_MAX_);
    if (amax == 0.0f || encode == 0.0f) encode = 1.0f;
    numbers[0] = adapt ? encode : mul(encode, inverse);
    numbers[1] = div(1.0f, encode);
    numbers[2] = amax;
    numbers[3] = reach;
    numbers[4] = amax == 0.0f ? 1.0f : div(amax, reach);
    numbers[5] = near_divisor(reach, amax);
}
