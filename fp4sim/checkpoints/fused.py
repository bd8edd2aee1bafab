"""Weights that runtimes join into one matrix, and that therefore need one global scale."""

from __future__ import annotations

import re

_GROUPS = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"), ("w1", "w3"))
_MEMBER = {name: group for group in _GROUPS for name in group}
_NAME = re.compile(r"(?:^|\.)(" + "|".join(_MEMBER) + r")(?:\.weight)?$")

Key = tuple[str, tuple[str, ...]]


def fused_key(name: str) -> Key | None:
    """What the weights of a fused matrix have in common: their prefix and the names of its parts; None for others."""
    match = _NAME.search(name)
    return (name[: match.start(1)], _MEMBER[match[1]]) if match else None
