// Runs kernels of cuda/*.cu on the host with one thread for each of a block's, so that barriers, shuffles and shared memory
// are real; one block after the other. For kernels whose threads work together (emulate.h is for those that do not).
#pragma once
#define FP4_COOPERATIVE
#include <pthread.h>

#include <cmath>
#include <cstring>
#include <thread>
#include <vector>

#define __global__
#define __device__
#define __forceinline__ inline
#define __noinline__
#define __launch_bounds__(...)
#define __shared__ static

struct Index {
    unsigned int x, y, z;
};
static thread_local Index threadIdx;
static Index blockIdx, blockDim, gridDim;
static const int LARGEST = 1024;

static pthread_barrier_t all_threads, of_warp_[LARGEST / 32];
static unsigned long long slot_[LARGEST];
static int vote_[2];

static void __syncthreads() { pthread_barrier_wait(&all_threads); }
static void __syncwarp_() { pthread_barrier_wait(&of_warp_[threadIdx.x / 32]); }

static int __syncthreads_or(int predicate) {
    if (threadIdx.x == 0) vote_[0] = 0;
    __syncthreads();
    if (predicate) __atomic_store_n(&vote_[0], 1, __ATOMIC_SEQ_CST);
    __syncthreads();
    const int any = vote_[0];
    __syncthreads();
    return any;
}

template <class T>
static T __shfl_xor_sync(unsigned, T x, int lanes) {
    memcpy(&slot_[threadIdx.x], &x, sizeof x);
    __syncwarp_();
    T out;
    memcpy(&out, &slot_[threadIdx.x ^ (unsigned)lanes], sizeof out);
    __syncwarp_();
    return out;
}

template <class T>
static T __shfl_sync(unsigned, T x, int from) {
    memcpy(&slot_[threadIdx.x], &x, sizeof x);
    __syncwarp_();
    T out;
    memcpy(&out, &slot_[(threadIdx.x & ~31u) | (unsigned)from], sizeof out);
    __syncwarp_();
    return out;
}

static unsigned int __reduce_add_sync(unsigned, unsigned int x) {
    for (int lanes = 16; lanes; lanes /= 2) x += __shfl_xor_sync(~0u, x, lanes);
    return x;
}

static unsigned int __reduce_max_sync(unsigned, unsigned int x) {
    for (int lanes = 16; lanes; lanes /= 2) {
        const unsigned int other = __shfl_xor_sync(~0u, x, lanes);
        x = other > x ? other : x;
    }
    return x;
}

static unsigned int __reduce_min_sync(unsigned, unsigned int x) { return ~__reduce_max_sync(~0u, ~x); }

static bool __any_sync(unsigned, bool predicate) { return __reduce_max_sync(~0u, predicate) != 0; }
static bool __all_sync(unsigned, bool predicate) { return !__any_sync(~0u, !predicate); }
static void __syncwarp() { __syncwarp_(); }

static float __double2float_rd(double x) {
    const float near = (float)x;
    return near > x ? std::nextafter(near, -INFINITY) : near;
}

template <class T>
static T atomicAdd(T* to, T x) { return __atomic_fetch_add(to, x, __ATOMIC_SEQ_CST); }

template <class T>
static void atomicMax(T* to, T x) {
    T old = __atomic_load_n(to, __ATOMIC_SEQ_CST);
    while (old < x && !__atomic_compare_exchange_n(to, &old, x, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {}
}

static long long __double_as_longlong(double x) {
    long long bits;
    memcpy(&bits, &x, 8);
    return bits;
}
template <class T>
static T min(T a, T b) { return a < b ? a : b; }
template <class T>
static T max(T a, T b) { return a < b ? b : a; }
struct float4 {
    float x, y, z, w;
};
static float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

using W = unsigned long long;
using Kernel = void (*)(W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W);

extern "C" void emulate(Kernel kernel, unsigned int grid, unsigned int block, const W* a) {
    if (block > LARGEST || block % 32) abort();
    pthread_barrier_init(&all_threads, nullptr, block);
    for (auto& warp : of_warp_) pthread_barrier_init(&warp, nullptr, 32);
    gridDim = {grid, 1, 1};
    blockDim = {block, 1, 1};
    for (unsigned int b = 0; b < grid; ++b) {
        blockIdx = {b, 0, 0};
        std::vector<std::thread> threads;
        for (unsigned int t = 0; t < block; ++t) {
            threads.emplace_back([=] {
                threadIdx = {t, 0, 0};
                kernel(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9], a[10], a[11], a[12], a[13], a[14], a[15],
                       a[16], a[17], a[18], a[19], a[20], a[21], a[22], a[23], a[24], a[25], a[26], a[27], a[28], a[29],
                       a[30], a[31]);
            });
        }
        for (auto& thread : threads) thread.join();
    }
}
