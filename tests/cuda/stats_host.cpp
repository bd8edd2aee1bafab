#include "cooperate.h"
#include "stats.cu"
