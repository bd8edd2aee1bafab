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

__device__ __forceinline__ void negate(float (&y)[16], u32 signs) {
    FP4_UNROLL
    for (int i = 0; i < 16; ++i) y[i] = float_of(bits_of(y[i]) ^ (signs << (31 - i) & SIGN));
}

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

template <Input type>
__device__ __forceinline__ void read(const void* x, const Runs& at, float (&y)[16]) {
    Sixteen<type> raw = {};
    if (at.live()) raw.load(x, at.run);
    FP4_UNROLL
    for (int i = 0; i < 16; ++i) y[i] = raw[i];
}

// Every lane of the warp calls it.
__device__ __forceinline__ void rotate16(float (&y)[16], const Rotation& rotation, u32 lane, bool inverse) {
    const u32 signs = rotation.signs[lane & (rotation.threads - 1)];
    if (!inverse) negate(y, signs);
    butterfly<1>(y);
    if (rotation.size > 2) butterfly<2>(y);
    if (rotation.size > 4) butterfly<4>(y);
    if (rotation.size > 8) butterfly<8>(y);
    for (u32 d = 1; d < rotation.threads; d *= 2) {
        const bool upper = lane & d;
        FP4_UNROLL
        for (int i = 0; i < 16; ++i) {
            const float other = __shfl_xor_sync(~0u, y[i], d);
            y[i] = add(other, upper ? -y[i] : y[i]);
        }
    }
    FP4_UNROLL
    for (int i = 0; i < 16; ++i) y[i] = mul(y[i], rotation.normalizer);
    if (inverse) negate(y, signs);
}

#endif

FP4_HD float amax16(const float (&y)[16]) {
    u32 most = 0;
    FP4_UNROLL
    for (int i = 0; i < 16; ++i) {
        const u32 bits = bits_of(y[i]) & MAGNITUDE;
        most = bits > most ? bits : most;
    }
    return float_of(most);
}

// A block under Transformer Engine's arithmetic (fp4sim/dialects/te.py): multiplier is fl(S_enc fl(1/v)), decode S_dec. z: the
// scaled magnitudes, r their values on the grid.
struct Quantized {
    float z[16], r[16], value;  // of the block scale
    u32 scale;
    u64 packed;
};

FP4_HD void quantize16(const float (&y)[16], float multiplier, float decode, Quantized& out) {
    out.scale = nearest_e4m3(fmin_num(mul(amax16(y), multiplier), FLT_MAX_));
    out.value = e4m3_value(out.scale);
    const float factor = fmin_num(div(1.0f, mul(out.value, decode)), FLT_MAX_);
    u32 half[2] = {0, 0};
    FP4_UNROLL
    for (int i = 0; i < 16; ++i) {
        out.z[i] = mul(float_of(bits_of(y[i]) & MAGNITUDE), factor);
        out.r[i] = nearest_e2m1(fmin_num(out.z[i], 6.0f));
        const u32 code = e2m1_code(out.r[i]) | (bits_of(y[i]) >> 28 & 8u);
        half[i / 8] |= code << (4 * (i % 8));
    }
    out.packed = (u64)half[1] << 32 | half[0];
}

FP4_HD double halved_lanes(const double (&s)[16]) {
    const double even = ((s[0] + s[8]) + (s[4] + s[12])) + ((s[2] + s[10]) + (s[6] + s[14]));
    const double odd = ((s[1] + s[9]) + (s[5] + s[13])) + ((s[3] + s[11]) + (s[7] + s[15]));
    return even + odd;
}

// S of fp4sim/estimators/eden.py: <z, z> / <z, q> of sixteen elements, the sums by halving. A product is exact, so one fma
// adds two of them with one rounding.
FP4_HD double halved(const float (&a)[16], const float (&b)[16]) {
    double s[8];
    FP4_UNROLL
    for (int i = 0; i < 8; ++i) {
        s[i] = fma_near((double)a[i + 8], (double)b[i + 8], (double)a[i] * (double)b[i]);
    }
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

FP4_HD float eden_correction(const Quantized& q) {
    const double square = halved(q.z, q.z), product = halved(q.z, q.r);
    const bool usable = product > 0.0 && square <= 1.7976931348623157e308;
    return usable ? (float)(square / product) : 1.0f;
}

}  // namespace fp4
