// Runs kernels of cuda/*.cu on the host, one thread after the other: for kernels whose threads work alone.
#pragma once
#define __global__
#define __launch_bounds__(...)
#define __restrict__

struct Index {
    unsigned int x, y, z;
};
static thread_local Index blockIdx, threadIdx, blockDim, gridDim;

// All arguments are pointers or 64-bit integers, so one call shape serves every kernel (x86-64, AArch64: extra ones do no harm).
using W = unsigned long long;
using Kernel = void (*)(W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W);

extern "C" void emulate(Kernel kernel, unsigned int grid, unsigned int block, const W* a) {
    gridDim = {grid, 1, 1};
    blockDim = {block, 1, 1};
    for (unsigned int b = 0; b < grid; ++b)
        for (unsigned int t = 0; t < block; ++t) {
            blockIdx = {b, 0, 0};
            threadIdx = {t, 0, 0};
            kernel(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9], a[10], a[11], a[12], a[13], a[14], a[15],
                   a[16], a[17], a[18], a[19], a[20], a[21], a[22], a[23], a[24], a[25], a[26], a[27], a[28], a[29], a[30],
                   a[31]);
        }
}
