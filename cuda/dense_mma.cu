// One dense mma.sync with float32 accumulators, for finding out what a chip's tensor cores do with fp16, bf16, tf32 and FP8.
//
// As in blackwell_mma.cu operands come as the registers of a warp (fp4sim/mma/fragments.py): a row of A or column of B is eight
// 32-bit words in each of these shapes (tf32: k8, e4m3: k32). A warp takes one tile of 16 x 8 outputs.

#define FP4_DENSE(NAME, SHAPE, TYPES)                                                                                 \
    extern "C" __global__ void NAME(const uint4 *a, const uint2 *b, const float4 *c, float4 *d, unsigned tiles) {     \
        const unsigned lane = threadIdx.x % 32;                                                                       \
        const unsigned tile = (blockIdx.x * blockDim.x + threadIdx.x) / 32;                                           \
        if (tile >= tiles) return; /* whole warps */                                                                  \
        const unsigned at = tile * 32 + lane;                                                                         \
        const uint4 left = a[at];                                                                                     \
        const uint2 right = b[at];                                                                                    \
        float4 sum = c[at];                                                                                           \
        asm volatile("mma.sync.aligned." SHAPE ".row.col." TYPES                                                      \
                     " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"                               \
                     : "+f"(sum.x), "+f"(sum.y), "+f"(sum.z), "+f"(sum.w)                                             \
                     : "r"(left.x), "r"(left.y), "r"(left.z), "r"(left.w), "r"(right.x), "r"(right.y));               \
        d[at] = sum;                                                                                                  \
    }

FP4_DENSE(dense_fp16, "m16n8k16", "f32.f16.f16.f32")
FP4_DENSE(dense_bf16, "m16n8k16", "f32.bf16.bf16.f32")
FP4_DENSE(dense_tf32, "m16n8k8", "f32.tf32.tf32.f32")
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 890
FP4_DENSE(dense_e4m3, "m16n8k32", "f32.e4m3.e4m3.f32")
#endif
