// fp4sim's own codec in the names of the conversions that NVIDIA defines; fp4sim/crosscheck/casts.py has the same list.
#pragma once

#include "codec.cuh"

namespace casts {

// Constants are copied into the function: device code may use a host constant's value, but not refer to it.
#define FP4_CAST(NAME, FORMAT, MASK, ROUNDING, SPECIAL)                                                         \
    FP4_HD unsigned NAME(unsigned bits) {                                                                       \
        constexpr fp4::Format format = fp4::FORMAT;                                                             \
        constexpr fp4::Cast cast{fp4::ROUNDING, 0, SPECIAL, fp4::NAN_HARDWARE, fp4::ZERO_KEEP};                 \
        return fp4::encode(bits & MASK, format, cast);                                                          \
    }

FP4_CAST(e2m1, E2M1, 0xFFFFFFFFu, RN, false)
FP4_CAST(e4m3, E4M3, 0xFFFFFFFFu, RN, false)
FP4_CAST(e4m3_inf, E4M3, 0xFFFFFFFFu, RN, true)
// UE8M0 ignores the sign, which would otherwise turn the direction of a rounding.
FP4_CAST(e8m0_up, UE8M0, 0x7FFFFFFFu, RU, false)
FP4_CAST(e8m0_down, UE8M0, 0x7FFFFFFFu, RZ, false)
FP4_CAST(e8m0_up_inf, UE8M0, 0x7FFFFFFFu, RU, true)
FP4_CAST(e8m0_down_inf, UE8M0, 0x7FFFFFFFu, RZ, true)

}  // namespace casts
