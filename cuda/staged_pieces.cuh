// Float32 elements by way of shared memory. A warp takes a piece of 32 sixteens at a time: while it works on one, the next is
// copied as it lies, and what is on its way needs no registers. Then each lane reads a sixteen.
#pragma once

#include "shared_place.cuh"

namespace fp4 {

constexpr u32 FOURS = 128, PIECE_BYTES = 16 * FOURS;  // of a piece: four elements each

// The pieces of a tensor, from `from` on for a lane, and a warp's room for one. `full` of them are whole, the last one may have
// only `rest` sixteens. LANES: how many share a block.
template <int LANES>
struct Pieces {
    u64 from;
    Place to, own[4];
    u32 full, rest, count, mine, led;  // mine, led: see has and leads

    // own: eight lanes are served at once, and 128 bytes hold the fours of two. So each pair begins with another four, lest they
    // meet in a bank.
    __device__ __forceinline__ Pieces(const float* x, i64 sixteens, u32 (&room)[FOURS][4], u32 lane) {
        const u64 first = (u64)x + 16 * lane;
        from = (u64)kept((u32)(first >> 32)) << 32 | kept((u32)first);
        to = Place::of(room[lane]);
        own[0] = Place::of(room[4 * lane + (lane >> 1 & 3)]);
        for (u32 q = 1; q < 4; ++q) own[q] = (own[0] ^ 16 * q).stay();
        full = (u32)(sixteens >> 5), rest = (u32)sixteens & 31u, count = full + (rest != 0);
        mine = kept(full + (lane < rest)), led = kept(lane % LANES ? 0 : mine);
    }

    // Whether the lane has a sixteen in a piece; whether that is the first of a block.
    __device__ __forceinline__ bool has(u32 piece) const { return piece < mine; }
    __device__ __forceinline__ bool leads(u32 piece) const { return piece < (LANES == 1 ? mine : led); }

    __device__ __forceinline__ void copy(u32 piece, u32 lane) const {
        const u8* at = (const u8*)(from + (u64)piece * PIECE_BYTES);
        if (piece < full) {
            FP4_UNROLL
            for (u32 j = 0; j < 4; ++j) (to + 512 * j).copy_sixteen_bytes(at + 512 * j);
        } else if (piece < count) {
            FP4_ROLLED
            for (u32 j = 0; j < 4; ++j)
                if (lane + 32 * j < 4 * rest) (to + 512 * j).copy_sixteen_bytes(at + 512 * j);
        }
        Place::commit_copies();
    }

    // The lane's sixteen of the piece that was copied last; then the copy of the next begins.
    __device__ __forceinline__ void take(Sixteen<FP32>& x, u32 next, u32 lane) const {
        Place::wait_for_copies();
        __syncwarp();
        FP4_UNROLL
        for (u32 q = 0; q < 4; ++q) own[q].four(x.word + 4 * q);
        __syncwarp();
        copy(next, lane);
    }
};

}  // namespace fp4
