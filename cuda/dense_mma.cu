// Single dot products of dense tensor-core instructions, for finding out their arithmetic: D = A B + C of 16 fp16 or 32 e4m3
// products, accumulated in float32, by mma.sync and, on Hopper, by wgmma. A probe is a row of A, a column of B, 32 bytes each,
// and C; a warp takes 8 and reads the diagonal. mma.sync of e4m3 is native on sm_89 and sm_120; on sm_90 and sm_100 the
// compiler makes it of fp16 instructions and additions.
#include "tensor_core.cuh"

namespace fp4 {

struct Probe {
    u32 a0, a2, b0, b1;
    float d[4];
};

// Lane 4 g + t of a warp holds words t and t + 4 of probe g; D(g, g) is d[g & 1] of lane 4 g + g / 2.
__device__ __forceinline__ Probe load_probe(const u32* a, const u32* b, const u32* c, i64 probe, i64 probes, int t) {
    if (probe >= probes) return {};
    const int g = (threadIdx.x % 32) / 4;
    Probe x = {a[probe * 8 + t], a[probe * 8 + t + 4], b[probe * 8 + t], b[probe * 8 + t + 4], {}};
    if (t == g / 2) x.d[g & 1] = float_of(c[probe]);
    return x;
}

__device__ __forceinline__ void store_probe(const Probe& x, u32* d, i64 probe, i64 probes, int t) {
    const int g = (threadIdx.x % 32) / 4;
    if (probe < probes && t == g / 2) d[probe] = bits_of(g & 1 ? x.d[1] : x.d[0]);
}

#define FP4_PROBE_KERNEL(name, instruction)                                                                                 \
    extern "C" __global__ void name(const u32* a, const u32* b, const u32* c, u32* d, i64 probes) {                         \
        const i64 probe = ((i64)blockIdx.x * blockDim.x + threadIdx.x) / 4;                                                 \
        const int t = threadIdx.x % 4;                                                                                      \
        Probe x = load_probe(a, b, c, probe, probes, t);                                                                    \
        asm volatile(instruction " {%0,%1,%2,%3}, {%4,%5,%6,%5}, {%7,%8}, {%0,%1,%2,%3};"                                   \
                     : "+f"(x.d[0]), "+f"(x.d[1]), "+f"(x.d[2]), "+f"(x.d[3])                                               \
                     : "r"(x.a0), "r"(0u), "r"(x.a2), "r"(x.b0), "r"(x.b1));                                                \
        store_probe(x, d, probe, probes, t);                                                                                \
    }

FP4_PROBE_KERNEL(probe_fp16, "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32")
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 890
FP4_PROBE_KERNEL(probe_e4m3, "mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32")
#endif

// The same by a warpgroup, of whose four warps the first has probes. Columns of B lie in shared memory as two pieces of 8
// columns by 16 bytes.
#if defined(FP4_WGMMA)
__device__ __forceinline__ u64 place_columns(const Probe& x, u32 (&columns)[64], int t) {
    const int g = threadIdx.x / 4;
    if (threadIdx.x < 32) {
        columns[4 * g + t] = x.b0;
        columns[32 + 4 * g + t] = x.b1;
    }
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    __syncthreads();
    return (u64)((shared_address(columns) & 0x3FFFFu) >> 4) | (u64)(128 >> 4) << 16 | (u64)(256 >> 4) << 32;
}

#define FP4_WARPGROUP_KERNEL(name, instruction, flags)                                                                      \
    extern "C" __global__ void name(const u32* a, const u32* b, const u32* c, u32* d, i64 probes) {                         \
        __shared__ alignas(128) u32 columns[64];                                                                            \
        const i64 probe = threadIdx.x < 32 ? (i64)blockIdx.x * 8 + threadIdx.x / 4 : probes;                                \
        const int t = threadIdx.x % 4;                                                                                      \
        Probe x = load_probe(a, b, c, probe, probes, t);                                                                    \
        const u64 right = place_columns(x, columns, t);                                                                     \
        wgmma_begin();                                                                                                      \
        asm volatile(instruction " {%0,%1,%2,%3}, {%4,%5,%6,%5}, %7, " flags ";"                                            \
                     : "+f"(x.d[0]), "+f"(x.d[1]), "+f"(x.d[2]), "+f"(x.d[3])                                               \
                     : "r"(x.a0), "r"(0u), "r"(x.a2), "l"(right));                                                          \
        wgmma_commit();                                                                                                     \
        wgmma_wait<0>();                                                                                                    \
        asm volatile("" : "+f"(x.d[0]), "+f"(x.d[1])::"memory");                                                            \
        store_probe(x, d, probe, probes, t);                                                                                \
    }

FP4_WARPGROUP_KERNEL(probe_wgmma_fp16, "wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16", "1, 1, 1, 0")
FP4_WARPGROUP_KERNEL(probe_wgmma_e4m3, "wgmma.mma_async.sync.aligned.m64n8k32.f32.e4m3.e4m3", "1, 1, 1")
#endif

}  // namespace fp4
