// Error statistics of bfloat16 blocks of 16 or 32 E2M1 elements by counting: a bfloat16 has few values, so how often each value
// comes under each block scale is counted in shared memory, and the arithmetic is done once for each such pair at the end. A bin
// of an element: `flush` bins of the magnitudes that become 0 under their scale, whatever it is, then `width` bins of the others
// for each scale code from first_code on; negative ones NEGATIVE bins further on. Blocks without bins are listed for stats.cu.
#include "reduce.cuh"
#include "value_counts.cuh"
#include "value_group.cuh"

using namespace fp4;

namespace {

// Threads of a thread block that counts: its bins fill a multiprocessor's shared memory. Tests on the host take fewer.
#if !defined(FP4_COUNTERS_16)
#define FP4_COUNTERS_16 768
#define FP4_COUNTERS_32 512
#endif
constexpr u32 NEGATIVE = 1u << 15, CODES = 256, UNCOUNTED = ~0u;

// What all thread blocks add to, zero before. key: see key_of. Behind it lie the bins of positive, then of negative elements.
struct Totals {
    u64 elements[V_COUNTS], scales[CODES], zero_blocks, key, left;

    __device__ __forceinline__ u64* bins() { return (u64*)(this + 1); }
};

// Of two the one with the larger ratio comes last, of equals the first block's. A block whose own key is not above that of what
// is known holds no worst element.
__device__ __forceinline__ u64 key_of(float ratio, u32 block) { return (u64)bits_of(ratio) << 32 | (u32)~block; }

// What is shared: positive elements' bins, blocks_of, bound, blocks by scale code; two keys; from NEGATIVE on the other bins.
__device__ __forceinline__ u32* words() {
    FP4_SHARED_WORDS(memory);
    return memory;
}

// What this thread block knows; and what of it is in blocks_of already.
__device__ __forceinline__ volatile u64* shared_key() { return (volatile u64*)(words() + NEGATIVE) - 1; }
__device__ __forceinline__ volatile u64* applied_key() { return shared_key() - 1; }

// Of addresses in shared memory, in words; base() is that of words(). Without a pointer's detour, which is slow in the inner loop.
#if defined(__CUDA_ARCH__)
__device__ __forceinline__ u32 base() { return (u32)__cvta_generic_to_shared(words()) / 4; }
__device__ __forceinline__ void count_at(u32 address) { asm volatile("red.shared.add.u32 [%0], 1;" ::"r"(4 * address)); }
__device__ __forceinline__ u32 read_at(u32 address) {
    u32 x;
    asm volatile("ld.shared.u32 %0, [%1];" : "=r"(x) : "r"(4 * address));
    return x;
}
// A number that stays in its register: to ask for it again would queue behind the counting.
__device__ __forceinline__ u32 kept(u32 x) {
    asm volatile("" : "+r"(x));
    return x;
}
#else
__device__ __forceinline__ u32 base() { return 0; }
__device__ __forceinline__ void count_at(u32 address) { atomicAdd(words() + address, 1u); }
__device__ __forceinline__ u32 read_at(u32 address) { return words()[address]; }
__device__ __forceinline__ u32 kept(u32 x) { return x; }
#endif

// A number in both halves; also a negative one, for sums whose halves end up in range.
__device__ __forceinline__ u32 twice(u32 x) { return x * 0x10001u; }

// The worst element of a block.
template <int Q>
__device__ __noinline__ Worst search_block(const void* x, u32 block, const ValueTable* values, u32 code, float amax) {
    const float factor = values->factor[code];
    const double decode = values->decode[code], per_amax = 1.0 / (double)amax;
    Worst worst{-1.0, -1};
    FP4_ROLLED
    for (int h = 0; h < Q; ++h) {
        Sixteen<BF16> half;
        half.load(x, (u64)block * Q + h);
        FP4_UNROLL
        for (int i = 0; i < 16; ++i) {
            float scaled;
            const float a = magnitude(half[i]);
            const double e = fma_near((double)grid_value(a, factor, scaled), decode, -(double)a);
            worst.take(fabs(e) * per_amax, ((i64)block * Q + h) * 16 + i);
        }
    }
    return worst;
}

// A block with zeros. How many they are, negative ones in the upper half; UNCOUNTED, and nothing is counted, if another element
// lies below the first bin.
template <int Q>
__device__ __noinline__ u32 count_around_zeros(const void* x, u32 block, u32 limit, u32 offset, u32 origin, u32 below) {
    u32 least = ~SIGNS, zeros = 0;  // of the magnitudes but zeros: the smallest halves, taken as signed, when 1 is taken off
    FP4_UNROLL
    for (int h = 0; h < Q; ++h) {
        Sixteen<BF16> half;
        half.load(x, (u64)block * Q + h);
        FP4_UNROLL
        for (int i = 0; i < 8; ++i) least = smaller_signed_halves((half.word[i] | SIGNS) - 0x00010001u, least);
    }
    const u32 high = least >> 16, low = least & 0xFFFFu;
    if ((high >> 15 && high - 0x8000u < below) || (low >> 15 && low - 0x8000u < below)) return UNCOUNTED;
    FP4_ROLLED
    for (int h = 0; h < Q; ++h) {
        Sixteen<BF16> sixteen;
        sixteen.load(x, (u64)block * Q + h);
        FP4_UNROLL
        for (int i = 0; i < 16; ++i) {
            const u32 word = sixteen.word[i / 2], half = i & 1 ? word >> 16 : word & 0xFFFFu, a = half & 0x7FFFu;
            if (a) {
                count_at(half - origin + (a >= limit ? offset : 0u));
            } else {
                zeros += half ? 1u << 16 : 1u;
            }
        }
    }
    return zeros;
}

// Sixteen elements, none of them zero or below the first bin.
__device__ __forceinline__ void count_words(const u32 (&word)[8], u32 limit, u32 offset, u32 origin) {
    const u32 reach = SIGNS - twice(limit), offsets = twice(offset), origins = twice(origin);
    FP4_UNROLL
    for (int i = 0; i < 8; ++i) {
        const u32 reached = permute((word[i] & ~SIGNS) + reach, 0, 0xBB99u);  // all ones from the limit on
        const u32 at = word[i] + (reached & offsets) - origins;               // no half carries into the other
        count_at(at & 0xFFFFu);
        count_at(at >> 16);
    }
}

// A lane's own block: its amax; what is known of such blocks; whether it is counted by words. of: NO_BINS or what is known of
// the blocks of the lane's pieces, those that are counted by words.
template <int Q>
struct Seen {
    u32 most, known, of[Q];
    bool plain;
};

template <int Q>
struct Counting {
    const void* x;
    const ValueTable* values;
    Totals* totals;
    u32 *left, room, blocks, below, width, least, maxima;
    u32 start, origin;  // a flushed magnitude's bin is at the magnitude - origin; start: what is added for a code's first bin
    u32 blocks_of;      // the address; behind them lie the bounds, then the numbers of blocks by scale code
    u32 positive_zeros, negative_zeros, zero_blocks;
    Worst worst;

    __device__ __forceinline__ u32 limit_of(u32 known) const { return known & 0x7FFFu; }
    __device__ __forceinline__ u32 code_of(u32 known) const { return (known >> 15) & 0xFFu; }
    __device__ __forceinline__ u32 offset_of(u32 known) const { return start + code_of(known) * width - limit_of(known); }

    __device__ __forceinline__ Seen<Q> look(u32 n, u32 lane, const Group<Q>& group) const {
        const u32 extremes = group.extremes(lane), most = extremes & 0xFFFFu, smallest = 0x7FFFu - (extremes >> 16);
        Seen<Q> seen;
        seen.most = most;
        seen.known = Group<Q>::own(n, lane) < blocks && most - least < maxima ? read_at(blocks_of + most - least) : NO_BINS;
        seen.plain = seen.known != NO_BINS && smallest > below;
        Group<Q>::share(seen.plain ? seen.known : NO_BINS, lane, seen.of);
        return seen;
    }

    __device__ __forceinline__ void take(u32 n, u32 lane, const Group<Q>& group, const Seen<Q>& seen) {
        FP4_UNROLL
        for (int j = 0; j < Q; ++j) {
            const u32 known = seen.of[j];
            if (known != NO_BINS) count_words(group.piece[j].word, limit_of(known), offset_of(known), origin);
        }
        const u32 block = Group<Q>::own(n, lane);
        u32 known = seen.known;
        if (!seen.plain && block < blocks) known = take_singly(block, seen.most, known);
        if (known == NO_BINS) return;
        count_at(blocks_of + 2 * maxima + code_of(known));
        if (known & SEARCH) search(block, seen.most - least, known, float_of(seen.most << 16));
    }

    // A block that is not counted by words; NO_BINS if it has none.
    __device__ __forceinline__ u32 take_singly(u32 block, u32 most, u32 known) {
        if (most == 0) {
            take_zeros(block);
            return NO_BINS;
        }
        const u32 zeros =
            known == NO_BINS ? UNCOUNTED : count_around_zeros<Q>(x, block, limit_of(known), offset_of(known), origin, below);
        if (zeros == UNCOUNTED) {
            const u64 at = atomicAdd(&totals->left, (u64)1);
            if (at < room) left[at] = block;
            return NO_BINS;
        }
        positive_zeros += zeros & 0xFFFFu, negative_zeros += zeros >> 16;
        return known;
    }

    __device__ __forceinline__ void take_zeros(u32 block) {
        u32 minus = 0;
        FP4_ROLLED
        for (int h = 0; h < Q; ++h) {
            Sixteen<BF16> half;
            half.load(x, (u64)block * Q + h);
            FP4_UNROLL
            for (int i = 0; i < 8; ++i) minus += Counter::ones(half.word[i]);
        }
        negative_zeros += minus, positive_zeros += 16 * Q - minus, ++zero_blocks;
        worst.take(0.0, (i64)block * 16 * Q);
    }

    __device__ __forceinline__ void search(u32 block, u32 at, u32 known, float amax) {
        const float bound = float_of(read_at(blocks_of + maxima + at));
        if (key_of(bound, block) <= *shared_key()) return;
        const Worst found = search_block<Q>(x, block, values, values->first_code + code_of(known), amax);
        const u64 reached = key_of(found.ratio == values->worst[at] ? bound : __double2float_rd(found.ratio), block);
        worst.take(found.ratio, found.index);
        if (reached > *shared_key()) {
            atomicMax((u64*)shared_key(), reached);
            atomicMax(&totals->key, reached);
        }
    }
};

// By a whole warp: takes over what other thread blocks know, and takes SEARCH from maxima that are out of the question.
__device__ __noinline__ void refresh(const ValueTable* values, const Totals* totals, u32 lane) {
    const u64 mine = *shared_key(), told = *(volatile u64*)&totals->key, key = mine > told ? mine : told;
    if (!__any_sync(~0u, key > *applied_key())) return;
    const u32 maxima = values->maxima;
    u32* of = words() + values->bins;
    for (u32 i = lane; i < maxima; i += 32) {
        if (of[i] != NO_BINS && key_of(float_of(of[maxima + i]), 0) < key) of[i] &= ~SEARCH;
    }
    if (lane == 0) {
        *applied_key() = key;
        atomicMax((u64*)shared_key(), key);
    }
}

__device__ __forceinline__ u32 warp_sum(u32 x) { return __reduce_add_sync(~0u, x); }

template <int Q, int COUNTERS>
__device__ __forceinline__ void value_counts(
    const void* x, u32 blocks, const ValueTable* values, Totals* totals, double* ratios, i64* places, u32* left, u32 room) {
    u32* const memory = words();
    const u32 bins = values->bins, maxima = values->maxima, thread = threadIdx.x, lane = kept(thread & 31), warp = thread >> 5;
    for (u32 i = thread; i < bins; i += COUNTERS) memory[i] = 0, memory[NEGATIVE + i] = 0;
    for (u32 i = thread; i < maxima; i += COUNTERS) memory[bins + i] = values->blocks_of[i], memory[bins + maxima + i] = bits_of(values->bound[i]);
    u32* const scales = memory + bins + 2 * maxima;
    for (u32 i = thread; i < CODES; i += COUNTERS) scales[i] = 0;
    if (thread == 0) *shared_key() = *applied_key() = 0;
    __syncthreads();

    Counting<Q> c{x, values, totals, left, room, blocks, values->below, values->width, values->least, maxima,
                  1 + values->flush + values->below, kept(values->below - base()), kept(base() + bins), 0, 0, 0, {-1.0, -1}};
    const u32 groups = (blocks + 31) / 32, step = kept(gridDim.x * (COUNTERS / 32));
    u32 n = blockIdx.x * (COUNTERS / 32) + warp;
    // A group is looked at before the one before it is counted: what is asked of shared memory would queue behind that.
    Group<Q> group, next;
    if (n < groups) group.load(x, n, blocks, lane);
    if (n + step < groups) next.load(x, n + step, blocks, lane);
    Seen<Q> seen = c.look(n, lane, group);
    FP4_ROLLED
    for (u32 turns = warp; n < groups; n += step, --turns) {
        Group<Q> last;
        if (n + 2 * step < groups) last.load(x, n + 2 * step, blocks, lane);
        const Seen<Q> soon = c.look(n + step, lane, next);
        if ((turns & 31) == 0) refresh(values, totals, lane);
        c.take(n, lane, group, seen);
        group = next, next = last, seen = soon;
    }
    __syncwarp();
    const u32 plus = warp_sum(c.positive_zeros), minus = warp_sum(c.negative_zeros), zero_blocks = warp_sum(c.zero_blocks);
    if (lane == 0) {
        atomicAdd(&memory[0], plus), atomicAdd(&memory[NEGATIVE], minus);
        if (zero_blocks) atomicAdd(&totals->zero_blocks, (u64)zero_blocks);
    }
    __syncthreads();
    for (u32 i = thread; i < bins; i += COUNTERS) {
        if (memory[i]) atomicAdd(&totals->bins()[i], (u64)memory[i]);
        if (memory[NEGATIVE + i]) atomicAdd(&totals->bins()[bins + i], (u64)memory[NEGATIVE + i]);
    }
    for (u32 i = thread; i < CODES; i += COUNTERS) {
        if (scales[i]) atomicAdd(&totals->scales[i], (u64)scales[i]);
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
VALUE_COUNTS(value_counts_16, 1, FP4_COUNTERS_16)
VALUE_COUNTS(value_counts_32, 2, FP4_COUNTERS_32)

// The sums of stats.cu: a thread a bin, a row of sums a thread block.
extern "C" __global__ void __launch_bounds__(256) value_sums(const ValueTable* values, Totals* totals, double* sums) {
    __shared__ u32 tally[V_COUNTS + 1][4];  // sixteen bits of a number each: there are no additions of 64 bits in shared memory
    if (threadIdx.x < 4 * (V_COUNTS + 1)) tally[threadIdx.x / 4][threadIdx.x % 4] = 0;
    __syncthreads();
    const u32 bins = values->bins, bin = blockIdx.x * 256 + threadIdx.x;
    const u64 n = bin < 2 * bins ? totals->bins()[bin] : 0;
    double s[8] = {0, 0, 0, 0, 0, 0, 0, 0};
    if (n) {
        const bool negative = bin >= bins;
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
