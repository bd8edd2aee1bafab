// The Walsh-Hadamard transform in registers, and NVFP4 quantization of what comes out of it. A thread holds sixteen elements,
// a block of NVFP4; n / 16 neighbours share a transform of n. The additions are those of fp4sim/kernels/reference/rotate.py:
// (a, b) becomes (fl(a + b), fl(a - b)) at distances 1, 2, 4 ... n / 2, whoever holds them.
#pragma once

#include "packed16.cuh"

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

// What a block of that scale is multiplied by (fp4sim/dialects/te.py).
FP4_HD float block_factor(u32 scale, float decode) { return fmin_num(div(1.0f, mul(e4m3_value(scale), decode)), FLT_MAX_); }

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

// The signs of a lane's elements, in one register, and how they flip what lies in memory.
template <Input type>
struct Flips {
    u32 signs;  // of halves: element 2 i's in bit 15 - i, element 2 i + 1's in bit 31 - i

    __device__ __forceinline__ Flips(const Rotation& rotation, u32 lane, bool none = false) {
        const u32 plain = none ? 0 : rotation.signs[lane & (rotation.threads - 1)];
        signs = type == FP32 ? plain : 0;
        FP4_UNROLL
        for (int i = 0; i < 8 && type != FP32; ++i) {
            signs |= (plain >> (2 * i) & 1u) << (15 - i) | (plain >> (2 * i + 1) & 1u) << (31 - i);
        }
    }
    __device__ __forceinline__ void flip(u32 (&word)[Sixteen<type>::WORDS]) const {
        const u32 now = not_known(signs);  // or a compiler keeps all words of them through a loop
        FP4_UNROLL
        for (int i = 0; i < Sixteen<type>::WORDS; ++i) {
            word[i] ^= type == FP32 ? now << (31 - i) & SIGN : now << i & 0x80008000u;
        }
    }
};

template <Input type>
__device__ __forceinline__ void read(const void* x, const Runs& at, const Flips<type>& flips, float (&y)[16]) {
    Sixteen<type> raw = {};
    if (at.live()) raw.load(x, at.run);
    flips.flip(raw.word);
    FP4_UNROLL
    for (int i = 0; i < 16; ++i) y[i] = raw[i];
}

// Distance 16 d: a lane and the one d beside it. fma(y, 1, other) is fl(y + other), fma(y, -1, other) fl(other - y).
__device__ __forceinline__ void exchange_stage(float (&y)[16], u32 lane, int d) {
    const float sign = lane & d ? -1.0f : 1.0f;
    FP4_UNROLL
    for (int i = 0; i < 16; ++i) y[i] = fma_near(y[i], sign, __shfl_xor_sync(~0u, y[i], d));
}

// The sums; signs and the normalizer are the caller's. Every lane of the warp calls it.
__device__ __forceinline__ void sums16(float (&y)[16], const Rotation& rotation, u32 lane) {
    if (rotation.size > 8) {
        butterfly<1>(y);
        butterfly<2>(y);
        butterfly<4>(y);
        butterfly<8>(y);
    } else {
        butterfly<1>(y);
        if (rotation.size > 2) butterfly<2>(y);
        if (rotation.size > 4) butterfly<4>(y);
    }
    if (rotation.threads > 1) exchange_stage(y, lane, 1);
    if (rotation.threads > 2) exchange_stage(y, lane, 2);
    if (rotation.threads > 4) exchange_stage(y, lane, 4);
    if (rotation.threads > 8) exchange_stage(y, lane, 8);
}

__device__ __forceinline__ void rotate16(float (&y)[16], const Rotation& rotation, u32 lane) {
    sums16(y, rotation, lane);
    FP4_UNROLL
    for (int i = 0; i < 16; ++i) y[i] = mul(y[i], rotation.normalizer);
}

// Factors of E4M3 block scales under a tensor's S_dec, by code, as Quick16 takes them.
struct FactorTable {
    float* factor;

    __device__ __forceinline__ void fill(float decode) const {
        if (threadIdx.x < 128) factor[threadIdx.x] = unit_factor(block_factor(threadIdx.x, decode));
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

}  // namespace fp4
