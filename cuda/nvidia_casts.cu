// NVIDIA's conversion functions (cuda_fp4.h, cuda_fp8.h) over float32 patterns against fp4sim's own codec. On Blackwell they
// are instructions, elsewhere NVIDIA's emulation of them.
#include <cuda_fp4.h>
#include <cuda_fp8.h>

#include "casts.cuh"
#include "tally.cuh"

#define FP4_NVIDIA(NAME, THEIRS, OURS)                                                                       \
    extern "C" __global__ void NAME(unsigned first, unsigned stride, unsigned long long count,               \
                                    unsigned long long *histogram, unsigned long long *differing,            \
                                    unsigned long long *where) {                                             \
        tally_patterns(                                                                                      \
            first, stride, count, Tally{histogram, differing, where}, [](float x) { return (unsigned)(THEIRS); }, \
            [](float x) { return OURS(fp4::bits_of(x)); });                                                  \
    }

FP4_NVIDIA(nvidia_e2m1, __nv_cvt_float_to_fp4(x, __NV_E2M1, cudaRoundNearest), casts::e2m1)
FP4_NVIDIA(nvidia_e4m3, __nv_cvt_float_to_fp8(x, __NV_SATFINITE, __NV_E4M3), casts::e4m3)
FP4_NVIDIA(nvidia_e4m3_inf, __nv_cvt_float_to_fp8(x, __NV_NOSAT, __NV_E4M3), casts::e4m3_inf)
FP4_NVIDIA(nvidia_e8m0_up, __nv_cvt_float_to_e8m0(x, __NV_SATFINITE, cudaRoundPosInf), casts::e8m0_up)
FP4_NVIDIA(nvidia_e8m0_down, __nv_cvt_float_to_e8m0(x, __NV_SATFINITE, cudaRoundZero), casts::e8m0_down)
FP4_NVIDIA(nvidia_e8m0_up_inf, __nv_cvt_float_to_e8m0(x, __NV_NOSAT, cudaRoundPosInf), casts::e8m0_up_inf)
FP4_NVIDIA(nvidia_e8m0_down_inf, __nv_cvt_float_to_e8m0(x, __NV_NOSAT, cudaRoundZero), casts::e8m0_down_inf)

// A pair of floats: x in the low nibble, y in the high one. The nibble that is not under test is held at a fixed code.
FP4_NVIDIA(nvidia_e2m1_low, __nv_cvt_float2_to_fp4x2(make_float2(x, -4.0f), __NV_E2M1, cudaRoundNearest) ^ 0xE0u, casts::e2m1)
FP4_NVIDIA(nvidia_e2m1_high, (__nv_cvt_float2_to_fp4x2(make_float2(-4.0f, x), __NV_E2M1, cudaRoundNearest) >> 4), casts::e2m1)
