// The random stream of fp4sim/randbits.py: Philox4x32-10 (Salmon et al., SC 2011), counter (index low, index high, name, draw).
#pragma once

#include "portable.cuh"

namespace fp4 {

struct Words {
    u32 w[4];
};

struct Stream {
    u32 key0, key1, name, draw;
};

FP4_HD Words philox(u64 counter, const Stream& stream) {
    u32 a = (u32)counter, b = (u32)(counter >> 32), c = stream.name, d = stream.draw;
    u32 k0 = stream.key0, k1 = stream.key1;
#if defined(__CUDACC__)
#pragma unroll
#endif
    for (int round = 0; round < 10; ++round) {
        const u32 high0 = mul_high(a, 0xD2511F53u), low0 = a * 0xD2511F53u;
        const u32 high1 = mul_high(c, 0xCD9E8D57u), low1 = c * 0xCD9E8D57u;
        a = high1 ^ b ^ k0;
        b = low1;
        c = high0 ^ d ^ k1;
        d = low0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return {{a, b, c, d}};
}

// The random integer in [0, 2^bits) of the element at flat index i; at 8 bits one call serves 16 elements, else 4.
FP4_HD u32 random_bits(const Stream& stream, u64 i, int bits) {
    if (bits == 8) {
        const Words words = philox(i >> 4, stream);
        return (words.w[(i >> 2) & 3] >> (8 * (i & 3))) & 0xFFu;
    }
    return philox(i >> 2, stream).w[i & 3] >> (32 - bits);
}

}  // namespace fp4
