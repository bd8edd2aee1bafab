// Sums over a thread block in one fixed tree, whatever the grid: lanes by halving, then the warps in order.
#pragma once

#include "block16.cuh"

namespace fp4 {

constexpr int WARPS = 8;  // of the blocks of 256 threads that reduce

__device__ __forceinline__ double exchange(double x, int lanes) { return __shfl_xor_sync(~0u, x, lanes); }

// The block's sums of eight values a thread, in thread 0 to 7's return value. Every thread calls it.
__device__ __forceinline__ double block_sums(double (&v)[8]) {
    __shared__ double of_warp[WARPS][8];
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    FP4_UNROLL
    for (int half = 4, lanes = 16; half; half /= 2, lanes /= 2) {  // each half of the lanes goes on with half of the values
        const bool upper = lane & lanes;
        FP4_UNROLL
        for (int i = 0; i < half; ++i) {
            const double kept = upper ? v[i + half] : v[i], given = upper ? v[i] : v[i + half];
            v[i] = kept + exchange(given, lanes);
        }
    }
    v[0] += exchange(v[0], 2);
    v[0] += exchange(v[0], 1);
    __syncthreads();
    if (!(lane & 3)) of_warp[warp][lane >> 2] = v[0];
    __syncthreads();
    double total = 0;
    if (threadIdx.x < 8) {
        FP4_UNROLL
        for (int w = 0; w < WARPS; ++w) total += of_warp[w][threadIdx.x];
    }
    return total;
}

struct Worst {
    double ratio;
    i64 index;

    __device__ __forceinline__ void take(double other, i64 at) {  // of equals the first
        if (other > ratio || (other == ratio && at < index)) ratio = other, index = at;
    }
};

// The worst of a thread block of COUNT warps, in thread 0.
template <int COUNT>
__device__ __forceinline__ Worst worst_of(Worst worst) {
    __shared__ Worst of_warp[COUNT];
    FP4_UNROLL
    for (int lanes = 16; lanes; lanes /= 2) {
        const double ratio = exchange(worst.ratio, lanes);
        worst.take(ratio, __shfl_xor_sync(~0u, worst.index, lanes));
    }
    __syncthreads();
    if (!(threadIdx.x & 31)) of_warp[threadIdx.x >> 5] = worst;
    __syncthreads();
    if (threadIdx.x == 0) {
        for (int w = 1; w < COUNT; ++w) worst.take(of_warp[w].ratio, of_warp[w].index);
    }
    return worst;
}

__device__ __forceinline__ Worst block_worst(Worst worst) { return worst_of<WARPS>(worst); }

}  // namespace fp4
