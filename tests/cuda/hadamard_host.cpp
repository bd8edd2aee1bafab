#include "cooperate.h"
#include "hadamard.cu"
