// Operands of a block-scaled GEMM, made ready once: a row of E2M1 codes and scale bytes as fp16 values, anchors and bounds.
//
// A row is shifted by a power of two so that its unit, the largest power of two that divides all its values, becomes 2^-14,
// the least normal fp16. Then every product of two rows is a multiple of UNIT = 2^-28 and the bound of every proof is
// LIMIT = 2^24 units. fp16 holds the values exactly while a row's largest scale is at most 2^26 of its unit (UE4M3: always).
//
// Values lie in blocks of 64 elements of K, 8 chunks of 16 bytes. Chunk 4 p + t holds elements 4 t to 4 t + 3 of group 2 p and
// then of group 2 p + 1: what a thread t of a quad feeds to two m16n8k16 instructions. Order within a group changes no sum.
#pragma once

#include "mma_step.cuh"

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
    u32 mask;  // nonzero elements
    bool nan;

    FP4_HD int doubled(int k) const {  // twice the magnitude of element k
        return (int)(0xC8643210u >> (4 * (codes[k >> 3] >> (4 * (k & 7)) & 7u))) & 15;
    }
    FP4_HD bool negative(int k) const { return codes[k >> 3] >> (4 * (k & 7) + 3) & 1u; }
    FP4_HD bool has_value() const { return mask && significand; }
    FP4_HD u32 anchor_mask(int anchoring) const {
        if (anchoring == BY_ANY_SCALE) return mask;
        return significand ? (anchoring == BY_SCALES ? 0xFFFFu : mask) : 0u;
    }
    FP4_HD int trailing_zeros() const {  // of significand * doubled(k), over all nonzero elements
        int all = 0, zeros = 0;
        for (int k = 0; k < 16; ++k) all |= doubled(k);
        while (!(all >> zeros & 1)) ++zeros;
        for (int rest = significand; !(rest & 1); rest >>= 1) ++zeros;
        return zeros;
    }
};

FP4_HD Group read_group(const u8* codes, const u8* scales, const ScaleEntry* table, i64 row, i64 index, i64 groups, int block) {
    Group group;
    const u8* bytes = codes + (row * groups + index) * 8;
    for (int half = 0; half < 2; ++half) {
        group.codes[half] = 0;
        for (int byte = 0; byte < 4; ++byte) group.codes[half] |= (u32)bytes[4 * half + byte] << (8 * byte);
    }
    const ScaleEntry entry = table[scales[row * (groups * 16 / block) + index * 16 / block]];
    group.nan = entry.significand < 0;
    group.significand = group.nan ? 0 : entry.significand;
    group.exponent = entry.exponent;
    group.mask = 0;
    for (int k = 0; k < 16; ++k) group.mask |= (group.doubled(k) ? 1u : 0u) << k;
    return group;
}

FP4_HD float power(int exponent) {  // 2^exponent, held within the normal floats
    return float_of((u32)((exponent < -126 ? -126 : exponent > 127 ? 127 : exponent) + 127) << 23);
}

#if defined(__CUDACC__)

__device__ __forceinline__ u16 half_bits(float x) {
    u16 bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    return bits;
}

// Extremes over all rows, for the host, from zeros: the largest spread of values and of anchors, and of the exponents that
// anchor the largest of ZERO_EXPONENT - exponent and ZERO_EXPONENT + exponent.
struct Extremes {
    int value_spread, anchor_spread, lowest, highest;
};

constexpr int NONE = 1 << 20, ZERO_EXPONENT = 1024;

// One block a row. Rows beyond `rows` and groups beyond `groups` are zeros. norms: [group / 4][padded_rows], the Euclidean
// norm of 64 elements, rounded up; pool: the largest of POOL rows; spread: exponents from the unit to the largest anchor.
extern "C" __global__ void gemm_operand(const u8* codes, const u8* scales, const ScaleEntry* table, i64 rows, i64 groups,
                                        i64 padded_rows, i64 padded_groups, i64 block, i64 scale_unit, i64 anchoring,
                                        uint2* values, Anchor* anchors, float* norms, int* pool, int* spread, int* pool_spread,
                                        float* unshift, Extremes* extremes) {
    __shared__ int unit, value_top, anchor_top, anchor_least, nan;
    const i64 row = blockIdx.x;
    const i64 given = row < rows ? groups : 0;
    if (threadIdx.x == 0) unit = NONE, value_top = anchor_top = -NONE, anchor_least = NONE, nan = 0;
    __syncthreads();
    for (i64 index = threadIdx.x; index < given; index += blockDim.x) {
        const Group group = read_group(codes, scales, table, row, index, groups, (int)block);
        if (group.nan) nan = 1;
        if (group.has_value()) {
            atomicMin(&unit, group.exponent - (int)scale_unit - 1 + group.trailing_zeros());
            atomicMax(&value_top, group.exponent);
        }
        if (group.anchor_mask((int)anchoring)) {
            atomicMax(&anchor_top, group.exponent);
            atomicMin(&anchor_least, group.exponent);
        }
    }
    __syncthreads();
    const bool anchored = anchor_top > -NONE;
    const int shift = unit < NONE ? -14 - unit : anchored ? -anchor_top : 0;
    if (threadIdx.x == 0) {
        const int reach = unit < NONE && anchored ? anchor_top - unit : 0;
        spread[row] = reach;
        atomicMax(&pool_spread[row / POOL], reach);
        unshift[row] = nan ? float_of(MAGNITUDE) : power(-shift);
        atomicMax(&extremes->anchor_spread, reach);
        if (unit < NONE) atomicMax(&extremes->value_spread, value_top - unit);
        if (anchored) {
            atomicMax(&extremes->lowest, ZERO_EXPONENT - anchor_least);
            atomicMax(&extremes->highest, ZERO_EXPONENT + anchor_top);
        }
    }
    for (i64 first = 0; first < padded_groups; first += blockDim.x) {  // whole warps, because of the shuffles
        const i64 index = first + threadIdx.x;
        Group group = {};
        if (index < given) group = read_group(codes, scales, table, row, index, groups, (int)block);
        const float scale = (float)group.significand * power(group.exponent - (int)scale_unit - 1 + shift);
        float squares = 0.0f;
        for (int t = 0; t < 4; ++t) {
            u16 part[4];
            for (int k = 0; k < 4; ++k) {
                const float x = (float)group.doubled(4 * t + k) * scale;
                squares = __fadd_ru(squares, __fmul_ru(x, x));
                part[k] = half_bits(group.negative(4 * t + k) ? -x : x);
            }
            if (index < padded_groups)
                values[(row * padded_groups + (index & ~3ll)) * 4 + ((index >> 1 & 1) * 4 + t) * 2 + (index & 1)] =
                    make_uint2(part[0] | (u32)part[1] << 16, part[2] | (u32)part[3] << 16);
        }
        squares = __fadd_ru(squares, __shfl_xor_sync(~0u, squares, 1));
        squares = __fadd_ru(squares, __shfl_xor_sync(~0u, squares, 2));
        if (index >= padded_groups) continue;
        const u32 mask = group.anchor_mask((int)anchoring);
        const int field = group.exponent + shift + 127;
        anchors[row * padded_groups + index] = mask && field > 0 ? (u32)(field < 254 ? field : 254) << 23 | mask : 0u;
        if ((index & 3) == 0) {
            const float norm = __fsqrt_ru(squares);
            norms[(index >> 2) * padded_rows + row] = norm;
            if (norm > 0.0f) atomicMax(&pool[(index >> 2) * (padded_rows / POOL) + row / POOL], __float_as_int(norm));
        }
    }
}

#endif

}  // namespace fp4
