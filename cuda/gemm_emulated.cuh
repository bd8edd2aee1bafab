// The GEMM step by step: a group's sum of 16 products comes exactly from one fp16 tensor-core instruction whose accumulator
// starts at 0 (at most 20 significant bits under a common scale), the step itself from narrow_step.
#pragma once

#include "gemm_epilogue.cuh"
#include "gemm_operands.cuh"
#include "gemm_proven.cuh"
#include "mma_step.cuh"
#include "tensor_core.cuh"

namespace fp4 {

constexpr int DENSE_M = 128, DENSE_N = 64, DENSE_THREADS = 256, DENSE_STAGES = 3;
constexpr int ANCHORS_AT = (DENSE_M + DENSE_N) * 128, DENSE_STAGE_BYTES = ANCHORS_AT + (DENSE_M + DENSE_N) * 16;

struct Rows {  // two rows (or columns) of a thread: four groups' anchors each
    Anchor anchor[2][4];
};

__device__ __forceinline__ void set_anchor(Anchor (&anchor)[4], uint4 x) {
    anchor[0] = x.x, anchor[1] = x.y, anchor[2] = x.z, anchor[3] = x.w;
}

// One step of the 16 x 8 outputs c: rows g and g + 8 of A by pairs of groups, column g of B.
__device__ __forceinline__ void step_16x8(float (&c)[4], const uint4 (&upper)[2], const uint4 (&lower)[2], const uint4 (&b)[2],
                                          const Rows& rows, const Rows& columns, int fraction) {
    float sums[4][4] = {};
#pragma unroll
    for (int pair = 0; pair < 2; ++pair) {
        mma_16816(sums[2 * pair], upper[pair].x, lower[pair].x, upper[pair].y, lower[pair].y, b[pair].x, b[pair].y);
        mma_16816(sums[2 * pair + 1], upper[pair].z, lower[pair].z, upper[pair].w, lower[pair].w, b[pair].z, b[pair].w);
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const float t[4] = {sums[0][i], sums[1][i], sums[2][i], sums[3][i]};
        c[i] = narrow_step(t, rows.anchor[i / 2], columns.anchor[i % 2], c[i], fraction);
    }
}

// Tiles of 128 x 64, four a tile of gemm_proven: those on its list, or all where `lists` is null.
extern "C" __global__ void __launch_bounds__(DENSE_THREADS, 2)
    gemm_dense(const u8* a, const u8* b, const u8* anchors_a, const u8* anchors_b, i64 steps, i64 fraction,
               const float* unshift_a, const float* unshift_b, const float* c, const float* bias, float factor, float beta,
               void* out, i64 kind, i64 m, i64 n, const u32* lists) {
    extern __shared__ u8 shared[];
    if (lists && blockIdx.x / 4 >= lists[0]) return;
    const u32 stages = shared_address(shared);
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, quad = lane % 4, g = lane / 4;
    const int index = lists ? (int)lists[2 + blockIdx.x / 4] : (int)(blockIdx.x / 4);
    const Place tile = tile_place(index, tiles_of(m, TILE_M), tiles_of(n, TILE_N));
    const i64 first_row = (i64)tile.row * TILE_M, first_column = (i64)tile.column * TILE_N + (blockIdx.x % 4) * DENSE_N;
    if (first_row >= m || first_column >= n) return;

    const int copied_row = threadIdx.x / 8, chunk = threadIdx.x % 8;
    const u32 to = copied_row * 128 + ((chunk ^ ((copied_row & 1) << 2)) << 4);
    const u8* from_a = a + (first_row + copied_row) * steps * 128 + chunk * 16;
    const u8* from_b = b + (first_column + copied_row) * steps * 128 + chunk * 16;
    const int line = threadIdx.x < DENSE_M ? threadIdx.x : threadIdx.x - DENSE_M;
    const u8* from_anchors = (threadIdx.x < DENSE_M ? anchors_a + first_row * steps * 16 : anchors_b + first_column * steps * 16) +
                             (i64)line * steps * 16;
    auto copy_step = [&](i64 step) {
        if (step < steps) {
            const u32 stage = stages + (u32)(step % DENSE_STAGES) * DENSE_STAGE_BYTES;
#pragma unroll
            for (int i = 0; i < 4; ++i) copy_async(stage + to + i * 4096, from_a + (i * 32 * steps + step) * 128);
#pragma unroll
            for (int i = 0; i < 2; ++i) copy_async(stage + to + (i + 4) * 4096, from_b + (i * 32 * steps + step) * 128);
            if (threadIdx.x < DENSE_M + DENSE_N) copy_async(stage + ANCHORS_AT + threadIdx.x * 16, from_anchors + step * 16);
        }
        commit_copies();
    };
    for (int step = 0; step < DENSE_STAGES - 1; ++step) copy_step(step);

    float d[2][4][4] = {};
    const int warp_row = 32 * (warp / 2), warp_column = 32 * (warp % 2);
    for (i64 step = 0; step < steps; ++step) {
        wait_copies<DENSE_STAGES - 2>();
        __syncthreads();
        copy_step(step + DENSE_STAGES - 1);
        const u32 stage = stages + (u32)(step % DENSE_STAGES) * DENSE_STAGE_BYTES;
        auto values = [&](int line, int pair) {
            return load_shared(stage + line * 128 + (((4 * pair + quad) ^ ((line & 1) << 2)) << 4));
        };
#pragma unroll
        for (int i = 0; i < 2; ++i) {
            const int row = warp_row + 16 * i + g;
            const uint4 upper[2] = {values(row, 0), values(row, 1)}, lower[2] = {values(row + 8, 0), values(row + 8, 1)};
            Rows left;
            set_anchor(left.anchor[0], load_shared(stage + ANCHORS_AT + row * 16));
            set_anchor(left.anchor[1], load_shared(stage + ANCHORS_AT + (row + 8) * 16));
#pragma unroll
            for (int j = 0; j < 4; ++j) {
                const int column = DENSE_M + warp_column + 8 * j;
                const uint4 right[2] = {values(column + g, 0), values(column + g, 1)};
                Rows top;
                set_anchor(top.anchor[0], load_shared(stage + ANCHORS_AT + (column + 2 * quad) * 16));
                set_anchor(top.anchor[1], load_shared(stage + ANCHORS_AT + (column + 2 * quad + 1) * 16));
                step_16x8(d[i][j], upper, lower, right, left, top, (int)fraction);
            }
        }
    }
    const Epilogue finish = {unshift_a, unshift_b, c, bias, factor, beta, out, (int)kind, (int)m, (int)n};
#pragma unroll
    for (int i = 0; i < 2; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            const int row = (int)first_row + warp_row + 16 * i + g, column = (int)first_column + warp_column + 8 * j + 2 * quad;
            finish.store_pair(d[i][j][0], d[i][j][1], row, column);
            finish.store_pair(d[i][j][2], d[i][j][3], row + 8, column);
        }
}

// The subtiles on gemm_proven's list, one a warp, operands straight from device memory.
extern "C" __global__ void __launch_bounds__(128)
    gemm_sparse(const uint4* a, const uint4* b, const uint4* anchors_a, const uint4* anchors_b, i64 columns, i64 steps,
                i64 fraction, const float* unshift_a, const float* unshift_b, const float* c, const float* bias, float factor,
                float beta, void* out, i64 kind, i64 m, i64 n, const u32* lists) {
    const int lane = threadIdx.x % 32, quad = lane % 4, g = lane / 4;
    const u32 tiles = (u32)(tiles_of(m, TILE_M) * tiles_of(n, TILE_N)), count = lists[1], across = (u32)(columns / 8);
    const Epilogue finish = {unshift_a, unshift_b, c, bias, factor, beta, out, (int)kind, (int)m, (int)n};
    for (u32 item = (blockIdx.x * blockDim.x + threadIdx.x) / 32; item < count; item += gridDim.x * blockDim.x / 32) {
        const u32 subtile = lists[2 + tiles + item];
        const int row = (int)(subtile / across) * 16 + g, column = (int)(subtile % across) * 8;
        if (row - g >= m || column >= n) continue;
        const uint4 *upper_at = a + row * steps * 8 + quad, *lower_at = upper_at + 8 * steps * 8;
        const uint4* right_at = b + (column + g) * steps * 8 + quad;
        const uint4 *left_anchor = anchors_a + row * steps, *top_anchor = anchors_b + (column + 2 * quad) * steps;
        float d[4] = {};
#pragma unroll 2
        for (i64 step = 0; step < steps; ++step) {
            const uint4 upper[2] = {upper_at[8 * step], upper_at[8 * step + 4]};
            const uint4 lower[2] = {lower_at[8 * step], lower_at[8 * step + 4]};
            const uint4 right[2] = {right_at[8 * step], right_at[8 * step + 4]};
            Rows left, top;
            set_anchor(left.anchor[0], left_anchor[step]);
            set_anchor(left.anchor[1], left_anchor[8 * steps + step]);
            set_anchor(top.anchor[0], top_anchor[step]);
            set_anchor(top.anchor[1], top_anchor[steps + step]);
            step_16x8(d, upper, lower, right, left, top, (int)fraction);
        }
        finish.store_pair(d[0], d[1], row, column + 2 * quad);
        finish.store_pair(d[2], d[3], row + 8, column + 2 * quad);
    }
}

}  // namespace fp4
