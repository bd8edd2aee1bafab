"""FlashInfer's FP4 quantizer, with and without fast math.

Read in 0.7.4 (7703905), flashinfer/quantization/fp4_quantization.py: ``fp4_quantize(input, global_scale, sf_vec_size,
sf_use_ue8m0, is_sf_swizzled_layout, is_sf_8x4_layout, is_global_scale_inversed, enable_pdl, backend, nvfp4_4over6, *,
batch_invariant)``. Input is bf16, fp16 or e4m3, the scale one float32, (448 * 6) / amax. Out come uint8 codes (M, K / 2) and
uint8 scales (M to 128, K / 16 to 4) in 128x4, padding zero. 0.6.16 has all parameters but the last two, 0.7.2 all but the last:
by name the call is the same for all.

Below SM100 there is nothing to check: 0.7.4 raises RuntimeError, and 0.7.2 and those before it build the module for sm_90a
with empty kernels, since all of their code is behind ``__CUDA_ARCH__ >= 1000``, and return memory that nobody wrote.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from typing import Any

from fp4sim.crosscheck.against import Made
from fp4sim.crosscheck.check import Check, Effort, Outcome, SkipCheckError
from fp4sim.crosscheck.device import Device
from fp4sim.crosscheck.third_party import as_bytes, compare_library, environment, global_scale
from fp4sim.dialects.target import FLT_MAX

_SILENT_SINCE = (0, 7, 4)  # from here on a scale that rounds to 0 silences its block
_EXACT_SINCE = (0, 6, 16)  # the first release whose exact mode was read


def quantizer(*, exact: bool) -> Callable[[Any], Made]:
    """``fp4_quantize`` with UE4M3 scales a 16, laid out 128x4; the variables that it reads are set to what is wanted."""
    flag = str(int(exact))

    def nvfp4(x: Any) -> Made:
        scale = global_scale(x).reshape(1)
        names = {
            "FLASHINFER_DISABLE_FP4_QUANT_FAST_MATH": flag,
            "TRTLLM_DISABLE_FP4_QUANT_FAST_MATH": flag,
            "FLASHINFER_NVFP4_4OVER6": "0",
        }
        with environment(**names):
            packed, scales = import_module("flashinfer").fp4_quantize(
                x,
                scale.clamp(max=float(FLT_MAX)) if exact else scale,
                sf_vec_size=16,
                sf_use_ue8m0=False,
                is_sf_swizzled_layout=True,
            )
        return Made(as_bytes(packed), as_bytes(scales).reshape(-1), layout="128x4")

    return nvfp4


def kernels_of(version: str) -> dict[str, Callable[[Any], Made]]:
    """What a version of the library is to be held to; a version that says nothing is taken for the newest."""
    match = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    numbers = tuple(int(part) for part in match.groups()) if match else ()
    if not any(numbers):  # a source tree calls itself 0.0.0
        numbers = _SILENT_SINCE
    fast = "nvfp4@flashinfer:v0.7.4" if numbers >= _SILENT_SINCE else "nvfp4@flashinfer"
    found = {fast: quantizer(exact=False)}
    if numbers >= _EXACT_SINCE:
        found["nvfp4@flashinfer-exact:ftz"] = quantizer(exact=True)
    return found


def run(device: Device, effort: Effort) -> Outcome:
    """NVFP4."""
    try:
        version = str(getattr(import_module("flashinfer"), "__version__", ""))
    except Exception as error:  # whatever an unknown version raises
        raise SkipCheckError(f"flashinfer cannot be imported: {type(error).__name__}: {error}") from error
    return compare_library(device, effort, kernels_of(version))


CHECK = Check(
    "flashinfer", "FlashInfer's NVFP4 quantizer against its dialect", run, least=(10, 0), package="flashinfer"
)
