// What follows the steps: the row's and column's shifts are undone, then fp4sim.gemm's epilogue, each operation rounded once.
#pragma once

#include "portable.cuh"

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
        u16 bits;
        if (kind == FLOAT16) {
            asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(d));
            return bits;
        }
        asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(d));
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
        if (i < m && j < n) store(mul(x, mul(unshift_a[i], unshift_b[j])), i, j);
    }
    // Columns j and j + 1, j even, of shifted sums.
    __device__ __forceinline__ void store_pair(float x, float y, int i, int j) const {
        if (i >= m || j >= n) return;
        const float row = unshift_a[i];
        x = mul(x, mul(row, unshift_b[j]));
        if (j + 1 == n || n & 1) {
            store(x, i, j);
            if (j + 1 < n) store(mul(y, mul(row, unshift_b[j + 1])), i, j + 1);
            return;
        }
        const float first = of(x, i, j), second = of(mul(y, mul(row, unshift_b[j + 1])), i, j + 1);
        const i64 place = ((i64)i * n + j) / 2;
        if (kind == FLOAT32)
            ((float2*)out)[place] = make_float2(first, second);
        else
            ((u32*)out)[place] = narrow(first) | (u32)narrow(second) << 16;
    }
};

}  // namespace fp4
