// Quantization kernels; so far the elementwise cast alone.
#include "codec.cuh"

extern "C" __global__ void encode_e2m1(const float* x, unsigned char* codes, long long n) {
    const long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i < n) codes[i] = (unsigned char)fp4::encode(fp4::bits_of(x[i]), fp4::E2M1, fp4::NEAREST);
}
