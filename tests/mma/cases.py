"""What tests of matrix steps share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fp4sim.mma import block_scaled_mma
from tests.mma.drawn import FAMILIES, KINDS, Operands, operands

__all__ = ["FAMILIES", "KINDS", "Operands", "multiply", "operands", "pairs", "shared"]

SHARED = Path(__file__).parents[3] / "shared" / "golden"


def shared(name: str) -> np.lib.npyio.NpzFile:
    if not (SHARED / name).is_file():
        pytest.skip(f"needs {name} in {SHARED}: the part of it in tests/data is tested always")
    return np.load(SHARED / name, allow_pickle=False)


def multiply(ops: Operands, kind: tuple[str, int], model: str, path: str = "compiled") -> np.ndarray:
    """Bits of D."""
    given = {"scale_format": kind[0], "block": kind[1], "model": model, "path": path, "threads": 1}
    return block_scaled_mma(*ops, **given).view(np.uint32)  # type: ignore[arg-type]


def pairs(ops: Operands, kind: tuple[str, int], model: str, path: str) -> np.ndarray:
    """Bits of D of row i with row i, for C of shape (rows,)."""
    a, b, c, sa, sb = ops
    lifted = (a[:, None], b[:, None], np.ascontiguousarray(c[:, None, None]), sa[:, None], sb[:, None])
    return multiply(lifted, kind, model, path)[:, 0, 0]
