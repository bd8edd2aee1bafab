"""What the lint can find: its rules as data, and a finding."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")

# what each rule is about; the severity is the usual one
RULES: dict[str, tuple[Severity, str]] = {
    "missing-part": ("error", "codes, block scales or a global scale have no counterpart"),
    "wrong-shape": ("error", "tensors of one weight do not fit together by shape or dtype"),
    "config": ("error", "the configuration cannot be read, or contradicts the tensors"),
    "nan-scale": ("error", "a block scale is NaN (ModelOpt#1397: zero blocks cast from above 448)"),
    "negative-scale": (
        "error",
        "a block scale has its sign bit set; tensor cores ignore it, software does not (mlx#2962)",
    ),
    "zero-scale": (
        "warning",
        "a scale of zero under nonzero codes: the block is lost; an error in a tenth of the blocks",
    ),
    "global-scale": ("error", "a global scale is not a positive finite number"),
    "global-convention": (
        "error",
        "the values make sense only if the divisor is a multiplier or the reverse (modular#6600)",
    ),
    "implausible": ("warning", "the largest dequantized magnitude is not that of a weight"),
    "unshared-global": ("warning", "weights that runtimes fuse have different global scales (vllm#54974)"),
    "padding": ("warning", "the padding of a scale matrix is not zero; an error if it holds NaN (vllm#38148)"),
    "constant-scale": ("warning", "every block has the same scale: were they ever computed?"),
    "negative-zero": ("note", "codes of -0 (0x8); a warning if +0 is always written so (ModelOpt's MXFP4)"),
}


@dataclass(frozen=True)
class Finding:
    """One finding in one tensor. ``count`` of ``total`` places are concerned, the first at ``index``; None: not counted."""

    rule: str
    severity: Severity
    tensor: str
    message: str
    count: int | None = None
    total: int | None = None
    index: tuple[int, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Strict-JSON data."""
        data = asdict(self)
        data["index"] = None if self.index is None else list(self.index)
        return data


def at_least(severity: Severity, limit: Severity) -> bool:
    """Whether a severity is as grave as ``limit``."""
    return SEVERITIES.index(severity) <= SEVERITIES.index(limit)
