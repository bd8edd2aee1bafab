"""What the bytes of quantized checkpoints stand for: E2M1 codes, and block scales as each ecosystem decodes them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.floats import element_format, scale_format
from fp4sim.kernels.reference.encode import decode

if TYPE_CHECKING:
    from numpy.typing import NDArray

BYTES: NDArray[np.uint8] = np.arange(256, dtype=np.uint8)
_MAGNITUDE = BYTES & np.uint8(0x7F)
CODE_VALUES: NDArray[np.float32] = decode(BYTES[:16], element_format("e2m1")).astype(np.float32)


@dataclass(frozen=True, eq=False)
class ScaleEncoding:
    """A one-byte scale: ``values`` of all 256 bytes as the ecosystem's code decodes them, and which bytes are suspect.

    ``block``: the block that the encoding usually goes with. ``format``: its name in a spec string.
    """

    name: str
    format: str
    block: int
    values: NDArray[np.floating]
    nan: NDArray[np.bool_]
    note: str = ""

    @cached_property
    def zero(self) -> NDArray[np.bool_]:
        """Bytes under which nothing survives: zero, and for E8M0 its least power of two."""
        return np.asarray(BYTES == 0 if self.format == "e8m0" else _MAGNITUDE == 0)

    @cached_property
    def negative(self) -> NDArray[np.bool_]:
        """Bytes with a sign bit that no scale should have."""
        return np.asarray((BYTES & 0x80 != 0) & ~self.nan & (self.format != "e8m0"))


def _e4m3(signed: bool) -> NDArray[np.float32]:
    magnitudes = decode(_MAGNITUDE, scale_format("e4m3")).astype(np.float32)
    return np.where(BYTES & 0x80, -magnitudes, magnitudes) if signed else magnitudes


def _ggml_ue4m3() -> NDArray[np.float32]:
    """ggml_ue4m3_to_fp32 times the 2 that its table of doubled codes holds: 0x7F is 0, and bit 7 is not looked at."""
    values = _e4m3(signed=False)
    values[0x7F] = 0
    values[0xFF] = 480
    return values


def _e8m0() -> NDArray[np.float32]:
    return decode(BYTES, scale_format("e8m0")).astype(np.float32)


def _ggml_e8m0() -> NDArray[np.float64]:
    """ggml_e8m0_to_fp32_half times 2: byte 255 is 2^128, not NaN, and so beyond float32 except under the code 0.5."""
    values = _e8m0().astype(np.float64)
    values[255] = 2.0**128
    return values


_NAN_E4M3 = _MAGNITUDE == 0x7F
_NAN_E8M0 = BYTES == 255

E4M3 = ScaleEncoding("E4M3", "e4m3", 16, _e4m3(signed=True), _NAN_E4M3)
E8M0 = ScaleEncoding("E8M0", "e8m0", 32, _e8m0(), _NAN_E8M0)
GGML_UE4M3 = ScaleEncoding("UE4M3", "e4m3", 16, _ggml_ue4m3(), _NAN_E4M3, "llama.cpp reads 0x7f as 0")
GGML_E8M0 = ScaleEncoding("E8M0", "e8m0", 32, _ggml_e8m0(), _NAN_E8M0, "llama.cpp reads 0xff as 2^128")
