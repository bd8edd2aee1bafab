// The GEMM for any scales and any accumulator: a thread an output, 64-bit integers. Correct first; tens of times slower.
#pragma once

#include "gemm_begin.cuh"
#include "gemm_epilogue.cuh"
#include "gemm_operands.cuh"
#include "mma_step.cuh"

namespace fp4 {

struct WideGroup {  // twice the 16 elements as signed bytes, and the scale
    u32 elements[4];
    int significand, exponent;
    u32 mask;
    u32 nan;
};

extern "C" __global__ void gemm_wide_operand(const u8* codes, const u8* scales, const ScaleEntry* table, i64 rows, i64 groups,
                                             i64 padded_groups, i64 block, i64 anchoring, WideGroup* out, u32* nan_rows) {
    const i64 place = (i64)blockIdx.x * blockDim.x + threadIdx.x, row = place / padded_groups, index = place % padded_groups;
    if (row >= rows) return;
    WideGroup wide = {};
    if (index < groups) {
        const Group group = read_group(codes, scales, table, row, index, groups, (int)block);
        for (int k = 0; k < 16; ++k)
            wide.elements[k / 4] |= (u32)((group.negative(k) ? -group.doubled(k) : group.doubled(k)) & 0xFF) << (8 * (k % 4));
        wide.significand = group.significand;
        wide.exponent = group.exponent;
        wide.mask = group.anchor_mask((int)anchoring);
        if (group.nan) nan_rows[row] = 1;
    }
    out[place] = wide;
}

// start: the accumulator's bits, or null for +0. begun: null, or what gemm_begin made of them; then only the outputs that it
// left to this kernel are computed.
extern "C" __global__ void gemm_wide(const WideGroup* a, const WideGroup* b, const u32* nan_a, const u32* nan_b, i64 groups,
                                     i64 unit, i64 fraction, i64 floor, const u32* start, const float* begun, i64 columns,
                                     const float* c, const float* bias, i64 factor, i64 beta, void* out, i64 kind, i64 m,
                                     i64 n) {
    const i64 place = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    const int i = (int)(place / n), j = (int)(place % n);
    if (i >= m || (begun && !is_nan(bits_of(begun[i * columns + j])))) return;
    u32 d = start ? start[place] : 0u;
    for (i64 step = 0; step < groups; step += 4) {
        Term terms[4];
        for (int g = 0; g < 4; ++g) {
            const WideGroup x = a[i * groups + step + g], y = b[j * groups + step + g];
            int sum = 0;
            for (int k = 0; k < 4; ++k) sum = __dp4a((int)x.elements[k], (int)y.elements[k], sum);
            terms[g] = {sum * x.significand * y.significand, x.exponent + y.exponent, (x.mask & y.mask) != 0};
        }
        d = wide_step(terms, (int)unit, d, (int)fraction, (int)floor);
    }
    if (nan_a[i] | nan_b[j]) d = MAGNITUDE;
    const Epilogue finish = epilogue(nullptr, nullptr, c, bias, factor, beta, out, kind, m, n);
    finish.store(float_of(d), i, j);
}

}  // namespace fp4
