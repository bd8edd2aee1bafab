// The epilogue of sums that lie in memory: those of parts of K, joined, and those under a tensor scale for every row.
#pragma once

#include "gemm_epilogue.cuh"

namespace fp4 {

constexpr int FINISH_COLUMNS = 1024;

// A row and 1024 columns a block. scale_a, scale_b: a factor for every row and column, or both null.
extern "C" __global__ void __launch_bounds__(256)
    gemm_finish(const float* sums, const float* scale_a, const float* scale_b, const float* c, const float* bias, i64 factor,
                i64 beta, void* out, i64 kind, i64 m, i64 n) {
    const int across = (int)((n + FINISH_COLUMNS - 1) / FINISH_COLUMNS), first = blockIdx.x % across * FINISH_COLUMNS;
    const int i = blockIdx.x / across;
    Epilogue finish = epilogue(nullptr, nullptr, c, bias, factor, beta, out, kind, m, n);
    const float alpha = finish.factor, row = scale_a ? scale_a[i] : 1.0f;
    for (int j = first + (int)threadIdx.x; j < first + FINISH_COLUMNS && j < n; j += 256) {
        if (scale_a) finish.factor = mul(mul(row, scale_b[j]), alpha);
        finish.store(sums[(i64)i * n + j], i, j);
    }
}

}  // namespace fp4
