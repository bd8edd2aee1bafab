// How value_counts.cu finds the worst element: only blocks whose amax allows more than what is known are looked at, and warps
// tell each other what they know by a key. No warp waits: all write the same flags, and an older key costs a search in vain.
// A flag that a warp has read before it was taken away costs that, too; and blocks that wait are looked at whatever happens.
#pragma once

#include "reduce.cuh"
#include "value_bins.cuh"

namespace fp4 {

constexpr u32 NO_BLOCK = ~0u;

// Of two the one with the larger ratio comes last, of equals the first block's. A block whose own key is not above that of what
// is known holds no worst element.
__device__ __forceinline__ u64 key_of(float ratio, u32 block) { return (u64)bits_of(ratio) << 32 | (u32)~block; }

// key: the largest of this thread block. applied: the last for which refresh has taken SEARCH from maxima; passed: the last for
// which it did so when all warps had passed the key's block, which frees the maxima of the same bound. blocks_reached: by warp,
// the first of the blocks that it still had when it last came by, so never too late a one: 0 before, and a warp that is done
// leaves its last.
struct Known {
    u64 applied, passed, key;
};
__device__ __forceinline__ volatile Known* known_here() { return (volatile Known*)(words() + NEGATIVE) - 1; }
__device__ __forceinline__ volatile u32* blocks_reached() { return (volatile u32*)known_here() - 32; }

__device__ __forceinline__ void know_nothing() {
    if (threadIdx.x < 32) blocks_reached()[threadIdx.x] = 0;
    if (threadIdx.x == 0) known_here()->applied = known_here()->passed = known_here()->key = 0;
}

// The worst element of a block; at: which of the maxima it has.
template <int HALVES>
__device__ __forceinline__ Worst worst_of_block(const void* x, const ValueTable& values, u32 block, u32& at) {
    Sixteen<BF16> halves[HALVES];
    float amax = 0, most, least;
    FP4_UNROLL
    for (int h = 0; h < HALVES; ++h) {
        halves[h].load(x, (u64)block * HALVES + h);
        halves[h].range(most, least);
        amax = larger_magnitude(amax, most);
    }
    at = (bits_of(amax) >> 16) - values.least;
    const u32 code = code_of_blocks(values, words()[values.bins + at]);
    const float factor = values.factor[code];
    const double decode = values.decode[code], per_amax = 1.0 / (double)amax;
    Worst worst{-1.0, -1};
    FP4_UNROLL
    for (int h = 0; h < HALVES; ++h) {
        FP4_UNROLL
        for (int i = 0; i < 16; ++i) {
            float scaled;
            const float a = magnitude(halves[h][i]);
            const double e = fma_near((double)grid_value(a, factor, scaled), decode, -(double)a);
            worst.take(fabs(e) * per_amax, ((i64)block * HALVES + h) * 16 + i);
        }
    }
    return worst;
}

// By a whole warp, of each lane's block or NO_BLOCK. told: the largest key of all thread blocks.
template <int HALVES>
__device__ __noinline__ Worst search(const void* x, const ValueTable* values, u64* told, u32 block) {
    Worst worst{-1.0, -1};
    u64 key = 0;
    if (block != NO_BLOCK) {
        u32 at;
        worst = worst_of_block<HALVES>(x, *values, block, at);
        const float bound = float_of(words()[values->bins + values->maxima + at]);
        key = key_of(worst.ratio == values->worst[at] ? bound : __double2float_rd(worst.ratio), block);
    }
    // One lane tells: many at once would queue.
    const u32 ratio = (u32)(key >> 32), most = __reduce_max_sync(~0u, ratio);
    const u32 first = __reduce_max_sync(~0u, ratio == most ? (u32)key : 0u);
    if (key == ((u64)most << 32 | first) && key > known_here()->key) {
        atomicMax((u64*)&known_here()->key, key);
        atomicMax(told, key);
    }
    return worst;
}

// By a whole warp, whose blocks from now on begin with `block`: takes over what other thread blocks know, and takes SEARCH from
// maxima that are out of the question: no block from `first` on, where the thread block's last warp is, has a key above `key`.
template <int WARPS>
__device__ __noinline__ void refresh(const ValueTable* values, const u64* told, u32 warp, u32 block) {
    const u32 lane = threadIdx.x & 31;
    const u64 here = known_here()->key, elsewhere = *(volatile const u64*)told, key = here > elsewhere ? here : elsewhere;
    if (!__any_sync(~0u, key != 0)) return;  // as always under racecheck, which is shown no search (tests/cuda/sanitize.py)
    if (lane == 0) blocks_reached()[warp] = block;
    const u32 first = __reduce_min_sync(~0u, lane == warp ? block : lane < WARPS ? blocks_reached()[lane] : ~0u);
    const bool passed = first > ~(u32)key && key > known_here()->passed;
    if (!__any_sync(~0u, key > known_here()->applied || passed)) return;
    const u32 maxima = values->maxima;
    u32* of = words() + values->bins;
    for (u32 i = lane; i < maxima; i += 32) {
        if (of[i] != NO_BINS && key_of(float_of(of[maxima + i]), first) <= key) of[i] &= ~SEARCH;
    }
    if (lane == 0) {
        known_here()->applied = key;
        if (passed) known_here()->passed = key;
        atomicMax((u64*)&known_here()->key, key);
    }
}

}  // namespace fp4
