// Runs kernels of cuda/*.cu on the host with a fiber for each thread of a block, so that barriers, shuffles, shared memory and
// what a warp does together are real and blocks may have any size; one block after the other. Fibers change at barriers only.
#pragma once
#define FP4_COOPERATIVE
#include <setjmp.h>
#include <ucontext.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <type_traits>
#include <vector>

#define __global__
#define __device__
#define __forceinline__ inline
#define __noinline__
#define __launch_bounds__(...)
#define __shared__ thread_local  // static storage in a function, and what `extern` can refer to
#define __align__(n) __attribute__((aligned(n)))

struct Index {
    unsigned int x, y, z;
};

struct Fiber {
    ucontext_t context;  // where it begins; then a jump is forty times as fast, because it asks nothing of the system
    jmp_buf state;
    std::unique_ptr<char[]> stack;
    Index index;
    bool begun, done;
};

static std::vector<Fiber> fibers;
static unsigned int running;
static jmp_buf scheduler;
static Index blockIdx, blockDim, gridDim;
#define threadIdx (fibers[running].index)

static void yield() {
    if (!_setjmp(fibers[running].state)) _longjmp(scheduler, 1);
}

__attribute__((noinline)) static void resume(Fiber& fiber) {
    if (_setjmp(scheduler)) return;
    if (fiber.begun) _longjmp(fiber.state, 1);
    fiber.begun = true;
    setcontext(&fiber.context);
}

// A barrier of the fibers [first, last): all that are not done must arrive.
struct Barrier {
    unsigned int arrived, generation;

    void wait(unsigned int first, unsigned int last) {
        const unsigned int own = generation;
        ++arrived;
        while (generation == own) {
            unsigned int alive = 0;
            for (unsigned int i = first; i < last; ++i) alive += !fibers[i].done;
            if (arrived == alive) {
                arrived = 0;
                ++generation;
            } else {
                yield();
            }
        }
    }
};

static Barrier all_threads, of_warp[32];
static void __syncthreads() { all_threads.wait(0, (unsigned)fibers.size()); }
static void __syncwarp() { of_warp[threadIdx.x / 32].wait(threadIdx.x & ~31u, (threadIdx.x | 31u) + 1); }

// What each of the warp's 32 lanes gives, seen by all; held until the warp meets again.
template <class T>
static const T* meet(const T& x) {
    static T given[2][1024];
    static unsigned int turn[1024];
    T* here = given[turn[threadIdx.x]++ & 1];
    here[threadIdx.x] = x;
    __syncwarp();
    return here + (threadIdx.x & ~31u);
}

template <class T>
static T __shfl_xor_sync(unsigned, T x, int lanes) { return meet(x)[(threadIdx.x & 31u) ^ (unsigned)lanes]; }

template <class T, class Join>
static T joined(T x, Join join) {
    const T* all = meet(x);
    T out = all[0];
    for (int lane = 1; lane < 32; ++lane) out = join(out, all[lane]);
    return out;
}

template <class T>
static T min(T a, T b) { return a < b ? a : b; }
template <class T>
static T max(T a, T b) { return a < b ? b : a; }
template <class T>
static T __reduce_add_sync(unsigned, T x) { return joined(x, [](T a, T b) { return a + b; }); }
template <class T>
static T __reduce_min_sync(unsigned, T x) { return joined(x, min<T>); }
template <class T>
static T __reduce_max_sync(unsigned, T x) { return joined(x, max<T>); }
static bool __any_sync(unsigned, bool x) { return joined((int)x, max<int>); }
static bool __all_sync(unsigned, bool x) { return joined((int)x, min<int>); }

template <class T>
static T __shfl_sync(unsigned, T x, int from) { return meet(x)[from]; }

static int __syncthreads_or(int predicate) {
    static int any;
    if (threadIdx.x == 0) any = 0;
    __syncthreads();
    any |= predicate != 0;
    __syncthreads();
    const int found = any;
    __syncthreads();
    return found;
}

static float __double2float_rd(double x) {
    const float near = (float)x;
    return near > x ? std::nextafter(near, -INFINITY) : near;
}

static long long __double_as_longlong(double x) {
    long long bits;
    memcpy(&bits, &x, 8);
    return bits;
}

struct uint4 {
    unsigned int x, y, z, w;
};
static uint4 make_uint4(unsigned int x, unsigned int y, unsigned int z, unsigned int w) { return {x, y, z, w}; }

template <class T>
static T atomicAdd(T* to, T x) { T old = *to; *to += x; return old; }
template <class T>
static void atomicMax(T* to, T x) { *to = max(*to, x); }
template <class T>
static void atomicMin(T* to, T x) { *to = min(*to, x); }

using W = unsigned long long;
using Kernel = void (*)(W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W);

static Kernel kernel_;
static const W* words_;

static void run_fiber() {
    for (;;) {  // a block after the other
        const W* a = words_;
        kernel_(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9], a[10], a[11], a[12], a[13], a[14], a[15], a[16],
                a[17], a[18], a[19], a[20], a[21], a[22], a[23], a[24], a[25], a[26], a[27], a[28], a[29], a[30], a[31]);
        fibers[running].done = true;
        yield();
    }
}

static void begin_fibers(unsigned int count) {
    constexpr size_t STACK = 1 << 16;
    fibers.resize(count);
    for (unsigned int t = 0; t < count; ++t) {
        Fiber& fiber = fibers[t];
        if (!fiber.stack) fiber.stack.reset(new char[STACK]);
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = fiber.stack.get();
        fiber.context.uc_stack.ss_size = STACK;
        fiber.context.uc_link = nullptr;
        makecontext(&fiber.context, run_fiber, 0);
        fiber.index = {t, 0, 0};
        fiber.begun = false;
    }
}

extern "C" void emulate(Kernel kernel, unsigned int grid, unsigned int block, const W* words) {
    if (block % 32 || block > 1024) abort();
    kernel_ = kernel, words_ = words, gridDim = {grid, 1, 1}, blockDim = {block, 1, 1};
    begin_fibers(block);
    for (unsigned int b = 0; b < grid; ++b) {
        blockIdx = {b, 0, 0};
        all_threads = {};
        for (auto& barrier : of_warp) barrier = {};
        for (auto& fiber : fibers) fiber.done = false;
        for (unsigned int alive = block; alive;) {
            alive = 0;
            for (running = 0; running < block; ++running) {
                if (!fibers[running].done) resume(fibers[running]);
                alive += !fibers[running].done;
            }
        }
    }
}
