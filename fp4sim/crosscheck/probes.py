"""Inputs that tell models of the tensor core apart, with what each model predicts; no hardware output is in them.

``k64/`` 57 outputs of one K = 64 step under 50 models, ``batch_nvf4/`` and ``batch_mxf4/`` 2,048 adversarial outputs each,
``k96/``, ``mxf8f6f4_e2m1_k32/``, ``cvt_rs_e2m1x4/``, ``rcp_approx/``. The file's own README says how they are laid out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PROBES = Path(__file__).parents[1] / "data" / "mma_probes.npz"
OPERANDS = ("A", "B", "C", "SA", "SB")


def read_probes(group: str) -> dict[str, NDArray[Any]]:
    """The arrays of a group by their names without the group's, e.g. ``read_probes("k64")["pred"]``."""
    with np.load(PROBES, allow_pickle=False) as stored:
        prefix = f"{group}/"
        return {name.removeprefix(prefix): stored[name] for name in stored.files if name.startswith(prefix)}
