// cuda/codec.cuh on the host, for tests: arrays in, arrays out.
#include "codec.cuh"

using namespace fp4;

static Format format_of(const int* f) { return {f[0], f[1], f[2], f[3], f[4], f[5] != 0, f[6] != 0, f[7] != 0}; }

extern "C" {

void host_encode(const u32* x, const u32* random, u32* codes, i64 n, const int* f, const int* c) {
    const Format format = format_of(f);
    const Cast cast{(Rounding)c[0], c[1], c[2] != 0, (NanPolicy)c[3], (ZeroPolicy)c[4]};
    for (i64 i = 0; i < n; ++i) codes[i] = encode(x[i], format, cast, random ? random[i] : 0u);
}

void host_decode(const u32* codes, float* values, i64 n, const int* f) {
    for (i64 i = 0; i < n; ++i) values[i] = decode(codes[i], format_of(f));
}

void host_random(const u64* index, u32* out, i64 n, const u32* s, int bits) {
    const Stream stream{s[0], s[1], s[2], s[3]};
    for (i64 i = 0; i < n; ++i) out[i] = random_bits(stream, index[i], bits);
}

// How many of n neighbouring floats from `first` near_quotient does not divide as `/` does.
i64 host_near_quotient(u32 first, i64 n, float divisor) {
    const float inverse = near_divisor(divisor, 1.0f);
    i64 wrong = inverse == 0.0f;
    for (i64 i = 0; i < n; ++i) {
        const float a = float_of(first + (u32)i);
        wrong += bits_of(near_quotient(a, divisor, inverse)) != bits_of(a / divisor);
    }
    return wrong;
}

void host_widen_fp16(const u32* x, u32* out, i64 n) {
    for (i64 i = 0; i < n; ++i) out[i] = widen_fp16(x[i]);
}

void host_narrow_bf16(const u32* x, u32* out, i64 n) {
    for (i64 i = 0; i < n; ++i) out[i] = narrow_bf16(x[i]);
}

}
