// Error statistics of float32 blocks, a piece of 512 elements a warp at a time (staged_pieces.cuh). It is bound by instructions, and
// by registers: 128 a thread, so that sixteen warps share a multiprocessor. So what is rare is kept in local memory, and what
// follows from a sum over blocks is not summed by element or by block.
#pragma once

#include "staged_pieces.cuh"
#include "stats_rare.cuh"

namespace fp4 {

struct alignas(128) Staged {
    u32 pieces[WARPS][FOURS][4];
    ScaleTable table;
    u32 bins[COUNTS];
    double hint;
    u32 grid_low;  // GRID_LOW; a constant would be put into a register anew at every use
};

// Where its parts are, in bytes from its beginning. By sizes: not every NVRTC knows __builtin_offsetof of a part of a part.
constexpr u32 AT_COARSE = sizeof(Staged::pieces), AT_ENTRY = AT_COARSE + sizeof(ScaleTable::coarse);
constexpr u32 AT_DECODE = AT_ENTRY, AT_FACTOR = AT_ENTRY + sizeof(double), AT_NEXT = AT_FACTOR + sizeof(float);
constexpr u32 AT_BINS = AT_COARSE + sizeof(ScaleTable), AT_SCALES = AT_BINS + sizeof(u32) * N_SCALES;
constexpr u32 AT_HINT = AT_BINS + sizeof(Staged::bins);
#if !defined(__CUDACC__)
static_assert(AT_COARSE == offsetof(Staged, table.coarse) && AT_ENTRY == offsetof(Staged, table.entry));
static_assert(AT_DECODE == AT_ENTRY + offsetof(ScaleEntry, decode) && AT_FACTOR == AT_ENTRY + offsetof(ScaleEntry, factor));
static_assert(AT_NEXT == AT_ENTRY + offsetof(ScaleEntry, next) && AT_HINT == offsetof(Staged, hint));
static_assert(AT_BINS == offsetof(Staged, bins));
#endif

struct Rare {  // of a thread, in local memory
    Worst worst;
    double vanished, sum;  // of x^2 and -x of elements whose scale is 0
};

// The first element of the lane's sixteen of a piece.
__device__ __forceinline__ i64 first_of(u32 piece) { return ((i64)piece * 32 + (threadIdx.x & 31)) * 16; }

// rare: not a copy, so that none of it is in registers while none of it is needed.
template <Input type>
__device__ __noinline__ void search_sixteen(
    const void* x, u32 piece, float factor, double decode, double width, Rare* rare, double* hint) {
    const double before = rare->worst.ratio, per_amax = width > 0 ? 1.0 / width : 0.0;
    const Worst worst = search_worst<type>(x, first_of(piece), 16, factor, decode, per_amax, rare->worst);
    rare->worst = worst;
    if (worst.ratio > before) atomicMax((u64*)hint, (u64)__double_as_longlong(worst.ratio));
}

template <Input type>
__device__ __noinline__ void vanished_sixteen(
    const void* x, u32 piece, float amax, float factor, u32* bins, bool leads, Rare* rare) {
    u32 zeros;
    const Vanished v = add_vanished<type>(x, first_of(piece), 16, factor, bins, zeros);
    rare->vanished += v.square, rare->sum -= v.sum;
    if (amax == 0.0f) rare->worst.take(0.0, first_of(piece));
    if (leads && amax != 0.0f) atomicAdd(&bins[N_LOST], 1u);
}

struct Running {  // of one thread
    RunningErrors errors;
    double values, along;  // sums of d^2 r^2 and d r e
    float n_over;          // of a chunk, exact: float additions have more units than integer ones
    u32 n_kept, groups;
    Counter all, negative;
};

// The largest magnitude of the lane's block.
template <int LANES>
__device__ __forceinline__ float amax_of(const Sixteen<FP32>& x) {
    float most[4];
    FP4_UNROLL
    for (int q = 0; q < 4; ++q) {
        most[q] = larger_magnitude(magnitude(x[4 * q]), x[4 * q + 1]);
        most[q] = larger_magnitude(larger_magnitude(most[q], x[4 * q + 2]), x[4 * q + 3]);
    }
    const float amax = fmax_num(fmax_num(most[0], most[1]), fmax_num(most[2], most[3]));
    return LANES == 2 ? fmax_num(amax, __shfl_xor_sync(~0u, amax, 1)) : amax;
}

// |x factor| of sixteen elements, and the smallest's bits.
__device__ __forceinline__ u32 scale_sixteen(const Sixteen<FP32>& x, float factor, float (&scaled)[16]) {
    FP4_UNROLL
    for (int i = 0; i < 16; ++i) scaled[i] = mul(magnitude(x[i]), factor);
    u32 low[4];
    FP4_UNROLL
    for (int i = 0; i < 4; ++i)
        low[i] = least_of_three(bits_of(scaled[3 * i]), bits_of(scaled[3 * i + 1]), bits_of(scaled[3 * i + 2]));
    low[0] = least_of_three(low[0], bits_of(scaled[12]), bits_of(scaled[13]));
    low[1] = least_of_three(low[1], bits_of(scaled[14]), bits_of(scaled[15]));
    return least_of_three(least_of_three(low[0], low[1], low[2]), low[3], low[3]);
}

// Adds the errors of sixteen elements under one scale and gives a bound of the largest: the upper half of a double above it.
// What reaches 7 is limited to 6.5, which is over 6 as well and rounds to 6 too. ALWAYS: so are all, without asking for amax.
// What is flushed is told from |x factor|, which is there before r is: a quarter is a tie, and 0 is even.
template <bool ALWAYS>
__device__ __forceinline__ u32 add_sixteen(
    const Sixteen<FP32>& x, float amax, float factor, double decode, u32 grid_low, Running& f) {
    float scaled[16];
    const u32 least = scale_sixteen(x, factor, scaled);
    if (ALWAYS || mul(amax, factor) >= 7.0f) {
        FP4_UNROLL
        for (int i = 0; i < 16; ++i) scaled[i] = fmin_num(scaled[i], 6.5f);
    }
    BlockErrors block;
    block.along = 0, block.grid = block.top = 0;
    FP4_UNROLL
    for (int q = 0; q < 4; ++q) {
        float selector = NO_VALUES;
        FP4_UNROLL
        for (int i = 0; i < 4; ++i) {
            const float s = scaled[4 * q + i], r = nearest_e2m1_below_7(s);
            add_error(x[4 * q + i], s, r, s <= 0.25f, decode, f.errors, f.n_over, block);
            selector = with_value(selector, r, i);
        }
        set_values(block, q, grid_low, selector, x.signs(q));
    }
    f.values = fma_near(decode * decode, (double)block.grid, f.values);
    f.along = fma_near(decode, block.along, f.along);
    add_groups(f.all, block.values, f.negative, block.negative, f.groups);
    ++f.groups;
    if (least == 0u) {
        FP4_UNROLL
        for (int i = 0; i < 16; ++i) f.n_kept += x[i] == 0.0f;
    }
    return bits_of(block.top) + 4;
}

struct Scale {
    u32 code;
    float factor;
    double decode;
};

// ScaleTable::find, by place.
__device__ __forceinline__ Scale scale_of(Place shared, float amax) {
    Scale scale;
    scale.code = (shared + (bits_of(amax) >> 19) + AT_COARSE).byte();
    if (bits_of(amax) >= (shared + scale.code * (u32)sizeof(ScaleEntry) + AT_NEXT).word()) ++scale.code;
    const Place entry = shared + scale.code * (u32)sizeof(ScaleEntry);
    scale.decode = (entry + AT_DECODE).number();
    scale.factor = float_of((entry + AT_FACTOR).word());
    return scale;
}

__device__ __forceinline__ u32 upper_bits(double x) { return bits_of(upper_half(x)); }

template <int LANES, bool ALWAYS>
__device__ __forceinline__ void one_sixteen(
    const float* x, u32 piece, const Pieces<LANES>& pieces, const Sixteen<FP32>& mine, Place shared, u32 grid_low, Staged& staged,
    Running& f, Rare& rare) {
    const bool has = pieces.has(piece), leads = pieces.leads(piece);
    const float amax = amax_of<LANES>(mine);
    const Scale scale = scale_of(shared, amax);
    const double width = amax;
    (shared + scale.code * 4 + AT_SCALES).count_if(leads);
    u32 bound;
    if (upper_bits(scale.decode) == 0 || !has) {
        bound = 0;
        if (has) {
            vanished_sixteen<FP32>(x, piece, amax, scale.factor, staged.bins, leads, &rare);
            bound = amax == 0.0f ? 0u : upper_bits(width) + 4;
        }
    } else {
        bound = add_sixteen<ALWAYS>(mine, amax, scale.factor, scale.decode, grid_low, f);
    }
    // A ratio may be the worst only where bound / amax may be: told from the upper halves, generously.
    if (bound > upper_bits((shared + AT_HINT).latest() * width))
        search_sixteen<FP32>(x, piece, scale.factor, scale.decode, width, &rare, &staged.hint);
}

// A chunk's sums from those of its threads.
__device__ __forceinline__ void write_sums(const Running& f, Rare& rare, double* row) {
    double s[8];
    s[E] = f.errors.sum + rare.sum, s[E2] = f.errors.square + rare.vanished, s[E2_SCALE_ZERO] = rare.vanished;
    s[XHAT2] = f.values, s[X_XHAT] = f.values - f.along, s[X2] = (f.values - f.along) - f.along + s[E2];
    s[E2_OVER] = f.errors.over, s[E2_FLUSHED] = f.errors.flushed;
    rare.vanished = rare.sum = 0;
    const double total = block_sums(s);
    if (threadIdx.x < 8) row[threadIdx.x] = total;
}

// LANES: how many share a block. The pieces of a chunk go to its warps in turn, and so do the chunks to the thread blocks.
template <int LANES, bool ALWAYS>
__device__ __forceinline__ void staged_stats(
    const float* x, i64 blocks, const ScaleTable* scales, double* sums, double* worst, i64* where, u64* counts) {
    __shared__ Staged staged;
    Shared shared{staged.table, staged.bins, staged.hint};
    if (threadIdx.x == 0) staged.grid_low = GRID_LOW;
    shared.begin(scales);

    Rare rare{{-1.0, -1}, 0, 0};
    Running f;
    f.n_kept = f.groups = 0;
    u32 n_over = 0;
    f.all.clear();
    f.negative.clear();
    constexpr u32 STEPS = BLOCKS_PER_THREAD * LANES, PER_CHUNK = WARPS * STEPS;
    const u32 lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    const u32 grid_low = *(volatile u32*)&staged.grid_low;
    const Place base = Place::of(&staged);
    const Pieces<LANES> pieces(x, blocks * LANES, staged.pieces[warp], lane);
    const u32 chunks = (pieces.count + PER_CHUNK - 1) / PER_CHUNK;
    u32 piece = blockIdx.x * PER_CHUNK + warp;
    pieces.copy(piece, lane);
    for (u32 chunk = blockIdx.x; chunk < chunks; chunk += gridDim.x) {
        f.errors.square = f.errors.sum = f.errors.over = f.errors.flushed = f.values = f.along = 0;
        f.n_over = 0;
        const u32 end = kept(min(chunk * PER_CHUNK + PER_CHUNK, pieces.count));
        const u32 next = kept((chunk + gridDim.x) * PER_CHUNK + warp);
        FP4_ROLLED
        while (piece < end) {
            const u32 ahead = piece + WARPS < end ? piece + WARPS : next;
            Sixteen<FP32> mine;
            pieces.take(mine, ahead, lane);
            one_sixteen<LANES, ALWAYS>(x, piece, pieces, mine, base, grid_low, staged, f, rare);
            piece = ahead;
        }
        n_over += (u32)f.n_over;
        write_sums(f, rare, sums + (i64)chunk * 8);
        if (__syncthreads_or(f.groups + STEPS > Counter::LIMIT)) {
            shared.add_codes(f.all, f.negative, f.groups);
            f.all.clear();
            f.negative.clear();
            f.groups = 0;
        }
    }
    shared.add_codes(f.all, f.negative, f.groups);
    shared.add_over_and_kept(n_over, f.n_kept);
    shared.finish(rare.worst, worst, where, counts);
}

}  // namespace fp4
