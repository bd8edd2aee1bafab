// The GEMM on fp16 tensor cores, with the proof that its bits are Blackwell's.
//
// Let every product of row i and column j be a multiple of UNIT. While every partial sum stays below 2^24 UNIT,
//  * Blackwell's step cuts nothing: C is below 2^24 UNIT, so that its anchor leaves UNIT above the quantum (23 <= fraction); a
//    group's anchor does while the row's and the column's spread add up to at most `fraction`; and float32 holds the sum;
//  * nor does a tensor core that aligns the addends of an instruction and rounds once, whatever it keeps beyond 23 bits below
//    the largest exponent (Hopper: 25) and in whatever order it takes K: an addend, product or accumulator, is below
//    2^24 UNIT, so its exponent is that of 2^23 UNIT at most, and the last of 23 bits below it is UNIT.
// So both give the exact sum. Partial sums of any order within 64 elements of K are bounded by Cauchy and Schwarz: with
// S the sum before or after them, |S| + |a| |b| for the norms of the row's and the column's 64 elements. The sums are looked
// at after every 128 elements, in registers; each look covers the 64 before and the 64 after. Column norms are the largest
// of 256. What is not proven goes on a list, by 16 x 8 outputs, or by 128 x 256 where more than a quarter of a tile fails.
#pragma once

#include "gemm_epilogue.cuh"
#include "gemm_operands.cuh"
#include "tensor_core.cuh"

namespace fp4 {

constexpr int TILE_M = 128, TILE_N = 256, PROVEN_THREADS = 256, STAGE_BYTES = (TILE_M + TILE_N) * 128;
constexpr int MANY_WARP = 8, MANY_TILE = 64;  // of 32 and 256 subtiles: a quarter

#if !defined(STAGES)
#define STAGES 4
#endif

// Tiles in bands of 8 tile rows, column by column: neighbours in time share operands in L2.
struct Place {
    int row, column;
};

__device__ __forceinline__ Place tile_place(int index, int tile_rows, int tile_columns) {
    const int band = index / (8 * tile_columns), height = min(8, tile_rows - 8 * band), rest = index - band * 8 * tile_columns;
    return {8 * band + rest % height, rest / height};
}

__device__ __forceinline__ int tiles_of(i64 length, int tile) { return (int)((length + tile - 1) / tile); }

struct Bounds {  // of 64 elements of K: two rows and all columns of the tile
    float upper, lower, columns;
};

__device__ __forceinline__ Bounds read_bounds(const float* norms, const float* pool, i64 step, i64 steps, i64 rows, i64 pools,
                                              int row, int column) {
    if (step < 0 || step >= steps) return {0.0f, 0.0f, 0.0f};
    return {norms[step * rows + row], norms[step * rows + row + 8], pool[step * pools + column]};
}

// Bit n: some output of the warp's n-th 16 x 8 may reach the limit in the steps before or after.
__device__ __forceinline__ u32 unproven(const float (&d)[128], Bounds before, Bounds after, bool wide_upper, bool wide_lower) {
    const float upper = fmaxf(__fmul_ru(before.upper, before.columns), __fmul_ru(after.upper, after.columns));
    const float lower = fmaxf(__fmul_ru(before.lower, before.columns), __fmul_ru(after.lower, after.columns));
    const float most_upper = wide_upper ? -1.0f : __fsub_rd(LIMIT, upper);
    const float most_lower = wide_lower ? -1.0f : __fsub_rd(LIMIT, lower);
    float top_upper = 0.0f, top_lower = 0.0f;
#pragma unroll
    for (int i = 0; i < 128; i += 4) {
        top_upper = fmaxf(top_upper, fmaxf(fabsf(d[i]), fabsf(d[i + 1])));
        top_lower = fmaxf(top_lower, fmaxf(fabsf(d[i + 2]), fabsf(d[i + 3])));
    }
    if (!__any_sync(~0u, !(top_upper < most_upper) || !(top_lower < most_lower))) return 0;
    u32 failed = 0;
#pragma unroll
    for (int n = 0; n < 32; ++n) {
        const bool upper_holds = fmaxf(fabsf(d[4 * n]), fabsf(d[4 * n + 1])) < most_upper;
        const bool lower_holds = fmaxf(fabsf(d[4 * n + 2]), fabsf(d[4 * n + 3])) < most_lower;
        failed |= (__any_sync(~0u, !(upper_holds && lower_holds)) ? 1u : 0u) << n;
    }
    return failed;
}

__device__ __forceinline__ int swizzled(int row, int chunk) {
#if defined(FP4_WGMMA)
    return row * 128 + ((chunk ^ (row & 7)) << 4);
#else
    return row * 128 + ((chunk ^ ((row & 1) << 2)) << 4);
#endif
}

// 64 elements of K of the tile, from shared memory at `stage`.
__device__ __forceinline__ void multiply_stage(float (&d)[128], u32 stage, int warp, int lane) {
#if defined(FP4_WGMMA)
    const u64 a = descriptor(stage + (warp / 4) * 64 * 128), b = descriptor(stage + TILE_M * 128);
    wgmma_begin();
#pragma unroll
    for (int k = 0; k < 4; ++k) wgmma_256(d, a + 2 * k, b + 2 * k);
    wgmma_commit();
#else
    const int row = lane / 4, quad = lane % 4;
    for (int pair = 0; pair < 2; ++pair) {
        const uint4 upper = load_shared(stage + swizzled(16 * warp + row, 4 * pair + quad));
        const uint4 lower = load_shared(stage + swizzled(16 * warp + row + 8, 4 * pair + quad));
#pragma unroll
        for (int n = 0; n < 32; ++n) {
            const uint4 b = load_shared(stage + TILE_M * 128 + swizzled(8 * n + row, 4 * pair + quad));
            float(&part)[4] = *reinterpret_cast<float(*)[4]>(&d[4 * n]);
            mma_16816(part, upper.x, lower.x, upper.y, lower.y, b.x, b.y);
            mma_16816(part, upper.z, lower.z, upper.w, lower.w, b.z, b.w);
        }
    }
#endif
}

// lists: number of tiles, number of subtiles, then room for all tiles, then for all subtiles of 16 x 8.
extern "C" __global__ void __launch_bounds__(PROVEN_THREADS, 1)
    gemm_proven(const u8* a, const u8* b, const float* norms, const float* pool, const int* spread, const int* pool_spread,
                i64 rows, i64 columns, i64 steps, i64 fraction, const float* unshift_a, const float* unshift_b, const float* c,
                const float* bias, float factor, float beta, void* out, i64 kind, i64 m, i64 n, u32* lists) {
    extern __shared__ u8 shared[];
    __shared__ int failures;
    const u32 stages = (shared_address(shared) + 1023u) & ~1023u;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int tile_rows = tiles_of(m, TILE_M), tile_columns = tiles_of(n, TILE_N);
    const Place tile = tile_place(blockIdx.x, tile_rows, tile_columns);
    const int row = tile.row * TILE_M + 16 * warp + lane / 4;
    if (threadIdx.x == 0) failures = 0;

    const int copied_row = threadIdx.x / 8, chunk = threadIdx.x % 8;
    const u8* from_a = a + ((i64)tile.row * TILE_M + copied_row) * steps * 128 + chunk * 16;
    const u8* from_b = b + ((i64)tile.column * TILE_N + copied_row) * steps * 128 + chunk * 16;
    const u32 to = swizzled(copied_row, chunk);
    auto copy_step = [&](i64 step) {
        if (step < steps) {
            const u32 stage = stages + (u32)(step % STAGES) * STAGE_BYTES + to;
#pragma unroll
            for (int i = 0; i < 4; ++i) copy_async(stage + i * 4096, from_a + (i * 32 * steps + step) * 128);
#pragma unroll
            for (int i = 0; i < 8; ++i) copy_async(stage + (i + 4) * 4096, from_b + (i * 32 * steps + step) * 128);
        }
        commit_copies();
    };
#if defined(FP4_WGMMA)
    constexpr int AHEAD = STAGES - 2;  // the stage before the last may still be read
#else
    constexpr int AHEAD = STAGES - 1;
#endif
    for (int step = 0; step < AHEAD; ++step) copy_step(step);

    float d[128];
#pragma unroll
    for (int i = 0; i < 128; ++i) d[i] = 0.0f;
    const int column_spread = pool_spread[tile.column];
    const bool wide_upper = spread[row] + column_spread > fraction, wide_lower = spread[row + 8] + column_spread > fraction;
    auto bounds = [&](i64 step) { return read_bounds(norms, pool, step, steps, rows, columns / POOL, row, tile.column); };
    Bounds before = {0.0f, 0.0f, 0.0f}, after = bounds(0);
    u32 failed = 0;
    bool hopeless = false;
    for (i64 step = 0;; step += 2) {
#if defined(FP4_WGMMA)
        wgmma_wait<0>();
#pragma unroll
        for (int i = 0; i < 128; ++i) asm volatile("" : "+f"(d[i])::"memory");
#endif
        failed |= unproven(d, before, after, wide_upper, wide_lower);
        if (step >= steps) break;
        if (step && step % 8 == 0 && __syncthreads_count(__popc(failed) >= MANY_WARP) >= PROVEN_THREADS / 2) {
            hopeless = true;
            break;
        }
        before = bounds(step + 1);
        after = bounds(step + 2);
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            wait_copies<AHEAD - 1>();
#if defined(FP4_WGMMA)
            proxy_fence();
#endif
            __syncthreads();
            multiply_stage(d, stages + (u32)((step + half) % STAGES) * STAGE_BYTES, warp, lane);
            copy_step(step + half + AHEAD);
#if defined(FP4_WGMMA)
            if (half == 0) wgmma_wait<1>();
#endif
        }
    }
    wait_copies<0>();
    __syncthreads();
    if (lane == 0 && failed) atomicAdd(&failures, __popc(failed));
    __syncthreads();
    const int tiles = tile_rows * tile_columns;
    if (hopeless || failures > MANY_TILE) {
        if (threadIdx.x == 0) lists[2 + atomicAdd(&lists[0], 1u)] = blockIdx.x;
        return;
    }
    if (lane == 0 && failed) {
        u32 at = atomicAdd(&lists[1], (u32)__popc(failed));
        const u32 first = (u32)(tile.row * 8 + warp) * (u32)(columns / 8) + tile.column * 32;
        for (int i = 0; i < 32; ++i)
            if (failed >> i & 1) lists[2 + tiles + at++] = first + i;
    }
    const Epilogue finish = {unshift_a, unshift_b, c, bias, factor, beta, out, (int)kind, (int)m, (int)n};
#pragma unroll
    for (int i = 0; i < 32; ++i) {
        const int column = tile.column * TILE_N + 8 * i + 2 * (lane % 4);
        finish.store_pair(d[4 * i], d[4 * i + 1], row, column);
        finish.store_pair(d[4 * i + 2], d[4 * i + 3], row + 8, column);
    }
}

}  // namespace fp4
