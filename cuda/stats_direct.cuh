// Error statistics of bfloat16 and float16 blocks: a thread loads a block into registers while it works on the one before.
#pragma once

#include "stats_rare.cuh"

namespace fp4 {

struct Found {  // of one thread
    double sums[8];  // but what `errors` has
    RunningErrors errors;
    u32 n_over, n_kept, groups;
    Counter all, negative;
    Worst worst;
};

template <Input type, int HALVES>
__device__ __forceinline__ void one_block(
    const void* x, i64 block, const Sixteen<type> (&halves)[HALVES], Shared& shared, Found& f) {
    float amax, least;
    halves[0].range(amax, least);
    if (HALVES == 2) {
        float other, other_least;
        halves[HALVES - 1].range(other, other_least);
        amax = fmaxf(amax, other), least = fminf(least, other_least);
    }
    u32 code;
    const ScaleEntry scale = shared.table.find(amax, code);
    const float factor = scale.factor;
    const double decode = scale.decode, width = amax;
    atomicAdd(&shared.bins[N_SCALES + code], 1u);
    double bound = width;
    if (decode == 0.0) {
        const Vanished v = vanished<type>(x, block * 16 * HALVES, 16 * HALVES, factor, shared.bins);
        f.errors.square += v.square, f.errors.sum -= v.sum, f.sums[E2_SCALE_ZERO] += v.square;
        if (amax == 0.0f) f.worst.take(0.0, block * 16 * HALVES);  // below it is passed over: its bound is 0
    } else {
        float top = 0;
        FP4_UNROLL
        for (int h = 0; h < HALVES; ++h) {
            BlockErrors b;
            block_errors(halves[h], factor, decode, f.errors, f.n_over, b);
            const double values = decode * decode * (double)b.grid, along = decode * b.along;
            f.sums[XHAT2] += values;
            f.sums[X_XHAT] += values - along;
            f.sums[X2] += (values - along) - along;
            add_groups(f.all, b.values, f.negative, b.negative, f.groups);
            ++f.groups;
            top = fmaxf(top, b.top);
        }
        if (least == 0.0f) {
            FP4_UNROLL
            for (int h = 0; h < HALVES; ++h) {
                FP4_UNROLL
                for (int i = 0; i < 16; ++i) f.n_kept += halves[h][i] == 0.0f;
            }
        }
        bound = bound_of(top);
    }
    // A ratio may be the worst only where bound / amax may be: told without a division, generously.
    if (bound > f.worst.ratio * width && bound >= *(volatile double*)&shared.hint * width) {
        const double before = f.worst.ratio, per_amax = amax > 0.0f ? 1.0 / width : 0.0;
        f.worst = search_worst<type>(x, block * 16 * HALVES, 16 * HALVES, factor, decode, per_amax, f.worst);
        if (f.worst.ratio > before) atomicMax((u64*)&shared.hint, (u64)__double_as_longlong(f.worst.ratio));
    }
}

struct All {  // blocks one after the other
    __device__ __forceinline__ i64 operator[](i64 n) const { return n; }
};

struct Listed {
    const u32* list;
    __device__ __forceinline__ i64 operator[](i64 n) const { return list[n]; }
};

template <Input type, int HALVES>
__device__ __forceinline__ void load(const void* x, i64 block, Sixteen<type> (&halves)[HALVES]) {
    FP4_UNROLL
    for (int h = 0; h < HALVES; ++h) halves[h].load(x, block * HALVES + h);
}

template <Input type, int HALVES, class Which>
__device__ __forceinline__ void stats(
    const void* x, i64 blocks, Which which, const ScaleTable* scales, double* sums, double* worst, i64* where, u64* counts) {
    __shared__ ScaleTable table;
    __shared__ u32 bins[COUNTS];
    __shared__ double hint;
    Shared shared{table, bins, hint};
    shared.begin(scales);

    Found f;
    f.n_over = f.n_kept = f.groups = 0;
    f.all.clear();
    f.negative.clear();
    f.worst = {-1.0, -1};
    const i64 per_chunk = THREADS * BLOCKS_PER_THREAD, chunks = (blocks + per_chunk - 1) / per_chunk;
    for (i64 chunk = blockIdx.x; chunk < chunks; chunk += gridDim.x) {
        FP4_UNROLL
        for (int i = 0; i < 8; ++i) f.sums[i] = 0;
        f.errors.square = f.errors.sum = f.errors.over = f.errors.flushed = 0;
        i64 block = chunk * per_chunk + threadIdx.x;
        const i64 ahead = blocks > block ? (blocks - block + THREADS - 1) / THREADS : 0;
        const int count = ahead < BLOCKS_PER_THREAD ? (int)ahead : BLOCKS_PER_THREAD;
        Sixteen<type> next[HALVES];
        if (count > 0) load<type, HALVES>(x, which[block], next);
        FP4_ROLLED
        for (int k = 0; k < count; ++k, block += THREADS) {
            Sixteen<type> halves[HALVES];
            FP4_UNROLL
            for (int h = 0; h < HALVES; ++h) halves[h] = next[h];
            if (k + 1 < count) load<type, HALVES>(x, which[block + THREADS], next);
            one_block<type, HALVES>(x, which[block], halves, shared, f);
        }
        f.sums[X2] += f.errors.square, f.sums[E] = f.errors.sum, f.sums[E2] = f.errors.square;
        f.sums[E2_OVER] = f.errors.over, f.sums[E2_FLUSHED] = f.errors.flushed;
        const double total = block_sums(f.sums);
        if (threadIdx.x < 8) sums[chunk * 8 + threadIdx.x] = total;
        if (__syncthreads_or(f.groups + HALVES * BLOCKS_PER_THREAD > Counter::LIMIT)) {
            shared.add_codes(f.all, f.negative, f.groups);
            f.all.clear();
            f.negative.clear();
            f.groups = 0;
        }
    }
    shared.add_codes(f.all, f.negative, f.groups);
    shared.add_over_and_kept(f.n_over, f.n_kept);
    shared.finish(f.worst, worst, where, counts);
}

}  // namespace fp4
