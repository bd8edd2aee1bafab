// The main loop of gemm_proven on Hopper: two warpgroups of 64 rows multiply, one of their threads copies. Two blocks of a
// cluster have the same columns: each copies half of them for both. The warpgroups look at their sums in turn, so that one
// multiplies while the other looks.
#pragma once

#include "gemm_proven.cuh"

#define FP4_CLUSTER __cluster_dims__(2, 1, 1)

namespace fp4 {

constexpr int PROVEN_THREADS = 8 * 32;

// Copies of a step, once the stage is free in both blocks.
struct Copies {
    const u8 *a, *b;
    i64 steps;
    u32 stages, full, empty, rank;

    __device__ __forceinline__ void start(i64 step) const {
        if (step >= steps) return;
        const u32 at = (u32)(step % STAGES), stage = stages + at * STAGE_BYTES, barrier = full + 8 * at;
        if (step >= STAGES) barrier_wait(empty + 8 * at, (u32)(step / STAGES + 1) & 1);
        barrier_expect(barrier, STAGE_BYTES);
        bulk_copy(stage, a + step * HALF_TILE, HALF_TILE, barrier);
        bulk_copy_to(stage + (1 + rank) * HALF_TILE, b + (rank * steps + step) * HALF_TILE, HALF_TILE, barrier, 3);
    }
};

__device__ __forceinline__ void hold(float (&d)[128]) {  // nothing of d is read before
#pragma unroll
    for (int i = 0; i < 128; ++i) asm volatile("" : "+f"(d[i])::"memory");
}

template <bool BEGUN>
__device__ __forceinline__ void multiply_tile(float (&d)[128], Proof& proof, const u8* a, const u8* b, i64 steps, u32 stages,
                                              const float* begun, i64 columns) {
    __shared__ u64 barriers[2 * STAGES];
    const u32 full = shared_address(barriers), empty = full + 8 * STAGES;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    if (threadIdx.x == 0) {
        for (int i = 0; i < STAGES; ++i) {
            barrier_init(full + 8 * i, 1);
            barrier_init(empty + 8 * i, 2 * 8);  // every multiplying warp of both blocks
        }
        barrier_init_fence();
    }
    cluster_sync();
    const Copies copies = {a, b, steps, stages, full, empty, cluster_rank()};
    constexpr int AHEAD = STAGES - 2;  // the stage of the step before may still be read
    if (threadIdx.x == 0)
        for (int step = 0; step < AHEAD; ++step) copies.start(step);

    const int group = warp / 4;
    proof.begin<BEGUN>(d, begun, columns);
    proof.expect(group);
    for (i64 step = 0;; ++step) {
        if ((step & 1) == group) {
            wgmma_wait<0>();
            hold(d);
            proof.look(d);
            proof.expect(step + 2);
        }
        if (step == steps) break;
        const u32 at = (u32)(step % STAGES), stage = stages + at * STAGE_BYTES;
        barrier_wait(full + 8 * at, (u32)(step / STAGES) & 1);
        const u64 left = descriptor(stage + group * 64 * 128), right = descriptor(stage + HALF_TILE);
        wgmma_begin();
#pragma unroll
        for (int k = 0; k < 4; ++k) wgmma_256(d, left + 2 * k, right + 2 * k);
        wgmma_commit();
        wgmma_wait<1>();
        if (step > 0 && lane < 2) barrier_arrive_at(empty + 8 * (u32)((step - 1) % STAGES), lane);
        if (threadIdx.x == 0) copies.start(step + AHEAD);
        __syncwarp();
    }
    wgmma_wait<0>();
    hold(d);
    cluster_sync();  // no block leaves while the other may write to it
}

}  // namespace fp4
