// cuda/gemm.cu on the host: every kernel of it, with the loops that GPUs without warpgroup instructions take.
#include "tensor_core_host.h"

#include "gemm.cu"
