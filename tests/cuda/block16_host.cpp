// cuda/block16.cuh and encode16 of hadamard.cuh on the host, for tests: how many floats of a range are not what codec.cuh makes
// of them.
#include "hadamard.cuh"

using namespace fp4;

extern "C" {

// Bits first, first + step, ... below last: E2M1 and E4M3 to nearest, values of codes, and codes of blocks of alternating signs.
u64 host_nearest_mismatches(u64 first, u64 last, u64 step) {
    u64 wrong = 0, filled = 0;
    float y[16], z[16], r16[16];
    u64 codes = 0;
    for (u64 bits = first; bits < last; bits += step) {
        const float x = float_of((u32)bits);
        const float r = nearest_e2m1(fmin_num(x, 6.0f));
        const u32 code = encode((u32)bits, E2M1, NEAREST), scale = encode((u32)bits, UE4M3, NEAREST);
        wrong += bits_of(r) != bits_of(decode(code, E2M1));
        const u32 sign = (u32)(filled & 1u) << 3;
        y[filled] = sign ? -x : x;
        codes |= (u64)(code | sign) << (4 * filled);
        if (++filled == 16) {
            wrong += encode16(y, 1.0f, z, r16) != codes;
            filled = codes = 0;
        }
        wrong += nearest_e4m3(x) != scale;
        wrong += bits_of(e4m3_value(scale)) != bits_of(decode(scale, UE4M3));
    }
    return wrong;
}

// Bits from first on below last, all of which must be below 7.
u64 host_below_7_mismatches(u64 first, u64 last, u64 step) {
    u64 wrong = 0;
    for (u64 bits = first; bits < last; bits += step) {
        const float x = float_of((u32)bits);
        wrong += bits_of(nearest_e2m1_below_7(x)) != bits_of(nearest_e2m1(fmin_num(x, 6.0f)));
    }
    return wrong;
}

u64 host_stochastic_mismatches(const u32* x, const u32* random, u64 n) {
    const Cast cast{SR, 32, false, NAN_HARDWARE, ZERO_KEEP};
    u64 wrong = 0;
    for (u64 i = 0; i < n; ++i) wrong += stochastic_e4m3(float_of(x[i]), random[i]) != encode(x[i], UE4M3, cast, random[i]);
    return wrong;
}
}
