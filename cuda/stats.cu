// Error sums. `stats_*`: of a whole tensor in one read, blocks of 16 or 32 E2M1 elements under 8-bit scales (stats.cuh).
// `error_sums`: of a panel and codes of any format, as fp4sim/kernels/interface.py defines them.
#include "reduce.cuh"
#include "stats.cuh"

using namespace fp4;

namespace {

constexpr int THREADS = 256, BLOCKS_PER_THREAD = 16;  // a chunk: 4096 blocks, whose sums are one row of the output
// N_KEPT: elements of code 0 that were not flushed: zeros, and those of blocks whose scale is 0.
enum { N_SCALE_ZERO, N_OVER, N_KEPT, N_LOST, N_OCCUPANCY, N_SCALES = N_OCCUPANCY + 16, COUNTS = N_SCALES + 256 };

template <Input type>
__device__ __forceinline__ float element(const void* x, i64 i) {
    if (type == FP32) return ((const float*)x)[i];
    const u32 bits = ((const u16*)x)[i];
    return type == BF16 ? float_of(widen_bf16(bits)) : half_to_float(bits);
}

struct Found {  // of one thread
    double sums[8];  // but what `errors` has
    RunningErrors errors;
    u32 n_kept, groups;
    Counter all, negative;
    Worst worst;
};

__device__ __forceinline__ void add_counts(const Found& f, u32* bins) {
    u32 mine[16];
    occupancy_of(f.all, f.negative, f.groups, mine);
    FP4_UNROLL
    for (int code = 0; code < 16; ++code) {
        const u32 sum = __reduce_add_sync(~0u, mine[code]);
        if (!(threadIdx.x & 31)) atomicAdd(&bins[N_OCCUPANCY + code], sum);
    }
}

__device__ __forceinline__ void add_plain_counts(const Found& f, u32* bins) {
    const u32 over = __reduce_add_sync(~0u, f.errors.n_over), kept = __reduce_add_sync(~0u, f.n_kept);
    if (!(threadIdx.x & 31)) atomicAdd(&bins[N_OVER], over), atomicAdd(&bins[N_KEPT], kept);
}

// Looks at a block's elements one by one: which of them is the worst so far?
template <Input type>
__device__ __noinline__ Worst search_worst(
    const void* x, i64 first, int size, float factor, double decode, double per_amax, Worst worst) {
    for (int i = 0; i < size; ++i) {
        const float a = magnitude(element<type>(x, first + i));
        float scaled;
        const double e = fma_near((double)grid_value(a, factor, scaled), decode, -(double)a);
        worst.take(fabs(e) * per_amax, first + i);
    }
    return worst;
}

struct Vanished {
    double square, sum;
};

// Blocks whose scale is zero: every value is, whatever its code.
template <Input type>
__device__ __noinline__ Vanished vanished(const void* x, i64 first, u32 size, float factor, u32* bins) {
    u32 zeros = 0, kept = 0;
    double square = 0, sum = 0;
    for (u32 i = 0; i < size; ++i) {
        const float xi = element<type>(x, first + i);
        const double exact = xi;
        float scaled;
        const u32 code = code_of(grid_value(xi, factor, scaled));
        atomicAdd(&bins[N_OCCUPANCY + code + (bits_of(xi) >> 31 ? 8u : 0u)], 1u);
        zeros += xi == 0.0f, kept += code == 0u;
        square = fma_near(exact, exact, square), sum += exact;
    }
    atomicAdd(&bins[N_KEPT], kept);
    atomicAdd(&bins[N_SCALE_ZERO], size - zeros);
    atomicAdd(&bins[N_LOST], zeros < size ? 1u : 0u);
    return {square, sum};
}

template <Input type, int HALVES, bool NEAR>
__device__ __forceinline__ void one_block(
    const void* x, i64 block, const Sixteen<type> (&halves)[HALVES], const ScaleTable& table, u32* bins, double* hint, Found& f) {
    float amax, least;
    halves[0].range(amax, least);
    if (HALVES == 2) {
        float other, other_least;
        halves[HALVES - 1].range(other, other_least);
        amax = fmaxf(amax, other), least = fminf(least, other_least);
    }
    u32 code;
    const ScaleEntry scale = table.find(amax, code);
    const float factor = scale.factor;
    const double decode = scale.decode, width = amax;
    atomicAdd(&bins[N_SCALES + code], 1u);
    double bound = width;
    if (decode == 0.0) {
        const Vanished v = vanished<type>(x, block * 16 * HALVES, 16 * HALVES, factor, bins);
        f.errors.square += v.square, f.errors.sum -= v.sum, f.sums[E2_SCALE_ZERO] += v.square;
        if (amax == 0.0f) f.worst.take(0.0, block * 16 * HALVES);  // below it is passed over: its bound is 0
    } else {
        float top = 0;
        FP4_UNROLL
        for (int h = 0; h < HALVES; ++h) {
            BlockErrors b;
            block_errors<NEAR>(halves[h], factor, decode, f.errors, b);
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
    if (bound > f.worst.ratio * width && bound >= *(volatile double*)hint * width) {
        const double before = f.worst.ratio, per_amax = amax > 0.0f ? 1.0 / width : 0.0;
        f.worst = search_worst<type>(x, block * 16 * HALVES, 16 * HALVES, factor, decode, per_amax, f.worst);
        if (f.worst.ratio > before) atomicMax((u64*)hint, (u64)__double_as_longlong(f.worst.ratio));
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

template <Input type, int HALVES, bool NEAR, class Which>
__device__ __forceinline__ void stats(
    const void* x, i64 blocks, Which which, const ScaleTable* scales, double* sums, double* worst, i64* where, u64* counts) {
    __shared__ ScaleTable table;
    __shared__ u32 bins[COUNTS];
    __shared__ double hint;
    for (int i = threadIdx.x; i < (int)sizeof(ScaleTable) / 8; i += THREADS) ((u64*)&table)[i] = ((const u64*)scales)[i];
    for (int i = threadIdx.x; i < COUNTS; i += THREADS) bins[i] = 0;
    if (threadIdx.x == 0) hint = 0;
    __syncthreads();

    Found f;
    f.errors.n_over = f.n_kept = f.groups = 0;
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
        constexpr bool ahead_of_use = HALVES * Sixteen<type>::WORDS <= 16;  // more would take too many registers
        Sixteen<type> next[HALVES];
        if (ahead_of_use && count > 0) load<type, HALVES>(x, which[block], next);
        FP4_ROLLED
        for (int k = 0; k < count; ++k, block += THREADS) {
            Sixteen<type> halves[HALVES];
            if (ahead_of_use) {
                FP4_UNROLL
                for (int h = 0; h < HALVES; ++h) halves[h] = next[h];
                if (k + 1 < count) load<type, HALVES>(x, which[block + THREADS], next);
            } else {
                load<type, HALVES>(x, which[block], halves);
            }
            one_block<type, HALVES, NEAR>(x, which[block], halves, table, bins, &hint, f);
        }
        f.sums[X2] += f.errors.square, f.sums[E] = f.errors.sum, f.sums[E2] = f.errors.square;
        f.sums[E2_OVER] = f.errors.over, f.sums[E2_FLUSHED] = f.errors.flushed;
        const double total = block_sums(f.sums);
        if (threadIdx.x < 8) sums[chunk * 8 + threadIdx.x] = total;
        if (__syncthreads_or(f.groups + HALVES * BLOCKS_PER_THREAD > Counter::LIMIT)) {
            add_counts(f, bins);
            f.all.clear();
            f.negative.clear();
            f.groups = 0;
        }
    }
    add_counts(f, bins);
    add_plain_counts(f, bins);
    const Worst found = block_worst(f.worst);
    if (threadIdx.x == 0) worst[blockIdx.x] = found.ratio, where[blockIdx.x] = found.index;
    __syncthreads();
    for (int i = threadIdx.x; i < COUNTS; i += THREADS) {
        if (bins[i]) atomicAdd(&counts[i], (u64)bins[i]);
    }
}

}  // namespace

#define STATS(name, type, halves, near)                                                                                    \
    extern "C" __global__ void __launch_bounds__(THREADS, 2) name(                                                         \
        const void* x, i64 blocks, const ScaleTable* scales, double* sums, double* worst, i64* where, u64* counts) {       \
        stats<type, halves, near>(x, blocks, All{}, scales, sums, worst, where, counts);                                   \
    }
STATS(stats_bf16_16, BF16, 1, false)
STATS(stats_fp16_16, FP16, 1, false)
STATS(stats_fp32_16, FP32, 1, false)
STATS(stats_bf16_32, BF16, 2, false)
STATS(stats_fp16_32, FP16, 2, false)
STATS(stats_fp32_32, FP32, 2, false)
STATS(stats_near_fp32_16, FP32, 1, true)  // of scales under which no |x factor| reaches 7
STATS(stats_near_fp32_32, FP32, 2, true)

// Of `blocks` blocks by number, which value_counts.cu leaves.
#define STATS_LISTED(name, halves)                                                                                         \
    extern "C" __global__ void __launch_bounds__(THREADS, 2) name(                                                         \
        const void* x, i64 blocks, const ScaleTable* scales, double* sums, double* worst, i64* where, u64* counts,         \
        const u32* list) {                                                                                                 \
        stats<BF16, halves, false>(x, blocks, Listed{list}, scales, sums, worst, where, counts);                           \
    }
STATS_LISTED(stats_listed_16, 1)
STATS_LISTED(stats_listed_32, 2)

// A panel's cells, a thread block for each part of 2048 elements, `parts` a cell. values: the format's, by code; largest: bits of
// its maximum. Out, a row a part: sums (8), worst and its flat place in the cell's rows of the panel; a row a cell: counts (3),
// occupancy (256).
extern "C" __global__ void __launch_bounds__(THREADS) error_sums(
    const float* x, const u8* codes, const float* factor, const double* decode, const float* amax, const float* values,
    i64 width, i64 tile_rows, i64 tile_cols, i64 valid_rows, i64 valid_cols, i64 cell_rows, i64 divides, i64 largest, i64 parts,
    double* sums, u32* counts, double* worst, i64* where, u32* occupancy) {
    __shared__ u32 bins[256];
    bins[threadIdx.x] = 0;
    __syncthreads();
    const i64 cell = blockIdx.x / parts, row0 = cell * cell_rows, rows = min(cell_rows, valid_rows - row0), blocks = width / tile_cols;
    const i64 elements = rows * valid_cols, first = (blockIdx.x - cell * parts) * 2048;
    const float limit = float_of((u32)largest);
    double s[8] = {0, 0, 0, 0, 0, 0, 0, 0};
    u32 n[3] = {0, 0, 0};
    Worst most{-1.0, -1};
    for (int k = 0; k < 8; ++k) {
        const i64 i = first + k * THREADS + threadIdx.x;
        if (i >= elements) break;
        const i64 row = i / valid_cols, col = i % valid_cols, at = (row0 + row) * width + col;
        const i64 block = (row0 + row) / tile_rows * blocks + col / tile_cols;
        const float xi = x[at], scale = factor[block];
        const u32 code = codes[at];
        const double step = decode[block], value = (double)values[code] * step, exact = xi, e = value - exact, e2 = e * e;
        const float z = magnitude(divides ? div(xi, scale) : mul(xi, scale));
        s[X2] += exact * exact, s[X_XHAT] += exact * value, s[XHAT2] += value * value, s[E] += e, s[E2] += e2;
        const int cause = step == 0.0 ? 0 : z > limit ? 1 : value == 0.0 ? 2 : 3;
        const bool counted = exact != 0.0;
        if (cause == 0) s[E2_SCALE_ZERO] += e2, n[0] += counted;
        if (cause == 1) s[E2_OVER] += e2, n[1] += counted;
        if (cause == 2) s[E2_FLUSHED] += e2, n[2] += counted;
        const float most_of_block = amax[block];
        const double ratio = fabs(e) * (most_of_block > 0.0f ? 1.0 / (double)most_of_block : 0.0);
        if (ratio > most.ratio) most = {ratio, row * width + col};
        atomicAdd(&bins[code], 1u);
    }
    const double total = block_sums(s);
    if (threadIdx.x < 8) sums[blockIdx.x * 8 + threadIdx.x] = total;
    const Worst found = block_worst(most);
    if (threadIdx.x == 0) worst[blockIdx.x] = found.ratio, where[blockIdx.x] = found.index;
    FP4_UNROLL
    for (int i = 0; i < 3; ++i) {
        const u32 sum = __reduce_add_sync(~0u, n[i]);
        if (!(threadIdx.x & 31) && sum) atomicAdd(&counts[cell * 3 + i], sum);
    }
    __syncthreads();
    if (bins[threadIdx.x]) atomicAdd(&occupancy[cell * 256 + threadIdx.x], bins[threadIdx.x]);
}

// float32 as float64, minus another one if there is one: CuPy's own casts may flush subnormals.
extern "C" __global__ void __launch_bounds__(THREADS) widen_difference(const float* x, const float* minus, double* out, i64 n) {
    const i64 i = blockIdx.x * (i64)THREADS + threadIdx.x;
    if (i < n) out[i] = minus ? (double)x[i] - (double)minus[i] : (double)x[i];
}
