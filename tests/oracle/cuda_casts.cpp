// NVIDIA's own conversions on the host, for ctypes: the header functions, nothing else.
#include <cstddef>
#include <cstdint>
#include <cuda_fp4.h>
#include <cuda_fp8.h>

extern "C" {

void float_to_e2m1(const float *x, std::uint8_t *out, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) out[i] = __nv_cvt_float_to_fp4(x[i], __NV_E2M1, cudaRoundNearest) & 0xf;
}

void float_to_e4m3(const float *x, std::uint8_t *out, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) out[i] = __nv_cvt_float_to_fp8(x[i], __NV_SATFINITE, __NV_E4M3);
}

void float_to_e4m3_nosat(const float *x, std::uint8_t *out, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) out[i] = __nv_cvt_float_to_fp8(x[i], __NV_NOSAT, __NV_E4M3);
}

void float_to_e8m0_up(const float *x, std::uint8_t *out, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) out[i] = __nv_cvt_float_to_e8m0(x[i], __NV_SATFINITE, cudaRoundPosInf);
}

void float_to_e8m0_zero(const float *x, std::uint8_t *out, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) out[i] = __nv_cvt_float_to_e8m0(x[i], __NV_SATFINITE, cudaRoundZero);
}

void float_to_e8m0_up_nosat(const float *x, std::uint8_t *out, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) out[i] = __nv_cvt_float_to_e8m0(x[i], __NV_NOSAT, cudaRoundPosInf);
}

void float_to_e8m0_zero_nosat(const float *x, std::uint8_t *out, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) out[i] = __nv_cvt_float_to_e8m0(x[i], __NV_NOSAT, cudaRoundZero);
}
}
