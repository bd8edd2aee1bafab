// Accumulators that the steps start from, made ready for rows that are shifted (gemm_operands.cuh).
//
// narrow_step, in float32, gives the bits of a step that starts from C at the scale of the shifted rows while
//  * 2^-64 <= |C|: the anchor that it holds itself to is 2^-64. Then the first step's quantum is right, and every sum after it
//    is a multiple of 2^(-64 - fraction): such a sum below 2^-64 is cut by neither quantum, its own or that of 2^-64;
//  * |C| < 2^100, there and as it is given: products are too small to carry such a sum to infinity.
// A given C below 2^-126 anchors at -126; as sums of that size are multiples of 2^-149, neither quantum cuts them.
#pragma once

#include "portable.cuh"

namespace fp4 {

constexpr int BEGIN_COLUMNS = 1024;
constexpr float LEAST_START = 0x1p-64f, END_OF_STARTS = 0x1p100f, UNITS = 0x1p28f;

FP4_HD bool is_whole(float x) { return rintf(mul(x, UNITS)) == mul(x, UNITS); }  // a multiple of the unit of all products

#if defined(__CUDACC__) || defined(FP4_COOPERATIVE)

// A row and 1024 columns a block. begun: [rows][columns], +0 beyond m and n and where a scale is NaN, and NaN where float32
// does not hold the steps. counts: those, and those of which nothing is provable.
extern "C" __global__ void __launch_bounds__(256)
    gemm_begin(const float* start, const float* unshift_a, const float* unshift_b, i64 rows, i64 columns, i64 m, i64 n,
               float* begun, u32* counts) {
    const int across = (int)((columns + BEGIN_COLUMNS - 1) / BEGIN_COLUMNS), first = blockIdx.x % across * BEGIN_COLUMNS;
    const i64 i = blockIdx.x / across;
    u32 beyond = 0, unproven = 0;
    for (int j = first + (int)threadIdx.x; j < first + BEGIN_COLUMNS && j < columns; j += 256) {
        float x = 0.0f;
        if (i < m && j < n && start[i * n + j] != 0.0f) {
            const float given = start[i * n + j], unshift = mul(unshift_a[i], unshift_b[j]);
            const float shifted = mul(given, div(1.0f, unshift));  // powers of two: exact, or outside of what is held
            const bool held = fabsf(given) < END_OF_STARTS && fabsf(shifted) < END_OF_STARTS && fabsf(shifted) >= LEAST_START;
            if (!is_nan(bits_of(unshift))) x = held ? shifted : float_of(MAGNITUDE);
            beyond += is_nan(bits_of(x)), unproven += !is_whole(x);
        }
        begun[i * columns + j] = x;
    }
    beyond = __reduce_add_sync(~0u, beyond), unproven = __reduce_add_sync(~0u, unproven);
    if (threadIdx.x % 32 == 0) {
        if (beyond) atomicAdd(&counts[0], beyond);
        if (unproven) atomicAdd(&counts[1], unproven);
    }
}

#endif

}  // namespace fp4
