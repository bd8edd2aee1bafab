// Error sums. `stats_*`: of a whole tensor in one read, blocks of 16 or 32 E2M1 elements under 8-bit scales (stats.cuh).
// `error_sums`: of a panel and codes of any format, as fp4sim/kernels/interface.py defines them.
#include "stats_direct.cuh"
#include "stats_staged.cuh"

using namespace fp4;

#define STATS(name, type, halves)                                                                                          \
    extern "C" __global__ void __launch_bounds__(THREADS, 2) name(                                                         \
        const void* x, i64 blocks, const ScaleTable* scales, double* sums, double* worst, i64* where, u64* counts) {       \
        stats<type, halves>(x, blocks, All{}, scales, sums, worst, where, counts);                                         \
    }
STATS(stats_bf16_16, BF16, 1)
STATS(stats_fp16_16, FP16, 1)
STATS(stats_bf16_32, BF16, 2)
STATS(stats_fp16_32, FP16, 2)

// limited: faster where |x factor| reaches 7 so often that hardly a warp can do without the branch, and for nothing else.
#define STATS_STAGED(name, lanes, limited)                                                                                 \
    extern "C" __global__ void __launch_bounds__(THREADS, 2) name(                                                         \
        const float* x, i64 blocks, const ScaleTable* scales, double* sums, double* worst, i64* where, u64* counts) {      \
        staged_stats<lanes, limited>(x, blocks, scales, sums, worst, where, counts);                                       \
    }
STATS_STAGED(stats_fp32_16, 1, false)
STATS_STAGED(stats_fp32_32, 2, false)
STATS_STAGED(stats_limited_fp32_32, 2, true)

// Of `blocks` blocks by number, which value_counts.cu leaves.
#define STATS_LISTED(name, halves)                                                                                         \
    extern "C" __global__ void __launch_bounds__(THREADS, 2) name(                                                         \
        const void* x, i64 blocks, const ScaleTable* scales, double* sums, double* worst, i64* where, u64* counts,         \
        const u32* list) {                                                                                                 \
        stats<BF16, halves>(x, blocks, Listed{list}, scales, sums, worst, where, counts);                                  \
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
