// Operands of a block-scaled GEMM, made ready once: a row of E2M1 codes and scale bytes as fp16 values, anchors and bounds.
//
// A row is shifted by a power of two so that its unit, the largest power of two that divides all its values, becomes 2^-14,
// the least normal fp16. Then every product of two rows is a multiple of UNIT = 2^-28 and the bound of every proof is
// LIMIT = 2^24 units. fp16 holds the values exactly while a row's largest scale is at most 2^26 of its unit (UE4M3: always).
//
// Values lie as shared memory holds them: tiles of 128 rows by 64 elements of K, 16 KiB in one piece; a row of 128 bytes is 8
// chunks of 8 elements, chunk i at place i ^ (row & 7), the swizzle that Hopper's matrix instructions read and in which no
// banks meet. Anchors lie in the same tiles, 16 bytes a row.
#pragma once

#include "mma_step.cuh"
#include "tensor_core.cuh"

namespace fp4 {

constexpr int POOL = 256;  // columns that share the bound of their norms
constexpr float LIMIT = 0x1p-4f;
enum Anchoring { BY_PRODUCTS, BY_SCALES, BY_ANY_SCALE };

struct ScaleEntry {  // a scale byte: significand * 2^(exponent - unit); -1 is NaN
    short significand, exponent;
};

struct Group {
    u32 codes[2];
    int significand, exponent;
    bool nan;

    FP4_HD int doubled(int k) const {  // twice the magnitude of element k
        return (int)(0xC8643210u >> (4 * (codes[k >> 3] >> (4 * (k & 7)) & 7u))) & 15;
    }
    FP4_HD bool negative(int k) const { return codes[k >> 3] >> (4 * (k & 7) + 3) & 1u; }
    FP4_HD u32 mask() const { return nonzero(codes[0]) | nonzero(codes[1]) << 8; }
    FP4_HD bool has_value() const { return ((codes[0] | codes[1]) & 0x77777777u) && significand; }
    FP4_HD u32 anchor_mask(int anchoring) const {
        if (anchoring == BY_ANY_SCALE) return mask();
        return significand ? (anchoring == BY_SCALES ? 0xFFFFu : mask()) : 0u;
    }
    FP4_HD int trailing_zeros() const {  // that significand * doubled(k) has for all nonzero elements
        const u32 b0 = codes[0], b1 = codes[1];
        const int scale = significand & 1 ? 0 : significand & 2 ? 1 : significand & 4 ? 2 : 3;
        return scale + ((odd(b0) | odd(b1)) ? 0 : (once_even(b0) | once_even(b1)) ? 1 : (twice_even(b0) | twice_even(b1)) ? 2 : 3);
    }

  private:
    static FP4_HD u32 nonzero(u32 x) {  // a bit for each of 8 codes
        x = (x | x >> 1 | x >> 2) & 0x11111111u;
        x = (x | x >> 3) & 0x03030303u;
        x = (x | x >> 6) & 0x000F000Fu;
        return (x | x >> 12) & 0xFFu;
    }
    // Codes whose doubled magnitude is odd (1, 3), 2 times odd (2, 6), 4 times odd (4, 12).
    static FP4_HD u32 odd(u32 x) { return x & ~(x >> 2) & 0x11111111u; }
    static FP4_HD u32 once_even(u32 x) {
        return ((x >> 1 & ~x & ~(x >> 2)) | (x & ~(x >> 1) & x >> 2)) & 0x11111111u;
    }
    static FP4_HD u32 twice_even(u32 x) { return x >> 2 & ~(x ^ x >> 1) & 0x11111111u; }
};

FP4_HD Group read_group(const u8* codes, const u8* scales, const ScaleEntry* table, i64 row, i64 index, i64 groups, int block) {
    Group group;
    const u8* bytes = codes + (row * groups + index) * 8;
#if defined(__CUDA_ARCH__)
    const uint2 words = *reinterpret_cast<const uint2*>(bytes);
    group.codes[0] = words.x, group.codes[1] = words.y;
#else
    memcpy(group.codes, bytes, 8);
#endif
    const ScaleEntry entry = table[scales[row * (groups * 16 / block) + index * 16 / block]];
    group.nan = entry.significand < 0;
    group.significand = group.nan ? 0 : entry.significand;
    group.exponent = entry.exponent;
    return group;
}

FP4_HD float power(int exponent) {  // 2^exponent, held within the normal floats
    return float_of((u32)((exponent < -126 ? -126 : exponent > 127 ? 127 : exponent) + 127) << 23);
}

// Where the line of a row and a step lies, in lines: 128 bytes of values, 16 of anchors. `steps`: of 64 elements a row.
FP4_HD i64 line_place(i64 row, i64 step, i64 steps) { return (row / 128 * steps + step) * 128 + row % 128; }

#if defined(__CUDACC__) || defined(FP4_COOPERATIVE)

// Two fp16 numbers: codes in the low two nibbles of `codes`, times `scale` twice.
__device__ __forceinline__ u32 scaled_pair(u32 codes, u32 scale) {
    const u32 high = __byte_perm(0x3E3C3800u, 0x46444240u, codes & 0x77u);  // high bytes of fp16 0, 0.5, ... 6
    const u32 pair = __byte_perm(high, 0u, 0x1404u) | (codes & 8u) << 12 | (codes & 0x80u) << 24;
    return half_products(pair, scale);
}

// The sum of the squares of doubled magnitudes.
__device__ __forceinline__ int doubled_squares(const Group& group) {
    int sum = 0;
#pragma unroll
    for (int part = 0; part < 4; ++part) {
        const u32 codes = group.codes[part / 2] >> (16 * (part % 2));
        sum = (int)__dp4a(__byte_perm(0x09040100u, 0x90402410u, codes & 0x7777u), 0x01010101u, (u32)sum);
    }
    return sum;
}

// Extremes over all rows, for the host, from zeros: the largest distance of a row's unit from its values and from its
// anchors, and of the exponents that anchor the largest of ZERO_EXPONENT - exponent and ZERO_EXPONENT + exponent.
struct Extremes {
    int value_spread, anchor_spread, lowest, highest;
};

constexpr int NONE = 1 << 20, ZERO_EXPONENT = 1024, OPERAND_THREADS = 128;

// One block a row. Rows beyond `rows` and groups beyond `groups` are zeros. norms: [step][padded_rows], the Euclidean norm of
// 64 elements, rounded up; pool: the largest of POOL rows; spread: exponents from the unit to the largest anchor.
extern "C" __global__ void __launch_bounds__(OPERAND_THREADS)
    gemm_operand(const u8* codes, const u8* scales, const ScaleEntry* table, i64 rows, i64 groups, i64 padded_rows,
                 i64 padded_groups, i64 block, i64 scale_unit, i64 anchoring, uint4* values, Anchor* anchors, float* norms,
                 int* pool, int* spread, int* pool_spread, float* unshift, Extremes* extremes) {
    __shared__ uint4 staged[2 * OPERAND_THREADS];
    __shared__ int unit, value_top, anchor_top, anchor_least, nan;
    const i64 row = blockIdx.x, given = row < rows ? groups : 0, steps = padded_groups / 4;
    if (threadIdx.x == 0) unit = NONE, value_top = anchor_top = -NONE, anchor_least = NONE, nan = 0;
    __syncthreads();
    int own_unit = NONE, own_top = -NONE, own_anchor = -NONE, own_least = NONE;
    for (i64 index = threadIdx.x; index < given; index += blockDim.x) {
        const Group group = read_group(codes, scales, table, row, index, groups, (int)block);
        if (group.nan) nan = 1;
        if (group.has_value()) {
            own_unit = min(own_unit, group.exponent - (int)scale_unit - 1 + group.trailing_zeros());
            own_top = max(own_top, group.exponent);
        }
        if (group.anchor_mask((int)anchoring)) {
            own_anchor = max(own_anchor, group.exponent);
            own_least = min(own_least, group.exponent);
        }
    }
    own_unit = __reduce_min_sync(~0u, own_unit), own_top = __reduce_max_sync(~0u, own_top);
    own_anchor = __reduce_max_sync(~0u, own_anchor), own_least = __reduce_min_sync(~0u, own_least);
    if (threadIdx.x % 32 == 0) {
        atomicMin(&unit, own_unit), atomicMax(&value_top, own_top);
        atomicMax(&anchor_top, own_anchor), atomicMin(&anchor_least, own_least);
    }
    __syncthreads();
    const bool anchored = anchor_top > -NONE;
    const int shift = unit < NONE ? -14 - unit : anchored ? -anchor_top : 0;
    if (threadIdx.x == 0) {
        const int reach = unit < NONE && anchored ? anchor_top - unit : 0;
        spread[row] = reach;
        unshift[row] = nan ? float_of(MAGNITUDE) : power(-shift);
        if (reach > pool_spread[row / POOL]) atomicMax(&pool_spread[row / POOL], reach);
        const int around = unit < NONE && anchored ? max(reach, unit - anchor_least) : 0;
        if (around > extremes->anchor_spread) atomicMax(&extremes->anchor_spread, around);
        if (unit < NONE && value_top - unit > extremes->value_spread) atomicMax(&extremes->value_spread, value_top - unit);
        if (anchored && ZERO_EXPONENT - anchor_least > extremes->lowest)
            atomicMax(&extremes->lowest, ZERO_EXPONENT - anchor_least);
        if (anchored && ZERO_EXPONENT + anchor_top > extremes->highest)
            atomicMax(&extremes->highest, ZERO_EXPONENT + anchor_top);
    }
    for (i64 first = 0; first < padded_groups; first += OPERAND_THREADS) {  // a thread a group; whole warps: they shuffle
        const i64 index = first + threadIdx.x;
        Group group = {};
        if (index < given) group = read_group(codes, scales, table, row, index, groups, (int)block);
        const float scale =
            group.has_value() ? (float)group.significand * power(group.exponent - (int)scale_unit + shift) : 0.0f;
        const u32 half_scale = half_twice(scale);
#pragma unroll
        for (int i = 0; i < 2; ++i) {
            const u32 x = group.codes[i];
            staged[(threadIdx.x / 4) * 8 + ((2 * (threadIdx.x % 4) + i) ^ (row & 7))] =
                make_uint4(scaled_pair(x, half_scale), scaled_pair(x >> 8, half_scale), scaled_pair(x >> 16, half_scale),
                           scaled_pair(x >> 24, half_scale));
        }
        float squares = __fmul_ru((float)doubled_squares(group), 0.25f * scale * scale);
        squares = __fadd_ru(squares, __shfl_xor_sync(~0u, squares, 1));
        squares = __fadd_ru(squares, __shfl_xor_sync(~0u, squares, 2));
        if (index < padded_groups) {
            const i64 step = index / 4;
            const u32 mask = group.anchor_mask((int)anchoring);
            anchors[line_place(row, step, steps) * 4 + index % 4] = anchor_word(mask, __popc(mask), group.exponent + shift);
            const float norm = __fsqrt_ru(squares);
            if (index % 4 == 0) {
                norms[step * padded_rows + row] = norm;
                int* top = &pool[step * (padded_rows / POOL) + row / POOL];
                if (__float_as_int(norm) > *top) atomicMax(top, __float_as_int(norm));
            }
        }
        __syncthreads();
#pragma unroll
        for (int i = 0; i < 2; ++i) {
            const int chunk = threadIdx.x + i * OPERAND_THREADS;
            const i64 step = first / 4 + chunk / 8;
            if (step < steps) values[line_place(row, step, steps) * 8 + chunk % 8] = staged[chunk];
        }
        __syncthreads();
    }
}

#endif

}  // namespace fp4
