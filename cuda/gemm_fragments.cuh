// Fragments of m16n8k16 from tiles in shared memory. Eight lanes at a time read 16 bytes each: rows that differ in bit 2 lie in
// different halves of the swizzle, so that no banks meet. Hence the g-th row of a fragment, and the g-th column, is
// (g >> 1) + 4 (g & 1) of the tile.
#pragma once

#include "gemm_epilogue.cuh"
#include "tensor_core.cuh"

namespace fp4 {

__device__ __forceinline__ int tile_line(int g) { return g >> 1 | (g & 1) << 2; }
__device__ __forceinline__ int fragment_row(int lane) { return tile_line(lane / 4); }

// Chunk `half` * 4 + quad of a row of the tile at `tile`.
__device__ __forceinline__ uint4 load_chunk(u32 tile, int row, int half, int lane) {
    return load_shared(tile + row * 128 + (((4 * half + lane % 4) ^ (row & 7)) << 4));
}

// Columns 2 t and 2 t + 1 of the fragment are t and t + 4 of the tile.
__device__ __forceinline__ void store_scattered(const Epilogue& finish, const float (&d)[4], int row, int column, int lane) {
    finish.store_one(d[0], row, column + lane % 4);
    finish.store_one(d[1], row, column + lane % 4 + 4);
    finish.store_one(d[2], row + 8, column + lane % 4);
    finish.store_one(d[3], row + 8, column + lane % 4 + 4);
}

}  // namespace fp4
