// cuda/mma_step.cuh and the host parts of cuda/gemm_operands.cuh, for tests: chains of steps on arrays of outputs.
#include "gemm_operands.cuh"

using namespace fp4;

extern "C" {

// Outputs (row i of A with row i of B), `steps` steps each. Groups as [output][4 steps]: sum, sum of exponents, anchors.
void host_wide(const int* sums, const int* exponents, const u8* anchors, const u32* c, u32* d, i64 outputs, i64 steps, int unit,
               int fraction, int floor) {
    for (i64 i = 0; i < outputs; ++i) {
        d[i] = c[i];
        for (i64 step = 0; step < steps; ++step) {
            Term terms[4];
            for (int g = 0; g < 4; ++g) {
                const i64 at = (i * steps + step) * 4 + g;
                terms[g] = {sums[at], exponents[at], anchors[at] != 0};
            }
            d[i] = wide_step(terms, unit, d[i], fraction, floor);
        }
    }
}

// The same with groups' sums under their scales and anchor words, from +0.
void host_narrow(const float* sums, const Anchor* a, const Anchor* b, float* d, i64 outputs, i64 steps, int fraction) {
    for (i64 i = 0; i < outputs; ++i) {
        d[i] = 0.0f;
        for (i64 at = i * steps * 4; at < (i + 1) * steps * 4; at += 4) {
            const float t[4] = {sums[at], sums[at + 1], sums[at + 2], sums[at + 3]};
            const Anchor left[4] = {a[at], a[at + 1], a[at + 2], a[at + 3]}, top[4] = {b[at], b[at + 1], b[at + 2], b[at + 3]};
            Anchor all = 0;
            for (int g = 0; g < 4; ++g) all |= left[g] | top[g];
            d[i] = all & FEW ? narrow_step<false>(t, left, top, d[i], fraction) : narrow_step<true>(t, left, top, d[i], fraction);
        }
    }
}

void host_anchors(const u32* masks, const int* elements, const int* exponents, Anchor* words, i64 n) {
    for (i64 i = 0; i < n; ++i) words[i] = anchor_word(masks[i], elements[i], exponents[i]);
}

// Groups of 16 codes under scale bytes: signed doubled elements, significand (-1: NaN), exponent, mask of anchors, zeros.
void host_groups(const u8* codes, const u8* scales, const ScaleEntry* table, i64 rows, i64 groups, int block, int anchoring,
                 int* elements, int* significands, int* exponents, u32* masks, int* zeros) {
    for (i64 at = 0; at < rows * groups; ++at) {
        const Group group = read_group(codes, scales, table, at / groups, at % groups, groups, block);
        for (int k = 0; k < 16; ++k) elements[at * 16 + k] = group.negative(k) ? -group.doubled(k) : group.doubled(k);
        significands[at] = group.nan ? -1 : group.significand;
        exponents[at] = group.exponent;
        masks[at] = group.anchor_mask(anchoring);
        zeros[at] = group.has_value() ? group.trailing_zeros() : 0;
    }
}

}
