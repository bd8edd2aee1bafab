"""Kernels of installed libraries: matrices in, codes and scales out, each library under its own dialect."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.crosscheck.against import Made, RefusedError, compare_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from fp4sim.crosscheck.check import Effort, Outcome
    from fp4sim.crosscheck.device import Device

REACH = 2688.0  # 448 * 6: what libraries divide by amax, in float32


def compare_library(
    device: Device,
    effort: Effort,
    kernels: Mapping[str, Callable[[Any], Made]],
    dtypes: Sequence[str] = ("bfloat16", "float16"),
    rows: int = 1,
    least: float = 0.0,
) -> Outcome:
    """Each spec's kernel, which takes a torch tensor on the device, over the inputs of the dtypes that it takes.

    Inputs whose rows are no whole multiple of ``rows`` are left out, and those whose amax is not above ``least``. What a
    library raises is why it refused an input; one that cannot be called as here at all is skipped with what it says.
    """

    def on_device(kernel: Callable[[Any], Made]) -> Callable[[NDArray[Any]], Made]:
        def run(x: NDArray[Any]) -> Made:
            try:
                return kernel(device.torch(x))
            except Exception as error:  # whatever an unknown version of a library raises
                line = (str(error).strip() or type(error).__name__).splitlines()[0]
                raise RefusedError(f"{type(error).__name__}: {line}") from error

        return run

    def fits(x: NDArray[Any]) -> bool:
        amax = float(np.abs(np.asarray(x, np.float32)).max(initial=0))
        return x.dtype.name in dtypes and x.shape[0] % rows == 0 and amax > least

    return compare_all(effort, {spec: on_device(kernel) for spec, kernel in kernels.items()}, fits)


def as_bytes(tensor: Any) -> NDArray[np.uint8]:
    """A torch tensor of bytes, or of one-byte floats, as numpy."""
    import torch

    return np.asarray(tensor.contiguous().view(torch.uint8).cpu().numpy())


def global_scale(x: Any) -> Any:
    """(448 * 6) / amax in float32, as callers of the libraries' kernels compute it."""
    import torch

    amax = x.abs().amax().to(torch.float32)
    return torch.tensor(REACH, dtype=torch.float32, device=x.device) / amax


@contextmanager
def environment(**values: str) -> Iterator[None]:
    """Variables of the process, set for a while: libraries read there which arithmetic they use."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)  # the library may have done so itself
            else:
                os.environ[name] = value
