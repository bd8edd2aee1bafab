#include "emulate.h"
#include "panel.cu"
