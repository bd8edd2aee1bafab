// The counts that a thread block of value_counts.cu has in shared memory: what is there, and how elements are added to it.
#pragma once

#include "value_counts.cuh"
#include "value_group.cuh"

namespace fp4 {

constexpr u32 NEGATIVE = 1u << 15;

// What is shared: positive elements' bins, blocks_of, bound, what stands before NEGATIVE; from there on the other bins.
__device__ __forceinline__ u32* words() {
    FP4_SHARED_WORDS(memory);
    return memory;
}

// Of addresses in shared memory, in words; base() is that of words(). Without a pointer's detour, which is slow in the inner loop.
#if defined(__CUDA_ARCH__)
__device__ __forceinline__ u32 base() { return (u32)__cvta_generic_to_shared(words()) / 4; }
__device__ __forceinline__ void count_byte(u32 address) { asm volatile("red.shared.add.u32 [%0], 1;" ::"r"(address)); }
__device__ __forceinline__ void count_byte_if(u32 wanted, u32 address) {
    asm volatile("{.reg .pred p;\n\tsetp.ne.u32 p, %1, 0;\n\t@p red.shared.add.u32 [%0], 1;}" ::"r"(address), "r"(wanted));
}
__device__ __forceinline__ u32 read_at(u32 address) {
    u32 x;
    asm volatile("ld.shared.u32 %0, [%1];" : "=r"(x) : "r"(4 * address));
    return x;
}
// A number that stays in its register: to ask for it again would queue behind the counting.
__device__ __forceinline__ u32 kept(u32 x) {
    asm volatile("" : "+r"(x));
    return x;
}
#else
__device__ __forceinline__ u32 base() { return 0; }
__device__ __forceinline__ void count_byte(u32 address) { atomicAdd(words() + address / 4, 1u); }
__device__ __forceinline__ void count_byte_if(u32 wanted, u32 address) {
    if (wanted) count_byte(address);
}
__device__ __forceinline__ u32 read_at(u32 address) { return words()[address]; }
__device__ __forceinline__ u32 kept(u32 x) { return x; }
#endif

// In each half of two bfloat16 magnitudes whether a's is at least b's, all ones if so; their signs do not matter. Either way
// subnormals are told apart, and 0x7FFF, which is a NaN, is more than all finite ones.
__device__ __forceinline__ u32 at_least(u32 a, u32 b) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    u32 out;
    asm("{.reg .b32 x, y;\n\tabs.bf16x2 x, %1;\n\tabs.bf16x2 y, %2;\n\tset.ge.u32.bf16x2 %0, x, y;}"
        : "=r"(out)
        : "r"(a), "r"(b));
    return out;
#else
    return permute((a & ~SIGNS) + (SIGNS - (b & ~SIGNS)), 0, 0xBB99u);
#endif
}

// 4 times the lower or the upper half of x, plus c. dp2a adds each half times a byte: 4 and 0, or 0 and 4.
template <int HALF>
__device__ __forceinline__ u32 address_of(u32 x, u32 c) {
#if defined(__CUDA_ARCH__)
    u32 out;
    asm("dp2a.lo.u32.u32 %0, %1, %2, %3;" : "=r"(out) : "r"(x), "n"(HALF ? 4 << 8 : 4), "r"(c));
    return out;
#else
    return 4 * (HALF ? x >> 16 : x & 0xFFFFu) + c;
#endif
}

// How a thread block's bins are found.
struct Bins {
    u32 below, origins;  // of ValueTable
    u32 words, bytes;    // the address of the first

    // The bins of two elements above `below`, by what is known of their block; their signs stay in bit 15. No half carries into
    // the other in the end: by itself it comes to a bin, less than 2^15, with the sign, or to 0 or an offset where there is
    // `below` in it (count_but_zeros). What carries on the way comes back.
    __device__ __forceinline__ u32 of(u32 word, u32 known) const {
        const u32 limits = permute(known, 0, 0x1010u), offsets = permute(known, 0, 0x3232u);
        return word + (at_least(word, limits) & offsets) + origins;
    }

    __device__ __forceinline__ void count_block(u32 known) const { count_byte(4 * (words + bin_of_blocks(known, below))); }

    // A piece without zeros.
    __device__ __forceinline__ void count(const u32 (&piece)[4], u32 known) const {
        FP4_UNROLL
        for (int i = 0; i < 4; ++i) {
            const u32 at = of(piece[i], known);
            count_byte(address_of<0>(at, bytes)), count_byte(address_of<1>(at, bytes));
        }
    }

    // A piece that may have zeros; only negative ones are counted: of the others there are as many as are not counted. For its
    // bin a zero is raised to `below`, or its half would borrow from the other.
    __device__ __forceinline__ void count_but_zeros(const u32 (&piece)[4], u32 known) const {
        u32 minus = 0;
        FP4_UNROLL
        for (int i = 0; i < 4; ++i) {
            const u32 beside = Group<2>::beside_zero(piece[i]), magnitudes = Group<2>::larger(piece[i] & ~SIGNS, 0 - origins);
            const u32 at = of(magnitudes, known) | (piece[i] & SIGNS);
            count_byte_if(beside & 0x8000u, address_of<0>(at, bytes));
            count_byte_if(beside & 0x80000000u, address_of<1>(at, bytes));
            minus |= piece[i] & ~beside;
        }
        if (!(minus & SIGNS)) return;
        FP4_UNROLL
        for (int i = 0; i < 4; ++i) {
            const u32 negative = piece[i] & ~Group<2>::beside_zero(piece[i]);
            count_byte_if(negative & 0x8000u, bytes + 4 * NEGATIVE);
            count_byte_if(negative & 0x80000000u, bytes + 4 * NEGATIVE);
        }
    }
};

}  // namespace fp4
