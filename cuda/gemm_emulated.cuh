// The GEMM step by step: a group's sum of 16 products comes exactly from one fp16 tensor-core instruction whose accumulator
// starts at 0 (at most 20 significant bits under a common scale), the step itself from narrow_step.
#pragma once

#include "gemm_fragments.cuh"
#include "gemm_operands.cuh"
#include "gemm_proven.cuh"
#include "mma_step.cuh"

namespace fp4 {

constexpr int DENSE_SIDE = 64, DENSE_THREADS = 256, DENSE_STAGES = 3;
constexpr int SPARSE_THREADS = 128, SPARSE_STAGES = 4, SPARSE_STAGE_BYTES = 24 * (128 + 16);
constexpr int DENSE_TILE = DENSE_SIDE * 128, DENSE_ANCHORS = DENSE_SIDE * 16;
constexpr int DENSE_STAGE_BYTES = 2 * (DENSE_TILE + DENSE_ANCHORS), DENSE_IN_TILE = TILE_M * TILE_N / (DENSE_SIDE * DENSE_SIDE);

struct Lines {  // two rows (or columns) of a thread: four groups' anchors each
    Anchor anchor[2][4];

    __device__ __forceinline__ void set(int i, uint4 x) {
        anchor[i][0] = (int)x.x, anchor[i][1] = (int)x.y, anchor[i][2] = (int)x.z, anchor[i][3] = (int)x.w;
    }
    __device__ __forceinline__ Anchor all() const {
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
    const bool sure = !__any_sync(~0u, (rows.all() | columns.all()) & FEW);
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

// A step of 16 rows by COLUMNS columns from a stage in shared memory: values of rows at `left`, of columns at `top`, anchors.
template <int COLUMNS>
__device__ __forceinline__ void step_rows(float (&d)[COLUMNS / 8][4], u32 left, u32 top, u32 left_anchors, u32 top_anchors,
                                          int row, int column, int lane, int fraction) {
    const uint4 a[4] = {load_rows(left, row, 0, lane), load_rows(left, row, 1, lane), load_rows(left, row, 2, lane),
                        load_rows(left, row, 3, lane)};
    Lines rows;
    rows.set(0, load_shared(left_anchors + (row + lane / 4) * 16));
    rows.set(1, load_shared(left_anchors + (row + lane / 4 + 8) * 16));
#pragma unroll
    for (int j = 0; j < COLUMNS / 8; ++j) {
        const int first = column + 8 * j;
        const uint4 b[2] = {load_columns(top, first, 0, lane), load_columns(top, first, 1, lane)};
        Lines columns;
        columns.set(0, load_shared(top_anchors + (first + 2 * (lane % 4)) * 16));
        columns.set(1, load_shared(top_anchors + (first + 2 * (lane % 4) + 1) * 16));
        step_16x8(d[j], a, b, rows, columns, fraction);
    }
}

// Tiles of 64 x 64, eight a tile of gemm_proven: those on its list, or all where `lists` is null. begun: what gemm_begin made
// of the accumulators to start from, or null for +0.
extern "C" __global__ void __launch_bounds__(DENSE_THREADS, 3)
    gemm_dense(const u8* a, const u8* b, const u8* anchors_a, const u8* anchors_b, i64 rows, i64 columns, i64 steps, i64 fraction,
               const float* unshift_a, const float* unshift_b, const float* c, const float* bias, i64 factor, i64 beta, void* out,
               i64 kind, i64 m, i64 n, const u32* lists, const float* begun) {
    extern __shared__ __align__(128) u8 shared[];
    const u32 stages = shared_address(shared), own = threadIdx.x * 16;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, tile_rows = (int)(rows / TILE_M);
    const int tile_columns = (int)(columns / TILE_N), row = 16 * (warp / 2), column = 32 * (warp % 2);
    const int items = DENSE_IN_TILE * (lists ? (int)lists[0] : tile_rows * tile_columns);
    const Epilogue finish = epilogue(unshift_a, unshift_b, c, bias, factor, beta, out, kind, m, n);
    for (int item = blockIdx.x; item < items; item += gridDim.x) {
        const int index = item / DENSE_IN_TILE, part = item % DENSE_IN_TILE;
        const Place tile = tile_place(lists ? (int)lists[2 + index] : index, tile_rows, tile_columns);
        const int first_row = tile.row * TILE_M + part % 2 * DENSE_SIDE;
        const int first_column = tile.column * TILE_N + part / 2 * DENSE_SIDE;
        if (first_row >= m || first_column >= n) continue;
        const i64 line_a = line_place(first_row, 0, steps), line_b = line_place(first_column, 0, steps);
        const u8 *from_a = a + line_a * 128 + own, *from_b = b + line_b * 128 + own;
        const u8* from_anchors =
            threadIdx.x < DENSE_SIDE ? anchors_a + line_a * 16 + own : anchors_b + line_b * 16 + own - DENSE_ANCHORS;
        auto copy_step = [&](int step) {
            if (step < steps) {
                const u32 stage = stages + step % DENSE_STAGES * DENSE_STAGE_BYTES + own;
#pragma unroll
                for (int i = 0; i < 2; ++i) {
                    copy_async(stage + i * 4096, from_a + (i64)step * HALF_TILE + i * 4096);
                    copy_async(stage + DENSE_TILE + i * 4096, from_b + (i64)step * HALF_TILE + i * 4096);
                }
                if (threadIdx.x < 2 * DENSE_SIDE) copy_async(stage + 2 * DENSE_TILE, from_anchors + step * 128ll * 16);
            }
            commit_copies();
        };
        __syncthreads();  // the tile before is stored
        for (int step = 0; step < DENSE_STAGES - 1; ++step) copy_step(step);
        float d[4][4] = {};
        if (begun)
#pragma unroll
            for (int j = 0; j < 4; ++j) load_start(d[j], begun, columns, first_row + row, first_column + column + 8 * j, lane);
        for (int step = 0; step < steps; ++step) {
            wait_copies<DENSE_STAGES - 2>();
            __syncthreads();
            copy_step(step + DENSE_STAGES - 1);
            const u32 stage = stages + step % DENSE_STAGES * DENSE_STAGE_BYTES, left_anchors = stage + 2 * DENSE_TILE;
            step_rows<32>(d, stage, stage + DENSE_TILE, left_anchors, left_anchors + DENSE_ANCHORS, row, column, lane,
                          (int)fraction);
        }
        wait_copies<0>();
        __syncthreads();
        float* parked = reinterpret_cast<float*>(shared);
#pragma unroll
        for (int j = 0; j < 4; ++j) park<DENSE_SIDE>(parked, d[j], row, column + 8 * j, lane);
        __syncthreads();
        store_parked<DENSE_SIDE, DENSE_SIDE>(finish, parked, first_row, first_column);
    }
}

// The subtiles on gemm_proven's list, one a warp, each with stages of its own.
extern "C" __global__ void __launch_bounds__(SPARSE_THREADS)
    gemm_sparse(const u8* a, const u8* b, const u8* anchors_a, const u8* anchors_b, i64 rows, i64 columns, i64 steps, i64 fraction,
                const float* unshift_a, const float* unshift_b, const float* c, const float* bias, i64 factor, i64 beta, void* out,
                i64 kind, i64 m, i64 n, const u32* lists, const float* begun) {
    extern __shared__ __align__(128) u8 shared[];
    const int lane = threadIdx.x % 32;
    const u32 stages = shared_address(shared) + threadIdx.x / 32 * SPARSE_STAGES * SPARSE_STAGE_BYTES;
    const u32 tiles = (u32)((rows / TILE_M) * (columns / TILE_N)), count = lists[1], across = (u32)(columns / 8);
    const Epilogue finish = epilogue(unshift_a, unshift_b, c, bias, factor, beta, out, kind, m, n);
    for (u32 item = (blockIdx.x * blockDim.x + threadIdx.x) / 32; item < count; item += gridDim.x * blockDim.x / 32) {
        const u32 subtile = lists[2 + tiles + item];
        const int row = (int)(subtile / across) * 16, column = (int)(subtile % across) * 8;
        if (row >= m || column >= n) continue;
        const i64 line_a = line_place(row, 0, steps), line_b = line_place(column, 0, steps);
        const u8 *from_a = a + line_a * 128 + lane * 16, *from_b = b + line_b * 128 + lane * 16;
        const u8* from_anchors = (lane < 16 ? anchors_a + line_a * 16 : anchors_b + (line_b - 16) * 16) + lane * 16;
        auto copy_step = [&](int step) {
            if (step < steps) {
                const u32 stage = stages + step % SPARSE_STAGES * SPARSE_STAGE_BYTES + lane * 16;
#pragma unroll
                for (int i = 0; i < 4; ++i) copy_async(stage + i * 512, from_a + (i64)step * HALF_TILE + i * 512);
#pragma unroll
                for (int i = 0; i < 2; ++i) copy_async(stage + (4 + i) * 512, from_b + (i64)step * HALF_TILE + i * 512);
                if (lane < 24) copy_async(stage + 24 * 128, from_anchors + step * 128ll * 16);
            }
            commit_copies();
        };
        for (int step = 0; step < SPARSE_STAGES - 1; ++step) copy_step(step);
        float d[1][4] = {};
        if (begun) load_start(d[0], begun, columns, row, column, lane);
        for (int step = 0; step < steps; ++step) {
            wait_copies<SPARSE_STAGES - 2>();
            __syncwarp();
            copy_step(step + SPARSE_STAGES - 1);
            const u32 stage = stages + step % SPARSE_STAGES * SPARSE_STAGE_BYTES, left_anchors = stage + 24 * 128;
            step_rows<8>(d, stage, stage + 16 * 128, left_anchors, left_anchors + 16 * 16, 0, 0, lane, (int)fraction);
        }
        wait_copies<0>();
        __syncwarp();
#pragma unroll
        for (int i = 0; i < 4; ++i) finish.store_one(d[0][i], row + lane / 4 + i / 2 * 8, column + 2 * (lane % 4) + i % 2);
    }
}

}  // namespace fp4
