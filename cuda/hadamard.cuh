// The Walsh-Hadamard transform in registers, and NVFP4 quantization of what comes out of it. A thread holds sixteen elements,
// a block of NVFP4; n / 16 neighbours share a transform of n. The additions are those of fp4sim/kernels/reference/rotate.py:
// (a, b) becomes (fl(a + b), fl(a - b)) at distances 1, 2, 4 ... n / 2, whoever holds them.
#pragma once

#include "block16.cuh"

namespace fp4 {

struct Rotation {
    const u32* signs;  // bit i of entry t: element 16 t + i of the group is negated; entries of n / 16 threads, at least one
    u32 size, threads;
    float normalizer;
};

FP4_HD Rotation rotation_of(const u32* signs, i64 size, i64 normalizer) {
    return {signs, (u32)size, size > 16 ? (u32)size / 16 : 1, float_of((u32)normalizer)};
}

template <int distance>
FP4_HD void butterfly(float (&y)[16]) {
    FP4_UNROLL
    for (int i = 0; i < 16; ++i) {
        if (i & distance) continue;
        const float low = y[i], high = y[i + distance];
        y[i] = add(low, high);
        y[i + distance] = add(low, -high);
    }
}

#if defined(__CUDACC__) || defined(FP4_COOPERATIVE)

constexpr int RUN_THREADS = 256;

// The runs of one warp, together: every lane takes part in every exchange. live: whether the lane has a run of its own.
struct Runs {
    i64 run, runs, stride;
    u32 lane;

    __device__ __forceinline__ Runs(i64 runs_) : runs(runs_) {
        run = blockIdx.x * (i64)RUN_THREADS + threadIdx.x;
        stride = gridDim.x * (i64)RUN_THREADS;
        lane = threadIdx.x & 31;
    }
    __device__ __forceinline__ bool any() const { return run - lane < runs; }
    __device__ __forceinline__ bool live() const { return run < runs; }
};

// The signs of a lane's elements as they lie in memory: what flips them in a word.
template <Input type>
struct Flips {
    u32 word[Sixteen<type>::WORDS];

    __device__ __forceinline__ Flips(const Rotation& rotation, u32 lane, bool none = false) {
        const u32 signs = none ? 0 : rotation.signs[lane & (rotation.threads - 1)];
        FP4_UNROLL
        for (int i = 0; i < Sixteen<type>::WORDS; ++i) {
            word[i] = type == FP32 ? signs << (31 - i) & SIGN
                                   : (signs >> (2 * i) & 1u) << 15 | (signs >> (2 * i + 1) & 1u) << 31;
        }
    }
};

template <Input type>
__device__ __forceinline__ void read(const void* x, const Runs& at, const Flips<type>& flips, float (&y)[16]) {
    Sixteen<type> raw = {};
    if (at.live()) raw.load(x, at.run);
    FP4_UNROLL
    for (int i = 0; i < Sixteen<type>::WORDS; ++i) raw.word[i] ^= flips.word[i];
    FP4_UNROLL
    for (int i = 0; i < 16; ++i) y[i] = raw[i];
}

// Distance 16 d: a lane and the one d beside it. fma(y, 1, other) is fl(y + other), fma(y, -1, other) fl(other - y).
__device__ __forceinline__ void exchange_stage(float (&y)[16], u32 lane, int d) {
    const float sign = lane & d ? -1.0f : 1.0f;
    FP4_UNROLL
    for (int i = 0; i < 16; ++i) y[i] = fma_near(y[i], sign, __shfl_xor_sync(~0u, y[i], d));
}

// The sums and the normalizer; signs are the caller's. Every lane of the warp calls it.
__device__ __forceinline__ void rotate16(float (&y)[16], const Rotation& rotation, u32 lane) {
    butterfly<1>(y);
    if (rotation.size > 2) butterfly<2>(y);
    if (rotation.size > 4) butterfly<4>(y);
    if (rotation.size > 8) butterfly<8>(y);
    if (rotation.threads > 1) exchange_stage(y, lane, 1);
    if (rotation.threads > 2) exchange_stage(y, lane, 2);
    if (rotation.threads > 4) exchange_stage(y, lane, 4);
    if (rotation.threads > 8) exchange_stage(y, lane, 8);
    FP4_UNROLL
    for (int i = 0; i < 16; ++i) y[i] = mul(y[i], rotation.normalizer);
}

// Factors of E4M3 block scales under a tensor's S_dec, by code (fp4sim/dialects/te.py).
struct FactorTable {
    float* factor;

    __device__ __forceinline__ void fill(float decode) const {
        if (threadIdx.x < 128) factor[threadIdx.x] = fmin_num(div(1.0f, mul(e4m3_value(threadIdx.x), decode)), FLT_MAX_);
        __syncthreads();
    }
};

#endif

FP4_HD float amax16(const float (&y)[16]) {
    float most = 0.0f;
    FP4_UNROLL
    for (int i = 0; i < 16; ++i) most = larger_magnitude(most, y[i]);
    return most;
}

// The same by bits, above Inf's where one is NaN.
FP4_HD u32 amax16_bits(const float (&y)[16]) {
    u32 most = 0;
    FP4_UNROLL
    for (int i = 0; i < 16; ++i) {
        const u32 bits = bits_of(y[i]) & MAGNITUDE;
        most = bits > most ? bits : most;
    }
    return most;
}

// Codes of a block under a factor, eight to a word; z: scaled magnitudes, r: their values on the grid. An anchor six units
// higher than nearest_e2m1's leaves the code in the last three bits of the sum of its bits and its exponent's.
FP4_HD u64 encode16(const float (&y)[16], float factor, float (&z)[16], float (&r)[16]) {
    u32 half[2] = {0, 0};
    FP4_UNROLL
    for (int i = 15; i >= 0; --i) {
        z[i] = mul(magnitude(y[i]), factor);
        const float a = fmin_num(z[i], 6.0f), anchor = float_of(bits_of(fmax_num(a, 1.0f)) & INF_BITS);
        const float moved = fma_near(anchor, 4194307.0f, a);
        r[i] = fma_near(anchor, -4194307.0f, moved);
        const u32 sum = bits_of(moved) + (bits_of(moved) >> 22);
        half[i / 8] = half[i / 8] << 4 | (sum & 7u) | (bits_of(y[i]) >> 28 & 8u);
    }
    return (u64)half[1] << 32 | half[0];
}

FP4_HD double halved_lanes(const double (&s)[16]) {
    const double even = ((s[0] + s[8]) + (s[4] + s[12])) + ((s[2] + s[10]) + (s[6] + s[14]));
    const double odd = ((s[1] + s[9]) + (s[5] + s[13])) + ((s[3] + s[11]) + (s[7] + s[15]));
    return even + odd;
}

// S of fp4sim/estimators/eden.py: <z, z> / <z, r> of sixteen elements, the sums by halving. A product is exact, so one fma
// adds two of them with one rounding.
FP4_HD double halved(const float (&a)[16], const float (&b)[16]) {
    double s[8];
    FP4_UNROLL
    for (int i = 0; i < 8; ++i) {
        s[i] = fma_near((double)a[i + 8], (double)b[i + 8], (double)a[i] * (double)b[i]);
    }
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

FP4_HD float eden_correction(const float (&z)[16], const float (&r)[16]) {
    const double square = halved(z, z), product = halved(z, r);
    const bool usable = product > 0.0 && square <= 1.7976931348623157e308;
    return usable ? (float)(square / product) : 1.0f;
}

}  // namespace fp4
