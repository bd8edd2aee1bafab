// The GEMM on fp16 tensor cores, with the proof that its bits are Blackwell's.
//
// Let every product of row i and column j be a multiple of UNIT. While every partial sum stays below 2^24 UNIT,
//  * Blackwell's step cuts nothing: C is below 2^24 UNIT, so that its anchor leaves UNIT above the quantum (23 <= fraction); a
//    group's anchor does while the row's and the column's spread add up to at most `fraction`; and float32 holds the sum;
//  * nor does a tensor core that aligns the addends of an instruction and rounds once, whatever it keeps beyond 23 bits below
//    the largest exponent (Hopper: 25, by fp4sim.mma.fit) and in whatever order it takes K: an addend, product or
//    accumulator, is below 2^24 UNIT, so its exponent is that of 2^23 UNIT at most, and the last of 23 bits below it is UNIT.
// So both give the exact sum. Partial sums of any order within 64 elements of K are bounded by Cauchy and Schwarz: with
// S the sum before or after them, |S| + |a| |b| for the norms of the row's and the column's 64 elements. An accumulator to
// start from is a sum like others, once it is seen to be a multiple of UNIT. The sums are looked at every 128 elements, in registers; each look covers the 64 before and the 64 after. Column norms are the largest
// of 256. What is not proven goes on a list, by 16 x 8 outputs, or by 128 x 256 where more than a quarter of a tile fails.
#pragma once

#include "gemm_begin.cuh"
#include "gemm_fragments.cuh"
#include "gemm_operands.cuh"

namespace fp4 {

constexpr int TILE_M = 128, TILE_N = 256, HALF_TILE = 128 * 128, STAGE_BYTES = 3 * HALF_TILE;
constexpr int MANY_FAILURES = 64;  // of 256 subtiles: a quarter

#if !defined(STAGES)
#define STAGES 4
#endif

// Tiles in bands of 8 tile rows, column by column: neighbours in time share operands in L2, pairs of blocks a column.
struct Place {
    int row, column;
};

__device__ __forceinline__ Place tile_place(int index, int tile_rows, int tile_columns) {
    const int band = index / (8 * tile_columns), height = min(8, tile_rows - 8 * band), rest = index - band * 8 * tile_columns;
    return {8 * band + rest % height, rest / height};
}

struct Bounds {  // of 64 elements of K: two rows and all columns of the tile
    float upper, lower, columns;
};

// What a warp knows of the proof of its 16 rows; a thread looks at rows `row` and `row` + 8.
struct Proof {
    const float *norms, *pool;
    i64 steps, rows, pools;
    bool wide_upper, wide_lower;
    Bounds before, after;
    u32 failed = 0;  // bit n: not all of the warp's n-th 16 x 8 is proven

    __device__ __forceinline__ Bounds bounds(i64 step) const {
        if (step < 0 || step >= steps) return {0.0f, 0.0f, 0.0f};
        return {norms[step * rows], norms[step * rows + 8], pool[step * pools]};
    }
    __device__ __forceinline__ void expect(i64 step) {  // the next look comes before this step
        before = bounds(step - 1);
        after = bounds(step);
    }
    // Sums from 0, or from accumulators of which the proof needs what it knows of every later sum: multiples of UNIT.
    template <bool BEGUN> __device__ __forceinline__ void begin(float (&d)[128], const float* begun, i64 columns) {
        if (!BEGUN) {
#pragma unroll
            for (int i = 0; i < 128; ++i) d[i] = 0.0f;
            return;
        }
        const int lane = threadIdx.x % 32;
#pragma unroll
        for (int n = 0; n < 32; ++n) {
            float(&part)[4] = *reinterpret_cast<float(*)[4]>(&d[4 * n]);
            load_start(part, begun, columns, 0, 8 * n, lane);
            const bool whole = is_whole(part[0]) && is_whole(part[1]) && is_whole(part[2]) && is_whole(part[3]);
            failed |= (__any_sync(~0u, !whole) ? 1u : 0u) << n;
        }
    }
    __device__ __forceinline__ void look(const float (&d)[128]) {
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
        if (!__any_sync(~0u, !(top_upper < most_upper) || !(top_lower < most_lower))) return;
#pragma unroll
        for (int n = 0; n < 32; ++n) {
            const bool upper_holds = fmaxf(fabsf(d[4 * n]), fabsf(d[4 * n + 1])) < most_upper;
            const bool lower_holds = fmaxf(fabsf(d[4 * n + 2]), fabsf(d[4 * n + 3])) < most_lower;
            failed |= (__any_sync(~0u, !(upper_holds && lower_holds)) ? 1u : 0u) << n;
        }
    }
};

}  // namespace fp4

#if defined(FP4_WGMMA)
#include "gemm_loop_sm90.cuh"
#else
#include "gemm_loop_sm80.cuh"
#endif

namespace fp4 {

struct ProvenArguments {
    const u8 *a, *b;
    const float *norms, *pool;
    const int *spread, *pool_spread;
    i64 rows, columns, steps, fraction;
    u32* lists;
    const float* begun;
};

template <bool BEGUN> __device__ __forceinline__ void prove_tile(const ProvenArguments& x, const Epilogue& finish, u8* shared) {
    const i64 rows = x.rows, columns = x.columns, steps = x.steps;
    __shared__ int failures;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int tile_rows = (int)(rows / TILE_M), tile_columns = (int)(columns / TILE_N);
    const Place tile = tile_place(blockIdx.x, tile_rows, tile_columns);
    const int row = tile.row * TILE_M + 16 * warp + lane / 4;
    if (threadIdx.x == 0) failures = 0;
    const int wide = (int)x.fraction - x.pool_spread[tile.column];
    Proof proof = {x.norms + row,   x.pool + tile.column,   steps,                     rows,
                   columns / POOL, x.spread[row] > wide, x.spread[row + 8] > wide};

    float d[128];
    const u8* from_a = x.a + tile.row * steps * HALF_TILE;
    const u8* from_b = x.b + 2 * tile.column * steps * HALF_TILE;
    u8* stages = shared + ((0u - shared_address(shared)) & 1023u);
    const float* start = x.begun + ((i64)tile.row * TILE_M + 16 * warp) * columns + tile.column * TILE_N;
    multiply_tile<BEGUN>(d, proof, from_a, from_b, steps, shared_address(stages), start, columns);

    if (lane == 0 && proof.failed) atomicAdd(&failures, __popc(proof.failed));
    __syncthreads();
    u32* lists = x.lists;
    if (failures > MANY_FAILURES) {
        if (threadIdx.x == 0) lists[2 + atomicAdd(&lists[0], 1u)] = blockIdx.x;
        return;
    }
    if (lane == 0 && proof.failed) {
        u32 at = atomicAdd(&lists[1], (u32)__popc(proof.failed));
        const u32 first = (u32)(tile.row * 8 + warp) * (u32)(columns / 8) + tile.column * 32;
        for (int i = 0; i < 32; ++i)
            if (proof.failed >> i & 1) lists[2 + tile_rows * tile_columns + at++] = first + i;
    }
    float* parked = reinterpret_cast<float*>(stages);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        if (half) __syncthreads();
#pragma unroll
        for (int i = 0; i < 16; ++i)
            park<128>(parked, *reinterpret_cast<const float(*)[4]>(&d[64 * half + 4 * i]), 16 * warp, 8 * i, lane);
        __syncthreads();
        store_parked<TILE_M, 128>(finish, parked, tile.row * TILE_M, tile.column * TILE_N + 128 * half);
    }
}

// lists: number of tiles, number of subtiles, then room for all tiles, then for all subtiles of 16 x 8.
extern "C" __global__ void FP4_CLUSTER __launch_bounds__(PROVEN_THREADS, 1)
    gemm_proven(const u8* a, const u8* b, const float* norms, const float* pool, const int* spread, const int* pool_spread,
                i64 rows, i64 columns, i64 steps, i64 fraction, const float* unshift_a, const float* unshift_b, const float* c,
                const float* bias, i64 factor, i64 beta, void* out, i64 kind, i64 m, i64 n, u32* lists) {
    extern __shared__ u8 shared[];
    prove_tile<false>({a, b, norms, pool, spread, pool_spread, rows, columns, steps, fraction, lists, nullptr},
                      epilogue(unshift_a, unshift_b, c, bias, factor, beta, out, kind, m, n), shared);
}

// The same from accumulators that gemm_begin made ready; a kernel of its own, or the compiler serializes the loop of both.
extern "C" __global__ void FP4_CLUSTER __launch_bounds__(PROVEN_THREADS, 1)
    gemm_proven_begun(const u8* a, const u8* b, const float* norms, const float* pool, const int* spread, const int* pool_spread,
                      i64 rows, i64 columns, i64 steps, i64 fraction, const float* unshift_a, const float* unshift_b,
                      const float* c, const float* bias, i64 factor, i64 beta, void* out, i64 kind, i64 m, i64 n, u32* lists,
                      const float* begun) {
    extern __shared__ u8 shared[];
    prove_tile<true>({a, b, norms, pool, spread, pool_spread, rows, columns, steps, fraction, lists, begun},
                     epilogue(unshift_a, unshift_b, c, bias, factor, beta, out, kind, m, n), shared);
}

}  // namespace fp4
