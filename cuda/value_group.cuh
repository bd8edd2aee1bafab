// Thirty-two bfloat16 blocks in the registers of a warp, loaded as they lie: Q neighbouring lanes have a block of Q pieces of
// eight elements, and a lane has a piece of each of Q blocks, one of which is its own.
#pragma once

#include "block16.cuh"

namespace fp4 {

constexpr u32 SIGNS = 0x80008000u;

template <int Q>
struct Group {
    static constexpr u32 WORDS = 32 * Q * 4;  // from one group to the next
    u32 piece[Q][4];

    // Counted from the group's first block: the block of a lane's j-th piece; its own block.
    static __device__ __forceinline__ u32 block_of(u32 j, u32 lane) { return j * (32 / Q) + lane / Q; }
    static __device__ __forceinline__ u32 own(u32 lane) { return block_of(lane % Q, lane); }

    // From where the lane's first piece lies.
    __device__ __forceinline__ void load(const u32* from) {
        FP4_UNROLL
        for (int j = 0; j < Q; ++j) load_piece(j, from);
    }

    // A group of `count` blocks; zeros for the others.
    __device__ __forceinline__ void load_part(const u32* from, u32 count, u32 lane) {
        FP4_UNROLL
        for (int j = 0; j < Q; ++j) {
            if (block_of(j, lane) < count) {
                load_piece(j, from);
            } else {
                FP4_UNROLL
                for (int i = 0; i < 4; ++i) piece[j][i] = 0;
            }
        }
    }

    // Magnitudes of the lane's own block: the largest in the lower half, in the upper one the smallest taken from 0x7FFF.
    __device__ __forceinline__ u32 extremes(u32 lane) const {
        u32 found[Q];
        FP4_UNROLL
        for (int j = 0; j < Q; ++j) {
            u32 most = piece[j][0] & ~SIGNS, least = most;
            FP4_UNROLL
            for (int i = 1; i < 4; ++i) {
                const u32 next = piece[j][i] & ~SIGNS;
                most = larger(most, next), least = Sixteen<BF16>::smaller_halves(least, next);
            }
            least = ~SIGNS - least;
            found[j] = larger(permute(most, least, 0x5410u), permute(most, least, 0x7632u));
        }
        return own_of(found, lane, [](u32 a, u32 b) { return larger(a, b); });
    }

    // The least magnitude of the lane's own block that is not zero, less 1; 0xFFFF if all are.
    __device__ __forceinline__ u32 least_but_zeros(u32 lane) const {
        u32 found[Q];
        FP4_UNROLL
        for (int j = 0; j < Q; ++j) {
            found[j] = beside_zero(piece[j][0]);
            FP4_UNROLL
            for (int i = 1; i < 4; ++i) found[j] = smaller_signed_halves(found[j], beside_zero(piece[j][i]));
            found[j] = smaller_signed_halves(found[j], found[j] >> 16);
        }
        return (own_of(found, lane, [](u32 a, u32 b) { return smaller_signed_halves(a, b); }) ^ 0x8000u) & 0xFFFFu;
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

    // In each half a magnitude less 1, with the top bit set; 0x7FFF for a zero.
    static __device__ __forceinline__ u32 beside_zero(u32 word) { return (word & ~SIGNS) + ~SIGNS; }

private:
    __device__ __forceinline__ void load_piece(int j, const u32* from) {
#if defined(__CUDA_ARCH__)
        const uint4 four = __ldcs((const uint4*)from + 32 * j);
        piece[j][0] = four.x, piece[j][1] = four.y, piece[j][2] = four.z, piece[j][3] = four.w;
#else
        memcpy(piece[j], from + 128 * j, 16);
#endif
    }

    // Of what was found in this lane's pieces, and in its neighbours', what they say together of its own block.
    template <class Operation>
    static __device__ __forceinline__ u32 own_of(u32 (&found)[Q], u32 lane, Operation of) {
        FP4_UNROLL
        for (int step = Q / 2; step; step /= 2) {  // each half of the lanes goes on with half of the blocks
            const bool upper = lane & step;
            FP4_UNROLL
            for (int i = 0; i < step; ++i) {
                const u32 kept = upper ? found[i + step] : found[i], given = upper ? found[i] : found[i + step];
                found[i] = of(kept, __shfl_xor_sync(~0u, given, step));
            }
        }
        return found[0];
    }
};

}  // namespace fp4
