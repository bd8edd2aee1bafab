"""Finds the model that a dense tensor-core instruction obeys, from its outputs alone.

A family of models differs in everything that the probes can see: how many products are summed at once, the bits kept below
the largest exponent, how addends and the sum are cut, the bits of the result, where C enters, and the exponents of
subnormals. Small batches, adversarial for each of these, leave few models; what is left must reproduce a million.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.errors import UsageError
from fp4sim.floats import E4M3, FloatFormat
from fp4sim.mma.dense_steps import Rival, dense_steps
from fp4sim.mma.model import MmaModel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Run = Callable[[NDArray[Any], NDArray[Any], NDArray[np.uint32]], NDArray[np.uint32]]

# Format of the codes, elements of an instruction, and the fraction bits that the family tries.
KINDS: dict[str, tuple[FloatFormat, int, tuple[int, ...]]] = {
    "fp16": (FloatFormat("fp16", 5, 10, 15), 16, tuple(range(21, 29))),
    "e4m3": (E4M3, 32, (*range(11, 17), *range(21, 28))),
}
BATCHES = ("spread", "large_c", "cancelling", "no_c", "subnormal", "ordinary")
_SMALL = 256
_FLOOR = -133  # that of dense instructions elsewhere; no product of these codes is small enough to tell


@dataclass(frozen=True)
class FitResult:
    """What a fit found; ``to_dict`` is plain JSON.

    * ``models``: names of the models that reproduced every output; more than one where no output tells them apart.
    * ``rivals``: how many models were tried; ``compared``: outputs that each of ``models`` reproduced.
    * ``parameters``: of the first of ``models``. ``nearest``: where none is left, the best of the last batch looked at and
      how many of its outputs it missed.
    """

    kind: str
    models: tuple[str, ...]
    rivals: int
    compared: int
    parameters: dict[str, Any] | None
    nearest: tuple[str, int] | None

    def to_dict(self) -> dict[str, Any]:
        """A dict for JSON."""
        return asdict(self)


def fit_mma(run: Run, kind: str, *, outputs: int = 1_000_000, seed: int = 0) -> FitResult:
    """Name the models of the family that reproduce every output of ``run``.

    Args:
        run: ``run(a, b, c)`` gives bits of c[i] + a[i] . b[i] as uint32 (n,), from codes (n, 16) uint16 for ``"fp16"`` or
            (n, 32) uint8 for ``"e4m3"`` and bits of C; :func:`fp4sim.kernels.cuda.dense_mma.instruction` makes one of a GPU.
        outputs: how many, at least, the models that are left must reproduce.

    Raises:
        UsageError for an unknown kind.
    """
    if kind not in KINDS:
        raise UsageError(f"kind {kind!r}: {', '.join(KINDS)}")
    fmt = KINDS[kind][0]
    left = dict(family(kind))
    rivals, compared, size, draw = len(left), 0, _SMALL, 0
    nearest: tuple[str, int] | None = None
    while left and compared < outputs:
        for batch in BATCHES:
            a, b, c = stimuli(kind, batch, size, seed + draw)
            d = run(a, b, c)
            missed = {name: int((dense_steps(a, b, c, fmt, rival) != d).sum()) for name, rival in left.items()}
            best = min(missed, key=lambda name: missed[name])
            nearest = (best, missed[best])
            left = {name: rival for name, rival in left.items() if missed[name] == 0}
            if not left:
                break
            compared, draw = compared + size, draw + 1
        size = min(8 * size, 1 << 16)
    first = next(iter(left.values()), None)
    parameters = None if first is None else asdict(first.model) | {"result_bits": first.result_bits}
    return FitResult(kind, tuple(left), rivals, compared if left else 0, parameters, None if left else nearest)


def family(kind: str) -> Iterator[tuple[str, Rival]]:
    """The models tried, by name."""
    _, length, fractions = KINDS[kind]
    places = (("fused", "rz"), ("after", "rz"), ("after", "rne"))
    choices = (
        (length, length // 2, length // 4),
        fractions,
        ("rz", "rne", "floor"),
        ("rz", "rne"),
        places,
        (23, 13) if kind == "e4m3" else (23,),
        ("native", "normalised"),
    )
    for step, fraction, align, result, (place, dot), bits, elements in product(*choices):
        name = f"step {step}, F {fraction}, {align} then {result} to {bits} bits, C {place}"
        name += (f" {dot}" if place == "after" else "") + f", {elements}"
        numbers: dict[str, Any] = {"fraction": fraction, "align": align, "result": result, "floor": _FLOOR}
        model = MmaModel(name, step=step, group=1, c_place=place, dot=dot, elements=elements, **numbers)  # type: ignore[arg-type]
        yield name, Rival(model, bits)


def stimuli(kind: str, batch: str, size: int, seed: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.uint32]]:
    """Codes of A and B (size, k) and bits of C (size,), finite, adversarial in one way."""
    fmt, length, _ = KINDS[kind]
    rng = np.random.default_rng([seed, BATCHES.index(batch)])
    dtype, bits = (np.uint16, fmt.mantissa_bits) if kind == "fp16" else (np.uint8, fmt.mantissa_bits)
    top = (1 << fmt.exponent_bits) - 2  # the last field that has no special codes in any format
    low, high = {"subnormal": (0, 3), "ordinary": (top // 2 - 2, top // 2 + 2)}.get(batch, (0, top))
    shape = (2, size, length)
    field = rng.integers(low, high + 1, shape)
    if batch in ("spread", "large_c"):  # a few products far above the others
        field = np.where(rng.random(shape) < 0.7, np.minimum(field, top // 3), field)
    codes = rng.integers(0, 1 << bits, shape) | field << bits
    codes |= rng.integers(0, 2, shape) << (bits + fmt.exponent_bits)
    codes = np.where(rng.random(shape) < 0.2, 0, codes)
    if batch == "cancelling":
        half = length // 2
        codes[0, :, half : 2 * half - 1] = codes[0, :, : half - 1] ^ (1 << (bits + fmt.exponent_bits))
        codes[1, :, half : 2 * half - 1] = codes[1, :, : half - 1]
        order = rng.permuted(np.tile(np.arange(length), (size, 1)), axis=1)
        codes = np.stack([np.take_along_axis(codes[0], order, 1), np.take_along_axis(codes[1], order, 1)])
    reach = 2 * (top - fmt.bias)
    first, last = {"large_c": (reach // 2, reach + 30), "subnormal": (-2 * fmt.bias - 40, -fmt.bias)}.get(
        batch, (-reach, reach + 4)
    )
    c = rng.integers(first + 127, last + 128, size).clip(1, 254) << 23 | rng.integers(0, 1 << 23, size)
    c = np.where(rng.random(size) < 0.1, 0, c | rng.integers(0, 2, size) << 31)
    c = np.zeros(size, np.int64) if batch == "no_c" else c
    return codes[0].astype(dtype), codes[1].astype(dtype), c.astype(np.uint32)
