// Thirty-two bfloat16 blocks in the registers of a warp, loaded as they lie: Q neighbouring lanes have a block of Q pieces of
// sixteen elements, and a lane has a piece of each of Q blocks, one of which is its own.
#pragma once

#include "block16.cuh"

namespace fp4 {

constexpr u32 SIGNS = 0x80008000u;

template <int Q>
struct Group {
    Sixteen<BF16> piece[Q];

    // The block of the j-th piece of a lane in the n-th group; its own block.
    static __device__ __forceinline__ u32 block_of(u32 n, u32 j, u32 lane) { return n * 32u + j * (32 / Q) + lane / Q; }
    static __device__ __forceinline__ u32 own(u32 n, u32 lane) { return block_of(n, lane % Q, lane); }

    // Pieces of blocks that there are.
    __device__ __forceinline__ void load(const void* x, u32 n, u32 blocks, u32 lane) {
        FP4_UNROLL
        for (int j = 0; j < Q; ++j) {
            if (block_of(n, j, lane) < blocks) piece[j].load(x, (u64)n * 32 * Q + 32 * j + lane);
        }
    }

    // Magnitudes of the lane's own block: the largest in the lower half, in the upper one the smallest taken from 0x7FFF.
    __device__ __forceinline__ u32 extremes(u32 lane) const {
        u32 found[Q];
        FP4_UNROLL
        for (int j = 0; j < Q; ++j) {
            u32 most = 0, least = ~SIGNS;
            FP4_UNROLL
            for (int i = 0; i < 8; ++i) {
                const u32 next = piece[j].word[i] & ~SIGNS;
                most = larger(most, next), least = Sixteen<BF16>::smaller_halves(least, next);
            }
            least = ~SIGNS - least;
            found[j] = larger(permute(most, least, 0x5410u), permute(most, least, 0x7632u));
        }
        FP4_UNROLL
        for (int step = Q / 2; step; step /= 2) {  // each half of the lanes goes on with half of the blocks
            const bool upper = lane & step;
            FP4_UNROLL
            for (int i = 0; i < step; ++i) {
                const u32 kept = upper ? found[i + step] : found[i], given = upper ? found[i] : found[i + step];
                found[i] = larger(kept, __shfl_xor_sync(~0u, given, step));
            }
        }
        return found[0];
    }

    // What each lane says of its own block, for the blocks of this lane's pieces.
    static __device__ __forceinline__ void share(u32 said, u32 lane, u32 (&of)[Q]) {
        of[0] = said;
        FP4_UNROLL
        for (int step = 1; step < Q; step *= 2) {
            const bool upper = lane & step;
            FP4_UNROLL
            for (int i = 0; i < step; ++i) {
                const u32 mine = of[i], other = __shfl_xor_sync(~0u, mine, step);
                of[i] = upper ? other : mine, of[i + step] = upper ? mine : other;
            }
        }
    }

    static __device__ __forceinline__ u32 larger(u32 a, u32 b) { return Sixteen<BF16>::larger_halves(a, b); }
};

}  // namespace fp4
