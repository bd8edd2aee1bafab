// Fragments of m16n8k16 from tiles in shared memory, and tiles of sums back to device memory.
#pragma once

#include "gemm_epilogue.cuh"
#include "tensor_core.cuh"

namespace fp4 {

// Group g of the step, 16 elements, of rows `row` to `row` + 15: the four registers of A.
__device__ __forceinline__ uint4 load_rows(u32 tile, int row, int g, int lane) {
    const int line = row + lane % 16, chunk = 2 * g + lane / 16;
    return load_matrices(tile + line * 128 + ((chunk ^ (line & 7)) << 4));
}

// Groups 2 p and 2 p + 1 of columns `column` to `column` + 7: two registers of B each.
__device__ __forceinline__ uint4 load_columns(u32 tile, int column, int p, int lane) {
    const int line = column + lane % 8, chunk = 4 * p + lane / 8;
    return load_matrices(tile + line * 128 + ((chunk ^ (line & 7)) << 4));
}

// 16 x 8 accumulators to start from, out of rows of `columns` floats.
__device__ __forceinline__ void load_start(float (&d)[4], const float* begun, i64 columns, int row, int column, int lane) {
    const float* at = begun + (i64)(row + lane / 4) * columns + column + 2 * (lane % 4);
    const float2 upper = *reinterpret_cast<const float2*>(at), lower = *reinterpret_cast<const float2*>(at + 8 * columns);
    d[0] = upper.x, d[1] = upper.y, d[2] = lower.x, d[3] = lower.y;
}

// Sums of ROWS x COLUMNS wait in shared memory, rows COLUMNS + 8 floats apart so that no banks meet.
template <int COLUMNS> __device__ __forceinline__ void park(float* tile, const float (&d)[4], int row, int column, int lane) {
    float* at = tile + (row + lane / 4) * (COLUMNS + 8) + column + 2 * (lane % 4);
    *reinterpret_cast<float2*>(at) = make_float2(d[0], d[1]);
    *reinterpret_cast<float2*>(at + 8 * (COLUMNS + 8)) = make_float2(d[2], d[3]);
}

// 256 threads store a parked tile whose first output is (first_row, first_column).
template <int ROWS, int COLUMNS>
__device__ __forceinline__ void store_parked(const Epilogue& finish, const float* tile, int first_row, int first_column) {
    const int column = 4 * (threadIdx.x % (COLUMNS / 4));
    const float4 unshift = __ldg(reinterpret_cast<const float4*>(finish.unshift_b + first_column + column));
#pragma unroll 2
    for (int row = threadIdx.x / (COLUMNS / 4); row < ROWS; row += 256 / (COLUMNS / 4)) {
        const float4 x = *reinterpret_cast<const float4*>(tile + row * (COLUMNS + 8) + column);
        finish.store_four(x, unshift, first_row + row, first_column + column);
    }
}

}  // namespace fp4
