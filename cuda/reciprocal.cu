// rcp.approx.ftz.f32, which PTX promises to one ulp only: its table, and the model of fp4sim/rcp.py over float32 patterns.
#include "tally.cuh"

__device__ __forceinline__ unsigned approximate_reciprocal(float x) {
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return __float_as_uint(y);
}

// delta[m]: bits of the instruction's result minus bits of 1/x rounded correctly, for x = 1.m and all 2^23 mantissas m.
extern "C" __global__ void rcp_table(signed char *delta) {
    const unsigned step = gridDim.x * blockDim.x;
    for (unsigned m = blockIdx.x * blockDim.x + threadIdx.x; m < 1u << 23; m += step) {
        const float x = __uint_as_float(0x3F800000u | m);
        const int difference = (int)(approximate_reciprocal(x) - __float_as_uint(__frcp_rn(x)));
        delta[m] = (signed char)max(-128, min(127, difference));
    }
}

// The model: the table's ulps on top of the correct result; subnormals in and out are zeros, except that 2^126 gives 2^-126.
__device__ unsigned modelled_reciprocal(float x, const signed char *delta) {
    const unsigned bits = __float_as_uint(x), sign = bits & 0x80000000u, magnitude = bits & 0x7FFFFFFFu;
    const unsigned exponent = magnitude >> 23, mantissa = magnitude & 0x7FFFFFu;
    if (magnitude > 0x7F800000u) return 0x7FFFFFFFu;
    if (exponent == 0) return sign | 0x7F800000u;
    if (exponent >= 253 && !(exponent == 253 && mantissa == 0)) return sign;
    return sign | (__float_as_uint(__frcp_rn(__uint_as_float(magnitude))) + (unsigned)(int)delta[mantissa]);
}

// Patterns whose result the model misses, counted; the histogram has them in bin 1.
extern "C" __global__ void rcp_compare(unsigned first, unsigned stride, unsigned long long count, const signed char *delta,
                                       unsigned long long *histogram, unsigned long long *differing,
                                       unsigned long long *where) {
    tally_patterns(
        first, stride, count, Tally{histogram, differing, where},
        [=](float x) { return (unsigned)(approximate_reciprocal(x) != modelled_reciprocal(x, delta)); },
        [](float) { return 0u; });
}
