// What follows the steps: the row's and column's shifts are undone, then fp4sim.gemm's epilogue, each operation rounded once.
#pragma once

#include "tensor_core.cuh"

namespace fp4 {

enum Out { FLOAT32, BFLOAT16, FLOAT16 };

// out = cast(product * factor + beta * c + bias); c and bias may be null. unshift: a power of two a row, NaN where a scale is.
struct Epilogue {
    const float *unshift_a, *unshift_b, *c, *bias;
    float factor, beta;
    void* out;
    int kind, m, n;

    __device__ __forceinline__ float of(float product, int i, int j) const {
        float d = mul(product, factor);
        if (c) d = add(d, mul(c[(i64)i * n + j], beta));
        return bias ? add(d, bias[j]) : d;
    }
    __device__ __forceinline__ u16 narrow(float d) const {
        if (kind == FLOAT16) return half_of(d);
        const u16 bits = bfloat16_of(d);
        return (bits & 0x7FFFu) > 0x7F80u ? (u16)0x7FC0u : bits;
    }
    __device__ __forceinline__ void store(float product, int i, int j) const {
        const float d = of(product, i, j);
        const i64 place = (i64)i * n + j;
        if (kind == FLOAT32)
            ((float*)out)[place] = d;
        else
            ((u16*)out)[place] = narrow(d);
    }
    __device__ __forceinline__ void store_one(float x, int i, int j) const {  // a shifted sum
        if (i < m && j < n) store(mul(x, mul(__ldg(unshift_a + i), __ldg(unshift_b + j))), i, j);
    }
    // Columns j to j + 3, j a multiple of 4, of shifted sums; unshift: those of the columns.
    __device__ __forceinline__ void store_four(float4 x, float4 unshift, int i, int j) const {
        if (i >= m || j >= n) return;
        const float row = __ldg(unshift_a + i);
        x = {mul(x.x, mul(row, unshift.x)), mul(x.y, mul(row, unshift.y)), mul(x.z, mul(row, unshift.z)),
             mul(x.w, mul(row, unshift.w))};
        if (n % 4) {
            store(x.x, i, j);
            if (j + 1 < n) store(x.y, i, j + 1);
            if (j + 2 < n) store(x.z, i, j + 2);
            if (j + 3 < n) store(x.w, i, j + 3);
            return;
        }
        const float4 d = {of(x.x, i, j), of(x.y, i, j + 1), of(x.z, i, j + 2), of(x.w, i, j + 3)};
        const i64 place = ((i64)i * n + j) / 4;
        if (kind == FLOAT32)
            ((float4*)out)[place] = d;
        else
            ((uint2*)out)[place] = make_uint2(narrow(d.x) | (u32)narrow(d.y) << 16, narrow(d.z) | (u32)narrow(d.w) << 16);
    }
};

// From the arguments of a kernel, whose numbers are all 64-bit integers: factor and beta by their bits.
__device__ __forceinline__ Epilogue epilogue(const float* unshift_a, const float* unshift_b, const float* c, const float* bias,
                                             i64 factor, i64 beta, void* out, i64 kind, i64 m, i64 n) {
    return {unshift_a, unshift_b, c, bias, float_of((u32)factor), float_of((u32)beta), out, (int)kind, (int)m, (int)n};
}

}  // namespace fp4
