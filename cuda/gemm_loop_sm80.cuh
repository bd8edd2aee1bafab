// The main loop of gemm_proven by mma.sync, for GPUs without warpgroup instructions: eight warps of 16 rows by 256 columns.
#pragma once

#include "gemm_proven.cuh"

#define FP4_CLUSTER

namespace fp4 {

constexpr int PROVEN_THREADS = 8 * 32;

template <bool BEGUN>
__device__ __forceinline__ void multiply_tile(float (&d)[128], Proof& proof, const u8* a, const u8* b, i64 steps, u32 stages,
                                              const float* begun, i64 columns) {
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const u32 own = threadIdx.x * 16;
    auto copy_step = [&](i64 step) {
        if (step < steps) {
            const u32 stage = stages + (u32)(step % STAGES) * STAGE_BYTES + own;
#pragma unroll
            for (int i = 0; i < 4; ++i) copy_async(stage + i * 4096, a + step * HALF_TILE + own + i * 4096);
#pragma unroll
            for (int i = 0; i < 8; ++i)
                copy_async(stage + (i + 4) * 4096, b + (i / 4 * steps + step) * HALF_TILE + own + i % 4 * 4096);
        }
        commit_copies();
    };
    for (int step = 0; step < STAGES - 1; ++step) copy_step(step);
    proof.begin<BEGUN>(d, begun, columns);
    proof.expect(0);
    for (i64 step = 0;; ++step) {
        if (step % 2 == 0) {
            proof.look(d);
            proof.expect(step + 2);
        }
        if (step == steps) break;
        wait_copies<STAGES - 2>();
        __syncthreads();
        copy_step(step + STAGES - 1);
        const u32 stage = stages + (u32)(step % STAGES) * STAGE_BYTES;
#pragma unroll
        for (int p = 0; p < 2; ++p) {
            const uint4 first = load_rows(stage, 16 * warp, 2 * p, lane), second = load_rows(stage, 16 * warp, 2 * p + 1, lane);
#pragma unroll
            for (int i = 0; i < 32; ++i) {
                const uint4 columns = load_columns(stage + HALF_TILE, 8 * i, p, lane);
                float(&part)[4] = *reinterpret_cast<float(*)[4]>(&d[4 * i]);
                mma_16816(part, first, columns.x, columns.y);
                mma_16816(part, second, columns.z, columns.w);
            }
        }
    }
    wait_copies<0>();
}

}  // namespace fp4
