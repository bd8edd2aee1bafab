// How value_counts.cu looks for the worst element, by one warp and in a state that a test has made.
#include "fibers.h"
#include "value_worst.cuh"

using namespace fp4;

static void prepare(const ValueTable* values, const Known* known) {
    for (u32 i = threadIdx.x; i < values->maxima; i += 32) {
        words()[values->bins + i] = values->blocks_of[i];
        words()[values->bins + values->maxima + i] = bits_of(values->bound[i]);
    }
    know_nothing();
    if (threadIdx.x == 0) memcpy((void*)known_here(), known, sizeof *known);
    __syncthreads();
}

// What is known first, whatever the memory held.
extern "C" void begun(Known* known, u32* reached) {
    const u32 size = sizeof(Known) / 4 + 32;
    for (u32 i = threadIdx.x; i < size; i += 32) words()[NEGATIVE - 1 - i] = ~0u;
    __syncthreads();
    know_nothing();
    __syncthreads();
    reached[threadIdx.x] = blocks_reached()[threadIdx.x];
    if (threadIdx.x == 0) memcpy(known, (const void*)known_here(), sizeof *known);
}

// Of two warps; reached: where both are. blocks_of: what it leaves of the table's.
extern "C" void refreshed(
    const ValueTable* values, Known* known, const u64* told, i64 warp, i64 block, u32* reached, u32* blocks_of) {
    prepare(values, known);
    if (threadIdx.x < 2) blocks_reached()[threadIdx.x] = reached[threadIdx.x];
    __syncthreads();
    refresh<2>(values, told, (u32)warp, (u32)block);
    __syncthreads();
    for (u32 i = threadIdx.x; i < values->maxima; i += 32) blocks_of[i] = words()[values->bins + i];
    if (threadIdx.x < 2) reached[threadIdx.x] = blocks_reached()[threadIdx.x];
    if (threadIdx.x == 0) memcpy(known, (const void*)known_here(), sizeof *known);
}

// blocks: each lane's.
extern "C" void searched(
    const ValueTable* values, Known* known, u64* told, const void* x, const u32* blocks, double* ratios, i64* places) {
    prepare(values, known);
    const Worst found = search<1>(x, values, told, blocks[threadIdx.x]);
    ratios[threadIdx.x] = found.ratio, places[threadIdx.x] = found.index;
    __syncthreads();
    if (threadIdx.x == 0) memcpy(known, (const void*)known_here(), sizeof *known);
}
