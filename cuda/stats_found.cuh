// What a thread block of `stats_*` (stats.cu) has in shared memory: the scale table, counts, what is known of the worst element.
#pragma once

#include "reduce.cuh"
#include "stats.cuh"

namespace fp4 {

constexpr int THREADS = 256, BLOCKS_PER_THREAD = 16;  // a chunk: 4096 blocks, whose sums are one row of the output
// N_KEPT: elements of code 0 that were not flushed: zeros, and those of blocks whose scale is 0.
enum { N_SCALE_ZERO, N_OVER, N_KEPT, N_LOST, N_OCCUPANCY, N_SCALES = N_OCCUPANCY + 16, COUNTS = N_SCALES + 256 };

struct Shared {
    ScaleTable& table;
    u32 (&bins)[COUNTS];
    double& hint;  // a ratio that some element has: what cannot beat it is not looked at

    __device__ __forceinline__ void begin(const ScaleTable* scales) {
        for (int i = threadIdx.x; i < (int)sizeof(ScaleTable) / 8; i += THREADS) ((u64*)&table)[i] = ((const u64*)scales)[i];
        for (int i = threadIdx.x; i < COUNTS; i += THREADS) bins[i] = 0;
        if (threadIdx.x == 0) hint = 0;
        __syncthreads();
    }

    // Every thread calls these. Elements by code, from n groups of the counters.
    __device__ __forceinline__ void add_codes(const Counter& all, const Counter& negative, u32 n) {
        u32 mine[16];
        occupancy_of(all, negative, n, mine);
        FP4_UNROLL
        for (int code = 0; code < 16; ++code) {
            const u32 sum = __reduce_add_sync(~0u, mine[code]);
            if (!(threadIdx.x & 31)) atomicAdd(&bins[N_OCCUPANCY + code], sum);
        }
    }

    __device__ __forceinline__ void add_over_and_kept(u32 n_over, u32 n_kept) {
        const u32 over = __reduce_add_sync(~0u, n_over), kept = __reduce_add_sync(~0u, n_kept);
        if (!(threadIdx.x & 31)) atomicAdd(&bins[N_OVER], over), atomicAdd(&bins[N_KEPT], kept);
    }

    __device__ __forceinline__ void finish(const Worst& mine, double* worst, i64* where, u64* counts) {
        const Worst found = block_worst(mine);
        if (threadIdx.x == 0) worst[blockIdx.x] = found.ratio, where[blockIdx.x] = found.index;
        __syncthreads();
        for (int i = threadIdx.x; i < COUNTS; i += THREADS) {
            if (bins[i]) atomicAdd(&counts[i], (u64)bins[i]);
        }
    }
};

}  // namespace fp4
