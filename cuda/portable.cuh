// What lets the headers compile by NVRTC (which has no standard headers), nvcc and a plain C++17 compiler alike.
#pragma once

#if defined(__CUDACC__)
#define FP4_HD __host__ __device__ __forceinline__
#define FP4_RARE __host__ __device__ __noinline__  // a call, so that its registers are not the caller's
#else
#include <cmath>
#include <cstddef>
#include <cstring>
#define FP4_HD inline
#define FP4_RARE inline
#endif

namespace fp4 {

using u8 = unsigned char;
using u16 = unsigned short;
using u32 = unsigned int;
using u64 = unsigned long long;
using i32 = int;
using i64 = long long;

FP4_HD u32 bits_of(float x) {
#if defined(__CUDA_ARCH__)
    return __float_as_uint(x);
#else
    u32 bits;
    memcpy(&bits, &x, 4);
    return bits;
#endif
}

FP4_HD float float_of(u32 bits) {
#if defined(__CUDA_ARCH__)
    return __uint_as_float(bits);
#else
    float x;
    memcpy(&x, &bits, 4);
    return x;
#endif
}

// The float operations that count, one rounding each, whatever the compiler's flags.
FP4_HD float mul(float a, float b) {
#if defined(__CUDA_ARCH__)
    return __fmul_rn(a, b);
#else
    return a * b;
#endif
}

FP4_HD float add(float a, float b) {
#if defined(__CUDA_ARCH__)
    return __fadd_rn(a, b);
#else
    return a + b;
#endif
}

FP4_HD float div(float a, float b) {
#if defined(__CUDA_ARCH__)
    return __fdiv_rn(a, b);
#else
    return a / b;
#endif
}

// a * b + c in one rounding.
FP4_HD float fma_near(float a, float b, float c) {
#if defined(__CUDA_ARCH__)
    return __fmaf_rn(a, b, c);
#else
    return std::fma(a, b, c);
#endif
}

// The smaller one; the other one of a NaN.
FP4_HD float fmin_num(float a, float b) {
#if defined(__CUDA_ARCH__)
    return fminf(a, b);
#else
    return std::fmin(a, b);
#endif
}

// The same bits, of which the compiler knows nothing.
FP4_HD u32 not_known(u32 x) {
#if defined(__CUDA_ARCH__)
    asm volatile("" : "+r"(x));
#endif
    return x;
}

FP4_HD int leading_zeros(u32 x) {
#if defined(__CUDA_ARCH__)
    return __clz((int)x);
#else
    return x ? __builtin_clz(x) : 32;
#endif
}

FP4_HD u32 mul_high(u32 a, u32 b) {
#if defined(__CUDA_ARCH__)
    return __umulhi(a, b);
#else
    return (u32)(((u64)a * b) >> 32);
#endif
}

constexpr u32 INF_BITS = 0x7F800000u, MAGNITUDE = 0x7FFFFFFFu, SIGN = 0x80000000u;
constexpr float FLT_MAX_ = 3.402823466e+38f;

FP4_HD bool is_nan(u32 bits) { return (bits & MAGNITUDE) > INF_BITS; }

}  // namespace fp4
