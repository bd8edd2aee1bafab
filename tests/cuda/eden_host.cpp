#include "cooperate.h"
#include "eden.cu"
