// Blocks that are looked at element by element, because few are: one that may have the worst element, and one whose scale is 0.
#pragma once

#include "stats_found.cuh"

namespace fp4 {

template <Input type>
__device__ __forceinline__ float element(const void* x, i64 i) {
    if (type == FP32) return ((const float*)x)[i];
    const u32 bits = ((const u16*)x)[i];
    return type == BF16 ? float_of(widen_bf16(bits)) : half_to_float(bits);
}

// Looks at a block's elements one by one: which of them is the worst so far?
template <Input type>
__device__ __noinline__ Worst search_worst(
    const void* x, i64 first, int size, float factor, double decode, double per_amax, Worst worst) {
    for (int i = 0; i < size; ++i) {
        const float a = magnitude(element<type>(x, first + i));
        float scaled;
        const double e = fma_near((double)grid_value(a, factor, scaled), decode, -(double)a);
        worst.take(fabs(e) * per_amax, first + i);
    }
    return worst;
}

struct Vanished {
    double square, sum;
};

// Elements whose scale is zero: every value is, whatever its code. zeros: how many are themselves.
template <Input type>
__device__ __forceinline__ Vanished add_vanished(const void* x, i64 first, u32 size, float factor, u32* bins, u32& zeros) {
    u32 kept = 0;
    double square = 0, sum = 0;
    zeros = 0;
    for (u32 i = 0; i < size; ++i) {
        const float xi = element<type>(x, first + i);
        const double exact = xi;
        float scaled;
        const u32 code = code_of(grid_value(xi, factor, scaled));
        atomicAdd(&bins[N_OCCUPANCY + code + (bits_of(xi) >> 31 ? 8u : 0u)], 1u);
        zeros += xi == 0.0f, kept += code == 0u;
        square = fma_near(exact, exact, square), sum += exact;
    }
    atomicAdd(&bins[N_KEPT], kept);
    atomicAdd(&bins[N_SCALE_ZERO], size - zeros);
    return {square, sum};
}

// A whole block of them.
template <Input type>
__device__ __noinline__ Vanished vanished(const void* x, i64 first, u32 size, float factor, u32* bins) {
    u32 zeros;
    const Vanished v = add_vanished<type>(x, first, size, factor, bins, zeros);
    atomicAdd(&bins[N_LOST], zeros < size ? 1u : 0u);
    return v;
}

}  // namespace fp4
