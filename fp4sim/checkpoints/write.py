"""Quantized weights as the tensors and configuration of compressed-tensors and ModelOpt checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import ml_dtypes
import numpy as np

import fp4sim
from fp4sim.errors import UsageError
from fp4sim.io.files import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fp4sim.checkpoints.weight import Role

Target = Literal["compressed-tensors", "modelopt"]
TARGETS: tuple[Target, ...] = ("compressed-tensors", "modelopt")
Format = Literal["NVFP4", "MXFP4"]
BLOCKS: dict[Format, int] = {"NVFP4": 16, "MXFP4": 32}

Arrays = dict[str, "NDArray[Any]"]


@dataclass(frozen=True, eq=False)
class StoredWeight:
    """A weight ready to be written.

    ``packed``: uint8 (..., K/2), even element low. ``scale``: uint8 (..., K/block). ``global_scale``: float32, () or one an
    expert, that multiplies or divides; None in MXFP4.
    """

    name: str
    format: Format
    packed: NDArray[np.uint8]
    scale: NDArray[np.uint8]
    global_scale: NDArray[np.float32] | None = None
    role: Role = "multiplier"

    def factor(self, role: Role) -> NDArray[np.float32]:
        """The global scale as a multiplier or a divisor; turning one into the other rounds once.

        Raises UsageError where float32 has no inverse of it.
        """
        stored = np.float32(1) if self.global_scale is None else self.global_scale
        if role == self.role:
            return np.asarray(stored, np.float32)
        with np.errstate(over="ignore", divide="ignore"):
            inverse = np.asarray(np.float32(1) / stored, np.float32)
        if not (np.isfinite(inverse) & (inverse > 0)).all():
            raise UsageError(f"tensor '{shown(self.name, 80)}': its global scale has no inverse in float32")
        return inverse


def check_axes(name: str, axes: int, target: Target) -> None:
    """Raise UsageError where the layout has no place for a stack of matrices."""
    if axes != 2 and target == "compressed-tensors":
        raise UsageError(
            f"tensor '{shown(name, 80)}': compressed-tensors has no place for a stack of matrices; write modelopt"
            " or --exclude it"
        )


def arrays_of(weight: StoredWeight, target: Target) -> Arrays:
    """The tensors to write for a weight. Raises UsageError for what the layout has no place for."""
    check_axes(weight.name, weight.packed.ndim, target)
    return (_compressed_tensors if target == "compressed-tensors" else _modelopt)(weight)


def _compressed_tensors(weight: StoredWeight) -> Arrays:
    module = weight.name.removesuffix(".weight")
    arrays: Arrays = {f"{module}.weight_packed": weight.packed}
    if weight.format == "MXFP4":
        return arrays | {f"{module}.weight_scale": weight.scale}
    arrays[f"{module}.weight_scale"] = weight.scale.view(ml_dtypes.float8_e4m3fn)
    return arrays | {f"{module}.weight_global_scale": weight.factor("divisor").reshape(1)}


def _modelopt(weight: StoredWeight) -> Arrays:
    if weight.packed.ndim == 2:
        name = prefix = f"{weight.name.removesuffix('.weight')}.weight"
        shape: tuple[int, ...] = ()
    else:
        name, prefix = weight.name, weight.name if weight.name.endswith(".weight") else f"{weight.name}_weight"
        shape = weight.packed.shape[:1]
    arrays: Arrays = {name: weight.packed}
    if weight.format == "MXFP4":
        return arrays | {f"{prefix}_scale": weight.scale}
    arrays[f"{prefix}_scale"] = weight.scale.view(ml_dtypes.float8_e4m3fn)
    factor = weight.factor("multiplier").reshape(-1)
    factors = factor.reshape(()) if not shape else np.broadcast_to(factor, shape).copy()
    return arrays | {f"{prefix}_scale_2": factors}


def documents(target: Target, fmt: Format, ignored: Sequence[str], config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The JSON files of a checkpoint: ``config`` with its quantization replaced, and what else the layout has."""
    if target == "compressed-tensors":
        return {"config.json": {**config, "quantization_config": _compressed_tensors_config(fmt, ignored)}}
    producer = {"name": "fp4sim", "version": fp4sim.__version__}
    quantization = {"quant_algo": fmt, "kv_cache_quant_algo": None, "group_size": BLOCKS[fmt]}
    inner = {"quant_method": "modelopt", **quantization, "ignore": list(ignored), "producer": producer}
    outer = {"producer": producer, "quantization": {**quantization, "exclude_modules": list(ignored)}}
    return {"config.json": {**config, "quantization_config": inner}, "hf_quant_config.json": outer}


def _compressed_tensors_config(fmt: Format, ignored: Sequence[str]) -> dict[str, Any]:
    name = f"{fmt.lower()}-pack-quantized"
    weights = {
        "num_bits": 4,
        "type": "float",
        "symmetric": True,
        "strategy": "tensor_group" if fmt == "NVFP4" else "group",
        "group_size": BLOCKS[fmt],
        "dynamic": False,
        "scale_dtype": "torch.float8_e4m3fn" if fmt == "NVFP4" else "torch.uint8",
    }
    group = {"targets": ["Linear"], "weights": weights, "input_activations": None, "output_activations": None}
    return {
        "quant_method": "compressed-tensors",
        "format": name,
        "quantization_status": "compressed",
        "config_groups": {"group_0": {**group, "format": name}},
        "ignore": list(ignored),
        "kv_cache_scheme": None,
        "global_compression_ratio": None,
    }
