// Error statistics of bfloat16 blocks of 16 or 32 E2M1 elements by counting: a bfloat16 has few values, so how often each value
// comes under each block scale is counted in shared memory, and the arithmetic is done once for each such pair at the end.
//
// The bins: one of zeros, `flush` of the magnitudes that become 0 under their scale, whatever it is, then `width` for each
// scale code from first_code on, the first of its blocks and the others of its magnitudes; negative elements' lie NEGATIVE bins
// further on. Positive zeros are not counted: they are the elements that are missing in the end. Blocks without bins are listed
// for stats.cu.
//
// A warp takes 32 blocks at a time (value_group.cuh) and adds them to its thread block's bins (value_bins.cuh); now and then it
// looks for the worst element (value_worst.cuh). value_sums then does the arithmetic (value_counts.cuh).
#include "value_worst.cuh"

using namespace fp4;

namespace {

// Threads of a thread block that counts: its bins fill a multiprocessor's shared memory. Tests on the host take fewer.
#if !defined(FP4_COUNTERS_16)
#define FP4_COUNTERS_16 768
#define FP4_COUNTERS_32 512
#endif
constexpr u32 CODES = 256, ZEROS = 0x7FFFu;  // ZEROS: what is known of a block of them, a limit that no magnitude reaches

// What all thread blocks add to, zero before. elements: over, flushed, then by E2M1 code; scales: blocks by scale code; both
// from value_sums. key: see key_of. left: how many blocks are listed. Behind it: the bins of positive, then of negative ones.
struct Totals {
    u64 elements[V_COUNTS], scales[CODES], zero_blocks, key, left;

    __device__ __forceinline__ u64* bins() { return (u64*)(this + 1); }
};

// What a lane sees of its own block: its amax, and what is known of such blocks. of: what is known of the blocks of its pieces.
// plain: all of the warp's blocks have bins, and so has each of their elements.
template <int Q>
struct Seen {
    u32 most, known, of[Q];
    bool plain;
};

// What a thread has while it counts. left, room: where blocks are listed, and how many may be; blocks: of the tensor; least,
// maxima: of ValueTable. small: what extremes() is below where all elements are above `below`. blocks_of: the address of the
// table's in shared memory; `bound` lies behind it. waiting: a block that may hold the worst element, or NO_BLOCK.
template <int Q>
struct Counting {
    const void* x;
    const ValueTable* values;
    Totals* totals;
    u32 *left, room, blocks, least, maxima;
    Bins bins;
    u32 small, blocks_of, zero_blocks, waiting;
    Worst worst;

    __device__ __forceinline__ Seen<Q> look(u32 lane, const Group<Q>& group) const {
        const u32 extremes = group.extremes(lane), most = extremes & 0xFFFFu;
        Seen<Q> seen;
        seen.most = most;
        seen.known = most - least < maxima ? read_at(blocks_of + most - least) : NO_BINS;
        seen.plain = __all_sync(~0u, seen.known != NO_BINS && extremes < small);
        Group<Q>::share(seen.known, lane, seen.of);
        return seen;
    }

    __device__ __forceinline__ void take(u32 block, u32 lane, const Group<Q>& group, const Seen<Q>& seen) {
        u32 known = seen.known;
        if (seen.plain) {
            FP4_UNROLL
            for (int j = 0; j < Q; ++j) bins.count(group.piece[j], seen.of[j]);
            bins.count_block(known);
        } else {
            known = take_mixed(block, lane, group, seen);
        }
        const bool flagged = known != NO_BINS && known & SEARCH;
        if (__any_sync(~0u, flagged)) put_off(block, seen.most, flagged);
    }

    // Blocks with zeros, blocks of zeros, and such as have no bins, which are listed. What is known of the lane's own block,
    // NO_BINS for the latter two. Lanes with blocks behind the last hold zeros, which count as nothing.
    __device__ __forceinline__ u32 take_mixed(u32 block, u32 lane, const Group<Q>& group, const Seen<Q>& seen) {
        // least_but_zeros comes first: the whole warp takes part in it
        const bool binned = group.least_but_zeros(lane) >= bins.below && seen.known != NO_BINS;
        u32 of[Q];
        Group<Q>::share(binned ? seen.known : seen.most == 0 ? ZEROS : NO_BINS, lane, of);
        FP4_UNROLL
        for (int j = 0; j < Q; ++j) {
            if (of[j] != NO_BINS) bins.count_but_zeros(group.piece[j], of[j]);
        }
        if (binned) {
            bins.count_block(seen.known);
            return seen.known;
        }
        if (block >= blocks) return NO_BINS;
        if (seen.most == 0) {
            ++zero_blocks;
            worst.take(0.0, (i64)block * 8 * Q);
            return NO_BINS;
        }
        const u64 at = atomicAdd(&totals->left, (u64)1);
        if (at < room) left[at] = block;
        return NO_BINS;
    }

    // Blocks that may hold the worst element wait, one a lane, so that lanes look at theirs together.
    __device__ __forceinline__ void put_off(u32 block, u32 most, bool flagged) {
        const bool wanted = flagged && key_of(float_of(read_at(blocks_of + maxima + most - least)), block) > known_here()->key;
        if (__any_sync(~0u, wanted && waiting != NO_BLOCK)) search_waiting();
        if (wanted) waiting = block;
    }

    __device__ __forceinline__ void search_waiting() {
        const Worst found = search<Q / 2>(x, values, &totals->key, waiting);
        worst.take(found.ratio, found.index);
        waiting = NO_BLOCK;
    }
};

template <int Q, int COUNTERS>
__device__ __forceinline__ void value_counts(
    const void* x, u32 blocks, const ValueTable* values, Totals* totals, double* ratios, i64* places, u32* left, u32 room) {
    u32* const memory = words();
    const u32 count = values->bins, maxima = values->maxima, below = values->below, first = base();
    const u32 thread = threadIdx.x, lane = kept(thread & 31), warp = thread >> 5;
    for (u32 i = thread; i < count; i += COUNTERS) memory[i] = 0, memory[NEGATIVE + i] = 0;
    for (u32 i = thread; i < maxima; i += COUNTERS) {
        memory[count + i] = values->blocks_of[i], memory[count + maxima + i] = bits_of(values->bound[i]);
    }
    know_nothing();
    __syncthreads();

    const Bins bins{below, values->origins, kept(first), kept(4 * first)};
    Counting<Q> c{x, values, totals, left, room, blocks, values->least, maxima, bins, kept((0x7FFF - below) << 16),
                  kept(first + count), 0, NO_BLOCK, {-1.0, -1}};
    const u32 own = kept(Group<Q>::own(lane)), groups = blocks / 32, step = gridDim.x * (COUNTERS / 32);
    u32 n = blockIdx.x * (COUNTERS / 32) + warp;
    const u32* from = (const u32*)x + (u64)n * Group<Q>::WORDS + 4 * lane;
    // Groups behind the last are not loaded: they are looked at like others, whatever the registers hold, and never taken.
    const auto load = [&](Group<Q>& to, u32 which) {
        if (which < groups) {
            to.load(from);
        } else if (which == groups) {
            to.load_part(from, blocks % 32, lane);
        }
        from += (u64)step * Group<Q>::WORDS;
    };
    // Three groups are in flight: `group` is counted, `next` is looked at before that, for what is asked of shared memory would
    // queue behind the counting, and `last` is on its way. Every 32nd turn a warp takes over news, each warp in another turn.
    Group<Q> group, next;
    load(group, n);
    load(next, n + step);
    Seen<Q> seen = c.look(lane, group);
    FP4_ROLLED
    for (u32 turns = warp; n * 32 < blocks; n += step, --turns) {
        Group<Q> last;
        load(last, n + 2 * step);
        const Seen<Q> soon = c.look(lane, next);
        if ((turns & 31) == 0) refresh<COUNTERS / 32>(values, &totals->key, warp, n * 32);
        c.take(n * 32 + own, lane, group, seen);
        group = next, next = last, seen = soon;
    }
    c.search_waiting();
    const u32 zero_blocks = __reduce_add_sync(~0u, c.zero_blocks);
    if (lane == 0 && zero_blocks) atomicAdd(&totals->zero_blocks, (u64)zero_blocks);
    __syncthreads();
    for (u32 i = thread; i < count; i += COUNTERS) {
        if (memory[i]) atomicAdd(&totals->bins()[i], (u64)memory[i]);
        if (memory[NEGATIVE + i]) atomicAdd(&totals->bins()[count + i], (u64)memory[NEGATIVE + i]);
    }
    const Worst found = worst_of<COUNTERS / 32>(c.worst);
    if (thread == 0) ratios[blockIdx.x] = found.ratio, places[blockIdx.x] = found.index;
}

}  // namespace

#define VALUE_COUNTS(name, pieces, counters)                                                                                \
    extern "C" __global__ void __launch_bounds__(counters, 1) name(                                                         \
        const void* x, i64 blocks, const ValueTable* values, Totals* totals, double* ratios, i64* places, u32* left,        \
        i64 room) {                                                                                                         \
        value_counts<pieces, counters>(x, (u32)blocks, values, totals, ratios, places, left, (u32)room);                    \
    }
VALUE_COUNTS(value_counts_16, 2, FP4_COUNTERS_16)
VALUE_COUNTS(value_counts_32, 4, FP4_COUNTERS_32)

// The sums of stats.cu: a thread a bin, a row of sums a thread block.
extern "C" __global__ void __launch_bounds__(256) value_sums(const ValueTable* values, Totals* totals, double* sums) {
    __shared__ u32 tally[V_COUNTS + 1][4];  // sixteen bits of a number each: there are no additions of 64 bits in shared memory
    if (threadIdx.x < 4 * (V_COUNTS + 1)) tally[threadIdx.x / 4][threadIdx.x % 4] = 0;
    __syncthreads();
    const u32 bins = values->bins, bin = blockIdx.x * 256 + threadIdx.x;
    const u64 n = bin < 2 * bins ? totals->bins()[bin] : 0;
    double s[8] = {0, 0, 0, 0, 0, 0, 0, 0};
    const bool negative = bin >= bins;
    u32 code;
    if (n && counts_blocks(*values, negative ? bin - bins : bin, code)) {
        totals->scales[code] = n;
    } else if (n) {
        u32 element, cause;
        add_value(*values, negative ? bin - bins : bin, negative, (double)n, s, element, cause);
        FP4_UNROLL
        for (int part = 0; part < 4; ++part) {
            const u32 bits = (u32)(n >> (16 * part)) & 0xFFFFu;
            if (bits) atomicAdd(&tally[V_N_OCCUPANCY + element][part], bits), atomicAdd(&tally[cause][part], bits);
        }
    }
    const double total = block_sums(s);
    if (threadIdx.x < 8) sums[(u64)blockIdx.x * 8 + threadIdx.x] = total;
    if (threadIdx.x < V_COUNTS) {
        u64 count = 0;
        for (int part = 0; part < 4; ++part) count += (u64)tally[threadIdx.x][part] << (16 * part);
        if (count) atomicAdd(&totals->elements[threadIdx.x], count);
    }
}
