// Blackwell's conversion instructions: over arrays, and over float32 patterns against fp4sim's own codec.
// For the targets that have cvt to FP4 and UE8M0 (fp4sim/kernels/cuda/targets.py).
#include "casts.cuh"
#include "tally.cuh"

// cvt d, a, b puts a into the high half of d and b into the low one.
__device__ __forceinline__ unsigned cvt_e2m1x2(float high, float low) {
    unsigned short packed;
    asm("{ .reg .b8 d; cvt.rn.satfinite.e2m1x2.f32 d, %1, %2; cvt.u16.u8 %0, d; }" : "=h"(packed) : "f"(high), "f"(low));
    return packed;
}

__device__ __forceinline__ unsigned cvt_e4m3x2(float high, float low) {
    unsigned short packed;
    asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(packed) : "f"(high), "f"(low));
    return packed;
}

#define FP4_UE8M0(NAME, ROUNDING)                                                                           \
    __device__ __forceinline__ unsigned NAME(float high, float low) {                                       \
        unsigned short packed;                                                                              \
        asm("cvt." ROUNDING ".ue8m0x2.f32 %0, %1, %2;" : "=h"(packed) : "f"(high), "f"(low));               \
        return packed;                                                                                      \
    }
FP4_UE8M0(cvt_ue8m0x2_rp_sat, "rp.satfinite")
FP4_UE8M0(cvt_ue8m0x2_rz_sat, "rz.satfinite")
FP4_UE8M0(cvt_ue8m0x2_rp, "rp")
FP4_UE8M0(cvt_ue8m0x2_rz, "rz")

// The 16 codes and their fp16 bits, as the unpacking instruction gives them.
extern "C" __global__ void decode_e2m1x2(const unsigned char *packed, unsigned *halves, unsigned count) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    const unsigned short byte = packed[i];
    asm("{ .reg .b8 b, unused; mov.b16 {b, unused}, %1; cvt.rn.f16x2.e2m1x2 %0, b; }" : "=r"(halves[i]) : "h"(byte));
}

// Packed bytes of pairs: element 2i in the low nibble, as memory has it.
extern "C" __global__ void convert_e2m1x2(const float2 *x, unsigned char *packed, unsigned long long pairs) {
    const unsigned long long step = (unsigned long long)gridDim.x * blockDim.x;
    for (unsigned long long i = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x; i < pairs; i += step)
        packed[i] = (unsigned char)cvt_e2m1x2(x[i].y, x[i].x);
}

// Both halves of an instruction must give the code: where they differ the code shown is another one than expected.
#define FP4_EXHAUSTIVE(NAME, INSTRUCTION, BITS, EXPECTED)                                                             \
    extern "C" __global__ void NAME(unsigned first, unsigned stride, unsigned long long count,                        \
                                    unsigned long long *histogram, unsigned long long *differing,                     \
                                    unsigned long long *where) {                                                      \
        tally_patterns(                                                                                               \
            first, stride, count, Tally{histogram, differing, where},                                                 \
            [](float x) {                                                                                             \
                const unsigned mask = (1u << BITS) - 1u;                                                              \
                const unsigned low = INSTRUCTION(0.0f, x) & mask, high = INSTRUCTION(x, 0.0f) >> BITS & mask;         \
                return low == high ? low : high ^ 1u;                                                                 \
            },                                                                                                        \
            [](float x) { return EXPECTED(fp4::bits_of(x)); });                                                       \
    }
FP4_EXHAUSTIVE(instruction_e2m1, cvt_e2m1x2, 4, casts::e2m1)
FP4_EXHAUSTIVE(instruction_e4m3, cvt_e4m3x2, 8, casts::e4m3)
FP4_EXHAUSTIVE(instruction_e8m0_up, cvt_ue8m0x2_rp_sat, 8, casts::e8m0_up)
FP4_EXHAUSTIVE(instruction_e8m0_down, cvt_ue8m0x2_rz_sat, 8, casts::e8m0_down)
FP4_EXHAUSTIVE(instruction_e8m0_up_inf, cvt_ue8m0x2_rp, 8, casts::e8m0_up_inf)
FP4_EXHAUSTIVE(instruction_e8m0_down_inf, cvt_ue8m0x2_rz, 8, casts::e8m0_down_inf)
