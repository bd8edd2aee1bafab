// EDEN's inner products of a panel, and MS-EDEN in one pass over what is to be rotated (fp4sim/estimators/eden.py).
#include "eden.cuh"

using namespace fp4;

namespace {

// The random integers of a warp's blocks. Four neighbours share a Philox counter, a word each; so each of them makes the words of
// one of the next four rounds, and leaves them to all in shared memory.
struct SharedDraws {
    Stream stream;
    uint4* words;  // of the warp, 32
    u32 round = 0;

    // Neighbours read a quad together, and eight of them write at once: no two of those in one bank.
    __device__ __forceinline__ static u32 place(u32 quad, u32 round) { return round * 8u + ((quad + 2u * round) & 7u); }

    __device__ __forceinline__ u32 next(const Runs& at) {
        const u32 mine = at.lane & 3u, quad = at.lane >> 2;
        if (!(round & 3u)) {
            const Words made = philox((u64)(at.run >> 2) + mine * (u64)(at.stride >> 2), stream);
            __syncwarp();
            words[place(quad, mine)] = make_uint4(made.w[0], made.w[1], made.w[2], made.w[3]);
            __syncwarp();
        }
        return ((const u32*)(words + place(quad, round++ & 3u)))[mine];
    }
};

// MS-EDEN: the block scale times S, rounded stochastically with the random bits of the block's own index.
template <Input type>
__device__ __forceinline__ void rotate_eden(
    const void* x, u64* packed, u8* scales, i64 runs, const u32* signs, i64 size, i64 normalizer, i64 multiplier, i64 decode,
    const Stream& stream) {
    __shared__ float factor[128];
    __shared__ uint4 words[RUN_THREADS];
    const FactorTable table{factor};
    table.fill(float_of((u32)decode));
    const Rotation rotation = rotation_of(signs, size, normalizer);
    const u32 lane = threadIdx.x & 31;
    const Flips<type> flips(rotation, lane);
    SharedDraws draws{stream, words + (threadIdx.x & ~31u)};
    for (Runs at(runs); at.any(); at.run += at.stride) {
        float y[16];
        read(x, at, flips, y);
        rotate16(y, rotation, lane);
        const u32 random = draws.next(at);
        if (!at.live()) continue;
        const u32 scale = nearest_e4m3(fmin_num(mul(amax16(y), float_of((u32)multiplier)), FLT_MAX_));
        const EdenBlock block = eden_block(y, scale, factor[scale], float_of((u32)decode), random);
        packed[at.run] = block.codes;
        scales[at.run] = (u8)block.scale;
    }
}

}  // namespace

#define EDEN(suffix, type)                                                                                                 \
    extern "C" __global__ void __launch_bounds__(RUN_THREADS, 4) rotate_eden_##suffix(                                     \
        const void* x, u64* packed, u8* scales, i64 runs, const u32* signs, i64 size, i64 normalizer, i64 multiplier,      \
        i64 decode, i64 key0, i64 key1, i64 name, i64 draw) {                                                              \
        const Stream stream{(u32)key0, (u32)key1, (u32)name, (u32)draw};                                                   \
        rotate_eden<type>(x, packed, scales, runs, signs, size, normalizer, multiplier, decode, stream);                   \
    }
EDEN(bf16, BF16)
EDEN(fp16, FP16)
EDEN(fp32, FP32)

// <z, z> and <z, q> of each `group` of columns, sixteen lanes and then by halving (kernels/reference/products.py). A thread a
// group; values: the format's, by code. out: (2, groups).
extern "C" __global__ void __launch_bounds__(RUN_THREADS) products(
    const float* x, const u8* codes, const float* factor, const float* values, double* out, i64 groups, i64 width,
    i64 tile_rows, i64 tile_cols, i64 divides, i64 group) {
    const i64 index = blockIdx.x * (i64)RUN_THREADS + threadIdx.x;
    if (index >= groups) return;
    const i64 in_row = width / group, row = index / in_row, first = (index - row * in_row) * group;
    const float* scales = factor + row / tile_rows * (width / tile_cols);
    double square[16], product[16];
    FP4_UNROLL
    for (int j = 0; j < 16; ++j) square[j] = product[j] = 0.0;
    for (i64 start = first; start < first + group; start += 16) {
        FP4_UNROLL
        for (int j = 0; j < 16; ++j) {
            const i64 col = start + j;
            if (col >= first + group) continue;
            const float scale = scales[col / tile_cols], element = x[row * width + col];
            const double z = divides ? div(element, scale) : mul(element, scale);
            square[j] += z * z;
            product[j] += z * (double)values[codes[row * width + col]];
        }
    }
    out[index] = halved_lanes(square);
    out[groups + index] = halved_lanes(product);
}
