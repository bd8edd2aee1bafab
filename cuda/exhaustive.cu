// E2M1 encoding over a range of all 2^32 float32 patterns, against thresholds that the host made from the format's definition.
#define INPUT 0
#define BLOCK 16
#define SCALES 0
#define RANDOM 0
#include "block.cuh"

using namespace fp4;

// thresholds: 7 floats, the code is at least k where not (|x| < thresholds[k - 1]) (fp4sim/rounding.py). counts: [0] mismatches of
// the general encoder, [1] of the fused kernels' (finite patterns), [2 + code] how often each of 16 codes occurred.
extern "C" __global__ void encode_every_float(const float* thresholds, u64* counts, i64 first, i64 patterns) {
    const i64 thread = blockIdx.x * (i64)blockDim.x + threadIdx.x, threads = (i64)gridDim.x * blockDim.x;
    constexpr Format format = E2M1;  // copies: device code may use a host constant's value, but not refer to it
    constexpr Cast nearest = NEAREST;
    u64 seen[16] = {}, general = 0, fused = 0;
    for (i64 i = thread; i < patterns; i += threads) {
        const u32 bits = (u32)(first + i), magnitude = bits & MAGNITUDE;
        u32 expected = 0;
        for (int k = 0; k < 7; ++k) expected += !(float_of(magnitude) < thresholds[k]);
        if (!is_nan(bits)) expected |= bits >> 31 << 3;
        for (u32 code = 0; code < 16; ++code) seen[code] += expected == code;
        general += encode(bits, format, nearest) != expected;
        if (magnitude < INF_BITS) fused += (nearest_bits(float_of(magnitude)) - MAGIC_BITS) != (expected & 7u);
    }
    for (int code = 0; code < 16; ++code)
        if (seen[code]) {
#if defined(__CUDA_ARCH__)
            atomicAdd(counts + 2 + code, seen[code]);
#else
            counts[2 + code] += seen[code];
#endif
        }
#if defined(__CUDA_ARCH__)
    if (general) atomicAdd(counts, general);
    if (fused) atomicAdd(counts + 1, fused);
#else
    counts[0] += general;
    counts[1] += fused;
#endif
}
