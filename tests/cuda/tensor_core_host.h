// What cuda/tensor_core.cuh wraps, for fibers.h: fp16 products exactly, their sums in double, rounded once.
#pragma once
#include "fibers.h"
#include "codec.cuh"

struct uint2 {
    unsigned int x, y;
};
struct float2 {
    float x, y;
};
struct float4 {
    float x, y, z, w;
};
static uint2 make_uint2(unsigned int x, unsigned int y) { return {x, y}; }
static float2 make_float2(float x, float y) { return {x, y}; }

template <class T>
static T __ldg(const T* from) { return *from; }
static int __popc(unsigned int x) { return __builtin_popcount(x); }
static int __float_as_int(float x) {
    int bits;
    memcpy(&bits, &x, 4);
    return bits;
}

static unsigned int __byte_perm(unsigned int x, unsigned int y, unsigned int selector) {
    const unsigned long long both = x | (unsigned long long)y << 32;
    unsigned int out = 0;
    for (int i = 0; i < 4; ++i) out |= (unsigned int)(both >> (8 * (selector >> (4 * i) & 7)) & 0xFF) << (8 * i);
    return out;
}

template <class T>  // four signed or unsigned bytes
static T __dp4a(T x, T y, T sum) {
    using Byte = typename std::conditional<std::is_signed<T>::value, signed char, unsigned char>::type;
    for (int i = 0; i < 4; ++i) sum += (T)(Byte)(x >> (8 * i)) * (T)(Byte)(y >> (8 * i));
    return sum;
}

// Directed roundings of what a double holds exactly, or nearly: never less (more) than it.
static float up(double x) {
    const float near = (float)x;
    return near < x ? std::nextafter(near, INFINITY) : near;
}
static float __fmul_ru(float a, float b) { return up((double)a * b); }
static float __fadd_ru(float a, float b) { return up((double)a + b); }
static float __fsqrt_ru(float a) { return up(std::sqrt((double)a)); }
static float __fsub_rd(float a, float b) { return -up((double)b - a); }

namespace fp4 {

thread_local __align__(1024) u8 shared[1 << 18];

static float half_value(u32 bits) {
    static float* table = nullptr;
    if (!table) {
        table = new float[1 << 16];
        for (u32 i = 0; i < 1 << 16; ++i) table[i] = float_of(widen_fp16(i));
    }
    return table[bits & 0xFFFF];
}

static u16 half_of(float x) { return (u16)narrow_fp16(bits_of(x)); }
static u16 bfloat16_of(float x) { return (u16)narrow_bf16(bits_of(x)); }
static u32 half_twice(float x) { return half_of(x) * 0x10001u; }
static u32 half_products(u32 x, u32 y) {
    return half_of(half_value(x) * half_value(y)) | (u32)half_of(half_value(x >> 16) * half_value(y >> 16)) << 16;
}

static void mma_16816(float (&d)[4], uint4 a, u32 b0, u32 b1) {
    struct Operands {
        float a[2][2][2], b[2][2];  // row, half of k, pair; half of k, pair
    };
    const Operands own = {{{{half_value(a.x), half_value(a.x >> 16)}, {half_value(a.z), half_value(a.z >> 16)}},
                           {{half_value(a.y), half_value(a.y >> 16)}, {half_value(a.w), half_value(a.w >> 16)}}},
                          {{half_value(b0), half_value(b0 >> 16)}, {half_value(b1), half_value(b1 >> 16)}}};
    const int lane = threadIdx.x % 32;
    const Operands* all = meet(own);
    for (int i = 0; i < 4; ++i) {
        double sum = d[i];
        for (int t = 0; t < 4; ++t) {
            const Operands &left = all[lane / 4 * 4 + t], &right = all[(2 * (lane % 4) + i % 2) * 4 + t];
            for (int half = 0; half < 2; ++half)
                for (int pair = 0; pair < 2; ++pair) sum += (double)left.a[i / 2][half][pair] * right.b[half][pair];
        }
        d[i] = (float)sum;
    }
}

static void mma_16816_zero(float (&d)[4], uint4 a, u32 b0, u32 b1) {
    d[0] = d[1] = d[2] = d[3] = 0.0f;
    mma_16816(d, a, b0, b1);
}

static u32 shared_address(const void* pointer) { return (u32)((const u8*)pointer - shared); }
static void copy_async(u32 to, const void* from) { memcpy(shared + to, from, 16); }
static void commit_copies() {}
template <int PENDING>
static void wait_copies() {}

static uint4 load_shared(u32 address) {
    uint4 x;
    memcpy(&x, shared + address, 16);
    return x;
}

static uint4 load_matrices(u32 address) {
    const int lane = threadIdx.x % 32;
    const u32* rows = meet(address);
    u32 x[4];
    for (int i = 0; i < 4; ++i) memcpy(&x[i], shared + rows[8 * i + lane / 4] + 4 * (lane % 4), 4);
    return {x[0], x[1], x[2], x[3]};
}

}  // namespace fp4
