// The GEMM step by step: a group's sum of 16 products comes exactly from one fp16 tensor-core instruction whose accumulator
// starts at 0 (at most 20 significant bits under a common scale), the step itself from narrow_step.
#pragma once

#include "gemm_fragments.cuh"
#include "gemm_operands.cuh"
#include "gemm_proven.cuh"
#include "mma_step.cuh"

namespace fp4 {

constexpr int DENSE_SIDE = 64, DENSE_THREADS = 256, DENSE_STAGES = 3;
constexpr int DENSE_TILE = DENSE_SIDE * 128, DENSE_ANCHORS = DENSE_SIDE * 16;
constexpr int DENSE_STAGE_BYTES = 2 * (DENSE_TILE + DENSE_ANCHORS), DENSE_IN_TILE = TILE_M * TILE_N / (DENSE_SIDE * DENSE_SIDE);

struct Lines {  // two rows (or columns) of a thread: four groups' anchors each
    Anchor anchor[2][4];

    __device__ __forceinline__ void set(int i, uint4 x) {
        anchor[i][0] = x.x, anchor[i][1] = x.y, anchor[i][2] = x.z, anchor[i][3] = x.w;
    }
    __device__ __forceinline__ u32 signs() const {  // in bit 31
        return (anchor[0][0] | anchor[0][1] | anchor[0][2]) | (anchor[0][3] | anchor[1][0] | anchor[1][1]) | anchor[1][2] |
               anchor[1][3];
    }
};

// One step of the 16 x 8 outputs c: 16 rows of A by groups, 8 columns of B by pairs of groups.
__device__ __forceinline__ void step_16x8(float (&c)[4], const uint4 (&a)[4], const uint4 (&b)[2], const Lines& rows,
                                          const Lines& columns, int fraction) {
    float sums[4][4];
#pragma unroll
    for (int p = 0; p < 2; ++p) {
        mma_16816_zero(sums[2 * p], a[2 * p], b[p].x, b[p].y);
        mma_16816_zero(sums[2 * p + 1], a[2 * p + 1], b[p].z, b[p].w);
    }
    const bool sure = !__any_sync(~0u, (rows.signs() | columns.signs()) >> 31);
    if (sure) {
#pragma unroll
        for (int i = 0; i < 4; ++i)
            c[i] = narrow_step<true>({sums[0][i], sums[1][i], sums[2][i], sums[3][i]}, rows.anchor[i / 2], columns.anchor[i % 2],
                                     c[i], fraction);
    } else {
#pragma unroll
        for (int i = 0; i < 4; ++i)
            c[i] = narrow_step<false>({sums[0][i], sums[1][i], sums[2][i], sums[3][i]}, rows.anchor[i / 2],
                                      columns.anchor[i % 2], c[i], fraction);
    }
}

// Tiles of 64 x 64, eight a tile of gemm_proven: those on its list, or all where `lists` is null.
extern "C" __global__ void __launch_bounds__(DENSE_THREADS, 2)
    gemm_dense(const u8* a, const u8* b, const u8* anchors_a, const u8* anchors_b, i64 rows, i64 columns, i64 steps, i64 fraction,
               const float* unshift_a, const float* unshift_b, const float* c, const float* bias, float factor, float beta,
               void* out, i64 kind, i64 m, i64 n, const u32* lists) {
    extern __shared__ __align__(128) u8 shared[];
    const int item = blockIdx.x / DENSE_IN_TILE, part = blockIdx.x % DENSE_IN_TILE;
    if (lists && item >= lists[0]) return;
    const Place tile = tile_place(lists ? (int)lists[2 + item] : item, (int)(rows / TILE_M), (int)(columns / TILE_N));
    const int first_row = tile.row * TILE_M + part % 2 * DENSE_SIDE, first_column = tile.column * TILE_N + part / 2 * DENSE_SIDE;
    if (first_row >= m || first_column >= n) return;
    const u32 stages = shared_address(shared);
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, quad = lane % 4;

    const u32 own = threadIdx.x * 16;
    const u8 *from_a = a + line_place(first_row, 0, steps) * 128 + own, *from_b = b + line_place(first_column, 0, steps) * 128 + own;
    const u8* from_anchors = threadIdx.x < DENSE_SIDE ? anchors_a + line_place(first_row, 0, steps) * 16 + own
                                                      : anchors_b + line_place(first_column, 0, steps) * 16 + own - DENSE_ANCHORS;
    auto copy_step = [&](i64 step) {
        if (step < steps) {
            const u32 stage = stages + (u32)(step % DENSE_STAGES) * DENSE_STAGE_BYTES + own;
#pragma unroll
            for (int i = 0; i < 2; ++i) {
                copy_async(stage + i * 4096, from_a + step * HALF_TILE + i * 4096);
                copy_async(stage + DENSE_TILE + i * 4096, from_b + step * HALF_TILE + i * 4096);
            }
            if (threadIdx.x < 2 * DENSE_SIDE) copy_async(stage + 2 * DENSE_TILE, from_anchors + step * 128 * 16);
        }
        commit_copies();
    };
    for (int step = 0; step < DENSE_STAGES - 1; ++step) copy_step(step);

    float d[4][4] = {};
    const int row = 16 * (warp / 2), warp_column = 32 * (warp % 2);
    for (i64 step = 0; step < steps; ++step) {
        wait_copies<DENSE_STAGES - 2>();
        __syncthreads();
        copy_step(step + DENSE_STAGES - 1);
        const u32 stage = stages + (u32)(step % DENSE_STAGES) * DENSE_STAGE_BYTES;
        const u32 left_anchors = stage + 2 * DENSE_TILE, top_anchors = left_anchors + DENSE_ANCHORS;
        const uint4 left[4] = {load_rows(stage, row, 0, lane), load_rows(stage, row, 1, lane), load_rows(stage, row, 2, lane),
                               load_rows(stage, row, 3, lane)};
        Lines rows_of;
        rows_of.set(0, load_shared(left_anchors + (row + lane / 4) * 16));
        rows_of.set(1, load_shared(left_anchors + (row + lane / 4 + 8) * 16));
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            const int column = warp_column + 8 * j;
            const uint4 top[2] = {load_columns(stage + DENSE_TILE, column, 0, lane), load_columns(stage + DENSE_TILE, column, 1, lane)};
            Lines columns_of;
            columns_of.set(0, load_shared(top_anchors + (column + 2 * quad) * 16));
            columns_of.set(1, load_shared(top_anchors + (column + 2 * quad + 1) * 16));
            step_16x8(d[j], left, top, rows_of, columns_of, (int)fraction);
        }
    }
    wait_copies<0>();
    __syncthreads();
    const Epilogue finish = {unshift_a, unshift_b, c, bias, factor, beta, out, (int)kind, (int)m, (int)n};
    float* parked = reinterpret_cast<float*>(shared);
#pragma unroll
    for (int j = 0; j < 4; ++j) park<DENSE_SIDE>(parked, d[j], row, warp_column + 8 * j, lane);
    __syncthreads();
    store_parked<DENSE_SIDE, DENSE_SIDE>(finish, parked, first_row, first_column);
}

// The subtiles on gemm_proven's list, one a warp, operands straight from device memory.
extern "C" __global__ void __launch_bounds__(128)
    gemm_sparse(const uint2* a, const uint2* b, const uint4* anchors_a, const uint4* anchors_b, i64 rows, i64 columns, i64 steps,
                i64 fraction, const float* unshift_a, const float* unshift_b, const float* c, const float* bias, float factor,
                float beta, void* out, i64 kind, i64 m, i64 n, const u32* lists) {
    const int lane = threadIdx.x % 32, quad = lane % 4, g = lane / 4;
    const u32 tiles = (u32)((rows / TILE_M) * (columns / TILE_N)), count = lists[1], across = (u32)(columns / 8);
    const Epilogue finish = {unshift_a, unshift_b, c, bias, factor, beta, out, (int)kind, (int)m, (int)n};
    for (u32 item = (blockIdx.x * blockDim.x + threadIdx.x) / 32; item < count; item += gridDim.x * blockDim.x / 32) {
        const u32 subtile = lists[2 + tiles + item];
        const int row = (int)(subtile / across) * 16 + g, column = (int)(subtile % across) * 8;
        if (row - g >= m || column >= n) continue;
        // A thread feeds elements 4 quad to 4 quad + 3 of a group where the instruction has 2 quad, 2 quad + 8: the same sums.
        const uint2 *left_at = a + line_place(row, 0, steps) * 16, *top_at = b + line_place(column + g, 0, steps) * 16;
        const uint4* left_anchor = anchors_a + line_place(row, 0, steps);
        const uint4* top_anchor = anchors_b + line_place(column + 2 * quad, 0, steps);
        float d[4] = {};
#pragma unroll 2
        for (i64 step = 0; step < steps; ++step) {
            uint4 left[4], top[2];
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                const i64 place = step * 128 * 16 + (((2 * i + quad / 2) ^ g) * 2 + quad % 2);  // g is row & 7
                const uint2 upper = left_at[place], lower = left_at[place + 8 * 16], columns_at = top_at[place];
                left[i] = make_uint4(upper.x, lower.x, upper.y, lower.y);
                if (i % 2 == 0)
                    top[i / 2].x = columns_at.x, top[i / 2].y = columns_at.y;
                else
                    top[i / 2].z = columns_at.x, top[i / 2].w = columns_at.y;
            }
            Lines rows_of, columns_of;
            rows_of.set(0, left_anchor[step * 128]);
            rows_of.set(1, left_anchor[step * 128 + 8]);
            columns_of.set(0, top_anchor[step * 128]);
            columns_of.set(1, top_anchor[step * 128 + 1]);
            step_16x8(d, left, top, rows_of, columns_of, (int)fraction);
        }
        finish.store_one(d[0], row, column + 2 * quad);
        finish.store_one(d[1], row, column + 2 * quad + 1);
        finish.store_one(d[2], row + 8, column + 2 * quad);
        finish.store_one(d[3], row + 8, column + 2 * quad + 1);
    }
}

}  // namespace fp4
