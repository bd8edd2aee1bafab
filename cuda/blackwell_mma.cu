// Block-scaled products of E2M1 on the tensor cores of sm_120a: mma.sync with a scale for each 16 or 32 elements.
//
// Operands come as the registers of a warp, laid out by fp4sim/mma/fragments.py, so that a kernel is nothing but its
// instruction. A warp takes one tile of 16 x 8 outputs and chains `steps` instructions through the accumulator. Shapes:
// a (tiles, steps, 32 lanes, 4), b (tiles, steps, 32, 2), scales (tiles, steps, 32), c and d (tiles, 32, 4).

#define FP4_MMA(NAME, SHAPE, KIND, VECTOR, SCALE)                                                                     \
    extern "C" __global__ void NAME(const uint4 *a, const uint2 *b, const unsigned *scale_a, const unsigned *scale_b, \
                                    const float4 *c, float4 *d, unsigned tiles, unsigned steps) {                     \
        const unsigned lane = threadIdx.x % 32;                                                                       \
        const unsigned tile = (blockIdx.x * blockDim.x + threadIdx.x) / 32;                                           \
        if (tile >= tiles) return; /* whole warps */                                                                  \
        float4 sum = c[tile * 32 + lane];                                                                             \
        for (unsigned step = 0; step < steps; ++step) {                                                               \
            const unsigned long long at = ((unsigned long long)tile * steps + step) * 32 + lane;                      \
            const uint4 left = a[at];                                                                                 \
            const uint2 right = b[at];                                                                                \
            asm volatile("mma.sync.aligned." SHAPE ".row.col.kind::" KIND ".block_scale.scale_vec::" VECTOR           \
                         ".f32.e2m1.e2m1.f32." SCALE                                                                  \
                         " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3}, {%10}, {0, 0}, {%11}, "    \
                         "{0, 0};"                                                                                    \
                         : "+f"(sum.x), "+f"(sum.y), "+f"(sum.z), "+f"(sum.w)                                         \
                         : "r"(left.x), "r"(left.y), "r"(left.z), "r"(left.w), "r"(right.x), "r"(right.y),            \
                           "r"(scale_a[at]), "r"(scale_b[at]));                                                       \
        }                                                                                                             \
        d[tile * 32 + lane] = sum;                                                                                    \
    }

FP4_MMA(mma_mxf4, "m16n8k64", "mxf4", "2X", "ue8m0")
FP4_MMA(mma_mxf4nvf4_2x, "m16n8k64", "mxf4nvf4", "2X", "ue8m0")
FP4_MMA(mma_mxf4nvf4_4x, "m16n8k64", "mxf4nvf4", "4X", "ue4m3")
FP4_MMA(mma_mxf8f6f4, "m16n8k32", "mxf8f6f4", "1X", "ue8m0")
