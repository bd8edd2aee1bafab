// NVFP4 and MXFP4 quantization on Blackwell's own conversion instructions, in Transformer Engine's order of operations
// (fp4sim/dialects/te.py, fp4sim/dialects/mx.py). For the targets that have cvt to FP4 (fp4sim/kernels/cuda/targets.py).
//
// A thread takes a block of 16 (NVFP4) or 32 (MXFP4) elements of a row; codes leave two a byte, the even one low.
#include "codec.cuh"

namespace {

__device__ __forceinline__ float widened(float x) { return x; }
__device__ __forceinline__ float widened_bf16(unsigned short x) { return fp4::float_of(fp4::widen_bf16(x)); }
__device__ __forceinline__ float widened_fp16(unsigned short x) { return fp4::float_of(fp4::widen_fp16(x)); }

__device__ __forceinline__ unsigned char packed_pair(float low, float high) {
    unsigned short packed;
    asm("{ .reg .b8 d; cvt.rn.satfinite.e2m1x2.f32 d, %1, %2; cvt.u16.u8 %0, d; }" : "=h"(packed) : "f"(high), "f"(low));
    return (unsigned char)packed;
}

// An E4M3 code and what the instruction decodes it to, widened exactly.
__device__ __forceinline__ float e4m3_rounded(float x, unsigned char *code) {
    unsigned short packed;
    unsigned halves;
    asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(packed) : "f"(0.0f), "f"(x));
    asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(halves) : "h"(packed));
    *code = (unsigned char)packed;
    return fp4::float_of(fp4::widen_fp16(halves & 0xFFFFu));
}

__device__ __forceinline__ unsigned char ue8m0_up(float x) {
    unsigned short packed;
    asm("cvt.rp.satfinite.ue8m0x2.f32 %0, %1, %2;" : "=h"(packed) : "f"(0.0f), "f"(x));
    return (unsigned char)packed;
}

__device__ __forceinline__ unsigned char ue8m0_down(float x) {
    unsigned short packed;
    asm("cvt.rz.satfinite.ue8m0x2.f32 %0, %1, %2;" : "=h"(packed) : "f"(0.0f), "f"(x));
    return (unsigned char)packed;
}

template <int N>
__device__ __forceinline__ float amax_of(const float (&x)[N]) {
    float amax = 0.0f;
#pragma unroll
    for (int i = 0; i < N; ++i) amax = fmaxf(amax, fabsf(x[i]));
    return amax;
}

template <int N>
__device__ __forceinline__ void store_codes(const float (&x)[N], float factor, unsigned char *out) {
    alignas(8) unsigned char bytes[N / 2];
#pragma unroll
    for (int i = 0; i < N / 2; ++i) bytes[i] = packed_pair(__fmul_rn(x[2 * i], factor), __fmul_rn(x[2 * i + 1], factor));
#pragma unroll
    for (int i = 0; i < N / 16; ++i) reinterpret_cast<uint2 *>(out)[i] = reinterpret_cast<const uint2 *>(bytes)[i];
}

}  // namespace

// The largest magnitude of a tensor as float32 bits, into *amax, which starts at 0. NaN is passed over, as by fmaxf.
#define FP4_AMAX(NAME, TYPE, WIDENED)                                                                             \
    extern "C" __global__ void NAME(const TYPE *x, unsigned long long count, unsigned *amax) {                    \
        const unsigned long long step = (unsigned long long)gridDim.x * blockDim.x;                               \
        float largest = 0.0f;                                                                                     \
        for (unsigned long long i = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step) \
            largest = fmaxf(largest, fabsf(WIDENED(x[i])));                                                       \
        atomicMax(amax, __float_as_uint(largest));                                                                \
    }

// Per block: s = Q(min(a fl(S_enc fl(1/6)), FLT_MAX)), factor = min(1 / fl(s fl(1/S_enc)), FLT_MAX), codes of fl(x factor).
#define FP4_NVFP4(NAME, TYPE, WIDENED)                                                                            \
    extern "C" __global__ void NAME(const TYPE *x, unsigned long long blocks, const unsigned *amax,               \
                                    unsigned char *packed, unsigned char *scales) {                               \
        const unsigned long long block = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x;               \
        if (block >= blocks) return;                                                                              \
        const float whole = __uint_as_float(*amax);                                                               \
        float encode = fminf(__fdiv_rn(2688.0f, whole), fp4::FLT_MAX_);                                           \
        if (whole == 0.0f || encode == 0.0f) encode = 1.0f;                                                       \
        const float multiplier = __fmul_rn(encode, __uint_as_float(0x3E2AAAABu));                                 \
        const float decode = __fdiv_rn(1.0f, encode);                                                             \
        float v[16];                                                                                              \
        _Pragma("unroll") for (int i = 0; i < 16; ++i) v[i] = WIDENED(x[block * 16 + i]);                         \
        const float scale = e4m3_rounded(fminf(__fmul_rn(amax_of(v), multiplier), fp4::FLT_MAX_), scales + block); \
        const float factor = fminf(__fdiv_rn(1.0f, __fmul_rn(scale, decode)), fp4::FLT_MAX_);                     \
        store_codes(v, factor, packed + block * 8);                                                               \
    }

// Per block: code = rp(fl(a fl(1/6))) (`rceil`, up = 1) or rz(a) - 2, not below 0 (`floor`, up = 0); codes of x 2^(127 - code).
#define FP4_MXFP4(NAME, TYPE, WIDENED)                                                                            \
    extern "C" __global__ void NAME(const TYPE *x, unsigned long long blocks, unsigned up, unsigned char *packed, \
                                    unsigned char *scales) {                                                      \
        const unsigned long long block = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x;               \
        if (block >= blocks) return;                                                                              \
        float v[32];                                                                                              \
        _Pragma("unroll") for (int i = 0; i < 32; ++i) v[i] = WIDENED(x[block * 32 + i]);                         \
        const float amax = amax_of(v);                                                                            \
        const int floor_code = (amax < __uint_as_float(0x00800000u) ? 0 : (int)ue8m0_down(amax)) - 2;             \
        const int code = up ? ue8m0_up(__fmul_rn(amax, __uint_as_float(0x3E2AAAABu))) : max(floor_code, 0);       \
        scales[block] = (unsigned char)code;                                                                      \
        const unsigned power = code == 254 ? 0x00400000u : (unsigned)(254 - code) << 23; /* 2^(127 - code) */     \
        store_codes(v, __uint_as_float(power), packed + block * 16);                                              \
    }

#define FP4_ALL(MACRO, PREFIX)                           \
    MACRO(PREFIX##_f32, float, widened)                  \
    MACRO(PREFIX##_bf16, unsigned short, widened_bf16)   \
    MACRO(PREFIX##_f16, unsigned short, widened_fp16)

FP4_ALL(FP4_AMAX, tensor_amax)
FP4_ALL(FP4_NVFP4, quantize_nvfp4)
FP4_ALL(FP4_MXFP4, quantize_mxfp4)
