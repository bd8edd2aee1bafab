// The bins of value_counts.cu: which magnitude under which scale code a bin counts, and what its elements add to the sums.
// Magnitudes are bits of a bfloat16.
#pragma once

#include "stats.cuh"

namespace fp4 {

constexpr u32 MAXIMA = 2048;

// What is known of blocks of one amax: in bits 0 to 14 the least magnitude that is not flushed, from bit 16 on how far its bin
// lies behind where it would be if it were; SEARCH: one of them may hold the worst element. NO_BINS: they have none.
constexpr u32 NO_BINS = ~0u, SEARCH = 1u << 15;

struct ValueTable {
    // bins of a sign: one of zeros, `flush` of magnitudes from below + 1 on, then for each scale code from first_code on `width`,
    // the first of blocks, the others of magnitudes from the code's limit on
    u32 bins, below, flush, width, first_code;
    u32 least, maxima;  // blocks of an amax from least on are counted, `maxima` different ones
    u32 origins;  // -below in both halves, with carries
    u32 blocks_of[MAXIMA];
    float bound[MAXIMA];    // no |e| / amax of such a block is larger
    double worst[MAXIMA];  // the largest that it can be; -1 where a larger one has the same bound
    u32 limit[256];
    float factor[256];
    double decode[256];
};

// Where blocks are counted of which this is known, and their scale code.
FP4_HD u32 bin_of_blocks(u32 known, u32 below) { return (known >> 16) + (known & 0x7FFFu) - 1 - below; }
FP4_HD u32 code_of_blocks(const ValueTable& t, u32 known) {
    return t.first_code + (bin_of_blocks(known, t.below) - 1 - t.flush) / t.width;
}

// Whether a bin is one of blocks; and of which code it is, if it is not one that all have in common.
FP4_HD bool counts_blocks(const ValueTable& t, u32 bin, u32& code) {
    if (bin <= t.flush) return false;
    code = t.first_code + (bin - t.flush - 1) / t.width;
    return (bin - t.flush - 1) % t.width == 0;
}

FP4_HD void value_of_bin(const ValueTable& t, u32 bin, u32& bits, u32& code) {
    code = t.first_code;
    if (bin <= t.flush) {
        bits = bin ? t.below + bin : 0u;
        return;
    }
    code += (bin - t.flush - 1) / t.width;
    bits = t.limit[code] + (bin - t.flush - 1) % t.width - 1;
}

enum { V_N_OVER, V_N_FLUSHED, V_N_OCCUPANCY, V_COUNTS = V_N_OCCUPANCY + 16 };

// What n elements of a bin, negative or not, are: their sums; the code; which cause is counted, V_COUNTS if none is.
FP4_HD void add_value(const ValueTable& t, u32 bin, bool negative, double n, double (&s)[8], u32& element, u32& cause) {
    u32 bits, code;
    value_of_bin(t, bin, bits, code);
    const float x = float_of(bits << 16);
    const bool flushed = bin <= t.flush;
    float scaled = 0;
    const float r = flushed ? 0.0f : grid_value(x, t.factor[code], scaled);
    const double exact = x, value = r * t.decode[code], e = fma_near((double)r, t.decode[code], -exact);
    s[X2] = n * (exact * exact), s[X_XHAT] = n * (exact * value), s[XHAT2] = n * (value * value);
    s[E] = negative ? -(n * e) : n * e, s[E2] = n * (e * e);
    cause = flushed && bin ? V_N_FLUSHED : !flushed && scaled > 6.0f ? V_N_OVER : V_COUNTS;
    if (cause == V_N_FLUSHED) s[E2_FLUSHED] = s[E2];
    if (cause == V_N_OVER) s[E2_OVER] = s[E2];
    element = code_of(r) + (negative ? 8u : 0u);
}

}  // namespace fp4
