// Bit-accurate block-scaled GEMM: Blackwell's bits on any GPU with fp16 tensor cores. Launched by fp4sim/kernels/cuda/gemm.py.
#include "gemm_begin.cuh"
#include "gemm_emulated.cuh"
#include "gemm_finish.cuh"
#include "gemm_proven.cuh"
#include "gemm_wide.cuh"
