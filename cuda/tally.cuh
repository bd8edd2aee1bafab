// Two functions held against each other over float32 patterns: how often they differ, where first, and how often each code
// of the first comes out. Patterns are first + i * stride, i < count, so that all 2^32 or an even sample can be taken.
#pragma once

struct Tally {
    unsigned long long *histogram;  // [256], codes of the function under test
    unsigned long long *differing;  // [1]
    unsigned long long *where;      // [1], the least of pattern index << 16 | code under test << 8 | code expected
};

// Each thread of a one-dimensional grid takes every gridDim * blockDim-th pattern; blocks must be whole warps.
template <class Tested, class Expected>
__device__ void tally_patterns(unsigned first, unsigned stride, unsigned long long count, Tally out, Tested tested,
                               Expected expected) {
    __shared__ unsigned long long bins[256];
    for (unsigned i = threadIdx.x; i < 256; i += blockDim.x) bins[i] = 0;
    __syncthreads();
    const unsigned long long step = (unsigned long long)gridDim.x * blockDim.x;
    const unsigned long long start = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x;
    unsigned long long differing = 0;
    // whole warps stay in the loop together, so that they can vote
    for (unsigned long long base = start - threadIdx.x % 32; base < count; base += step) {
        const unsigned long long i = base + threadIdx.x % 32;
        const bool inside = i < count;
        const float x = __uint_as_float(first + (unsigned)i * stride);
        const unsigned code = inside ? tested(x) & 0xFFu : 256u;
        if (inside) {
            const unsigned wanted = expected(x) & 0xFFu;
            if (code != wanted) {
                ++differing;
                atomicMin(out.where, i << 16 | code << 8 | wanted);
            }
        }
        // neighbouring patterns mostly share their code: one addition for the warp then
        const unsigned leader = __shfl_sync(0xFFFFFFFFu, code, 0);
        if (__all_sync(0xFFFFFFFFu, code == leader)) {
            if (threadIdx.x % 32 == 0) atomicAdd(&bins[leader], 32ull);
        } else if (inside) {
            atomicAdd(&bins[code], 1ull);
        }
    }
    if (differing) atomicAdd(out.differing, differing);
    __syncthreads();
    for (unsigned i = threadIdx.x; i < 256; i += blockDim.x)
        if (bins[i]) atomicAdd(&out.histogram[i], bins[i]);
}
