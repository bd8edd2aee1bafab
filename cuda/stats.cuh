// The error of E2M1 blocks: the sums of fp4sim/stats/sums.py over sixteen elements in registers, nothing stored.
//
// A value is r d, r on E2M1's grid and d the block's decode multiplier. r d has at most 32 bits, so e = fma(r, d, -x) is the
// difference rounded once, as the CPU rounds it. The sums of x x_hat, x_hat^2 and x^2 follow from those of e^2, r e and r^2
// (the last is exact): x x_hat = d^2 r^2 - d r e, x^2 = d^2 r^2 - 2 d r e + e^2; x and x_hat have one sign, so this loses nothing.
// Elements that are flushed are those of code 0, which are counted anyway, but for exact zeros.
#pragma once

#include "block16.cuh"

namespace fp4 {

// Block scales of a tensor: the code of an amax by comparison, then what the code stands for. coarse[b]: the code of the amax
// of bits b << 19; `next` of a code: the least bits of an amax beyond it. No two codes begin between neighbours of `coarse`.
struct ScaleEntry {
    double decode;
    float factor;
    u32 next;
};

struct ScaleTable {
    u8 coarse[4096];
    ScaleEntry entry[257];

    FP4_HD ScaleEntry find(float amax, u32& code) const {
        const u32 bits = bits_of(amax);
        code = coarse[bits >> 19];
        ScaleEntry found = entry[code];
        if (bits >= found.next) found = entry[++code];
        return found;
    }
};

// The sums, as fp4sim/stats/sums.py has them.
enum { X2, X_XHAT, XHAT2, E, E2, E2_SCALE_ZERO, E2_OVER, E2_FLUSHED };

// Sums over blocks: of e^2 and e; of e^2 where |x factor| > 6 and where r = 0.
struct RunningErrors {
    double square, sum, over, flushed;
};

// Of one block: sums of r e and r^2. top: the largest |e|, as a float whose bits are the upper half of the double. values,
// negative: four elements a word, a byte each, see GRID_LOW and Counter.
struct BlockErrors {
    double along;
    float grid, top;
    u32 values[4], negative[4];
};

FP4_HD float upper_half(double x) {
#if defined(__CUDA_ARCH__)
    return __int_as_float(__double2hiint(x));
#else
    u64 bits;
    memcpy(&bits, &x, 8);
    return float_of((u32)(bits >> 32));
#endif
}

// A double above all whose upper half is top, in magnitude, by at least a millionth of them.
FP4_HD double bound_of(float top) {
    const u64 bits = (u64)((bits_of(top) & MAGNITUDE) + 3u) << 32;
#if defined(__CUDA_ARCH__)
    return __longlong_as_double((long long)bits);
#else
    double x;
    memcpy(&x, &bits, 8);
    return x;
#endif
}

// r of an element, x's sign aside; scaled: |fl(x factor)|.
FP4_HD float grid_value(float x, float factor, float& scaled) {
    scaled = mul(magnitude(x), factor);
    return nearest_e2m1(fmin_num(scaled, 6.0f));
}

// The code of a value of the grid that is not negative.
FP4_HD u32 code_of(float r) {
    const u32 twice = (u32)(2.0f * r);
    return twice < 5u ? twice : twice / 4u + 4u;
}

// What prmt makes of the selector 2 r: a bit each for r = 0, 0.5, 1, 1.5, 2 and 3; 4 (selector 8) is the sign of byte 0, all
// ones; 6 (selector 12) the sign of byte 4, none.
constexpr u32 GRID_LOW = 0x04020180u, GRID_HIGH = 0x00100008u;

// An element's error, r without x's sign: to the sums over blocks and over its own.
template <class Count>
FP4_HD void add_error(
    float x, float scaled, float r, bool flushed, double decode, RunningErrors& all, Count& n_over, BlockErrors& block) {
    const double value = float_of(bits_of(r) | (bits_of(x) & SIGN)), e = fma_near(value, decode, -(double)x);
    all.square = fma_near(e, e, all.square);
    block.along = fma_near(value, e, block.along);
    all.sum += e;
    if (scaled > 6.0f) all.over = fma_near(e, e, all.over), ++n_over;
    if (flushed) all.flushed = fma_near(e, e, all.flushed);
    block.grid = fma_near(r, r, block.grid);
    block.top = larger_magnitude(block.top, upper_half(e));
}

// The selector of four values: begun with NO_VALUES = 2^23, so that the nibbles 2 r add up in the last bits.
constexpr float NO_VALUES = 8388608.0f;
FP4_HD float with_value(float selector, float r, int i) {
    return fma_near(r, i == 0 ? 2.0f : i == 1 ? 32.0f : i == 2 ? 512.0f : 8192.0f, selector);
}

// low: GRID_LOW. signs: as Sixteen has them.
FP4_HD void set_values(BlockErrors& block, int q, u32 low, float selector, u32 signs) {
    block.values[q] = permute(low, GRID_HIGH, bits_of(selector));
    block.negative[q] = (block.values[q] | 0x40404040u) & signs;
}

template <class Elements>
FP4_HD void block_errors(const Elements& x, float factor, double decode, RunningErrors& all, u32& n_over, BlockErrors& block) {
    block.along = 0, block.grid = block.top = 0;
    FP4_UNROLL
    for (int q = 0; q < 4; ++q) {
        float selector = NO_VALUES;
        FP4_UNROLL
        for (int i = 0; i < 4; ++i) {
            const float xi = x[4 * q + i];
            float scaled;
            const float r = grid_value(xi, factor, scaled);
            add_error(xi, scaled, r, r == 0.0f, decode, all, n_over, block);
            selector = with_value(selector, r, i);
        }
        set_values(block, q, GRID_LOW, selector, x.signs(q));
    }
}

// Counts of bits by place, in vertical counters: plane p holds bit p of 32 counters. Words are added four at a time.
struct Counter {
    static constexpr int PLANES = 10, LIMIT = (1 << PLANES) / 4 - 1;  // groups of four words before they must be counted
    u32 plane[PLANES], fours, eights;

    FP4_HD void clear() {
        FP4_UNROLL
        for (int p = 0; p < PLANES; ++p) plane[p] = 0;
        fours = eights = 0;
    }

    FP4_HD static u32 full_add(u32& sum, u32 a, u32 b) {  // the carry
        const u32 carry = (sum & a) | (sum & b) | (a & b);
        sum ^= a ^ b;
        return carry;
    }

    FP4_HD u32 add_ones(const u32 (&w)[4]) {  // the carry of weight 4
        const u32 low = full_add(plane[0], w[0], w[1]), high = full_add(plane[0], w[2], w[3]);
        return full_add(plane[1], low, high);
    }

    FP4_HD void add_eights(u32 eight) {
        u32 carry = full_add(plane[3], eights, eight);
        FP4_UNROLL
        for (int p = 4; p < PLANES; ++p) {
            const u32 next = plane[p] & carry;
            plane[p] ^= carry;
            carry = next;
        }
    }

    // How often bit `bit` was set in any of a word's four bytes, after n groups: an odd one waits, and so may its pair.
    FP4_HD u32 count(int bit, u32 n) const {
        const u32 mask = 0x01010101u << bit;
        u32 total = (n & 1u ? 4 * ones(fours & mask) : 0u) + (n & 2u ? 8 * ones(eights & mask) : 0u);
        FP4_UNROLL
        for (int p = 0; p < PLANES; ++p) total += ones(plane[p] & mask) << p;
        return total;
    }

    FP4_HD static u32 ones(u32 x) {
#if defined(__CUDA_ARCH__)
        return (u32)__popc((int)x);
#else
        return (u32)__builtin_popcount(x);
#endif
    }
};

// The n-th group, n from 0, of two counters: carries of weight 4 wait for the next one, those of weight 8 for the one after it.
FP4_HD void add_groups(Counter& a, const u32 (&v)[4], Counter& b, const u32 (&w)[4], u32 n) {
    const u32 first = a.add_ones(v), second = b.add_ones(w);
    if (!(n & 1u)) {
        a.fours = first, b.fours = second;
        return;
    }
    const u32 eight = Counter::full_add(a.plane[2], a.fours, first), other = Counter::full_add(b.plane[2], b.fours, second);
    if (!(n & 2u)) {
        a.eights = eight, b.eights = other;
        return;
    }
    a.add_eights(eight);
    b.add_eights(other);
}

// Counts by code from the two counters: bit 7 is r = 0, bits 0 to 4 are 0.5 1 1.5 2 3; r = 4 sets every bit, 6 none.
// Bit 6 counts the negative ones; there were sixteen elements in each of n groups.
FP4_HD void occupancy_of(const Counter& all, const Counter& negative, u32 n, u32 (&bins)[16]) {
    const u32 minus = negative.count(6, n), four = all.count(5, n), four_minus = negative.count(5, n);
    u32 known[2] = {0, 0};
    const int bit[8] = {7, 0, 1, 2, 3, 4, 5, 5};
    for (int code = 0; code < 7; ++code) {
        const u32 plus = code == 6 ? four : all.count(bit[code], n) - four;
        const u32 below = code == 6 ? four_minus : negative.count(bit[code], n) - four_minus;
        bins[code] = plus - below, bins[8 + code] = below;
        known[0] += plus, known[1] += below;
    }
    bins[15] = minus - known[1];
    bins[7] = 16 * n - known[0] - bins[15];
}

}  // namespace fp4
