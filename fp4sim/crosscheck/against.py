"""What somebody's kernel made of tensors, held against fp4sim by its verifier: counts, and what explains the differences."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.crosscheck.check import Effort, Outcome, SkipCheckError
from fp4sim.report.cells import count_of
from fp4sim.report.verify_model import Count

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.report.verify_model import VerifyResult
    from fp4sim.spec import Spec

_STIMULI = ("gaussian", "exhaustive", "ties", "scale-ties", "exponents", "amax", "specials", "quantized")


@dataclass(frozen=True, eq=False)
class Made:
    """A kernel's output on the CPU: packed codes, block scales in any layout, and the tensor scale or its divisor."""

    codes: NDArray[np.uint8]
    block_scale: NDArray[np.uint8]
    tensor_scale: NDArray[np.float32] | None = None
    divisor: NDArray[np.float32] | None = None
    layout: str = "auto"


class RefusedError(Exception):
    """Raised by a kernel that does not take an input; the message is the reason."""


Kernel = Callable[["NDArray[Any]"], Made]


def compare_all(
    effort: Effort, kernels: Mapping[str, Kernel], fits: Callable[[NDArray[Any]], bool] | None = None
) -> Outcome:
    """Each spec's kernel over that spec's inputs that are finite and that ``fits`` takes.

    Inputs that a kernel refuses are counted in the answer. Raises SkipCheckError where it refuses all of them.
    """
    from fp4sim.api import verify
    from fp4sim.grammar import parse

    counts: dict[str, Count] = {}
    diagnosis: list[str] = []
    refused: list[str] = []
    for text, kernel in kernels.items():
        spec = parse(text)
        for name, x in inputs(spec, effort):
            if not (np.isfinite(np.asarray(x, np.float32)).all() and (fits is None or fits(x))):
                continue
            try:
                made = kernel(x)
            except RefusedError as error:
                refused.append(f"{text} on {name} of shape {x.shape}: {error}")
                continue
            result = verify(
                x,
                spec,
                codes=made.codes,
                block_scale=made.block_scale,
                tensor_scale=made.tensor_scale,
                divisor=made.divisor,
                scale_layout=made.layout,
            )
            for part, count in result.totals.items():
                label = f"{text} {part}"
                counts[label] = counts.get(label, Count(0, 0)) + count
            diagnosis += [f"{text} on {name}: {line}" for line in lines_of(result)]
    if refused and not counts:
        raise SkipCheckError(f"every input was refused, first {refused[0]}")
    answer = f"{count_of(len(refused), 'input')} refused, first {refused[0]}" if refused else ""
    return Outcome(counts, answer, tuple(diagnosis))


def inputs(spec: Spec, effort: Effort) -> Iterator[tuple[str, NDArray[Any]]]:
    """The golden packs' stimuli of a spec; in three dtypes normal data of ``effort.elements``, blocks so small beside the
    largest that their scales underflow, and a tensor whose own scale is near the end of float32.
    """
    import ml_dtypes

    from fp4sim.golden.stimuli import STIMULI, inputs_of

    for stimulus in STIMULI:
        if stimulus.name in _STIMULI:
            for one in inputs_of(stimulus, spec, 0):
                yield f"{stimulus.name} {one.name}".strip(), np.ascontiguousarray(one.x)
    rng = np.random.default_rng(1)
    for dtype in (ml_dtypes.bfloat16, np.float16, np.float32):
        values = rng.standard_normal((max(64, effort.elements >> 12), 4096), np.float32)
        yield f"normal {np.dtype(dtype).name}", values.astype(dtype)
        small = np.exp2(rng.uniform(-32, 0, (64, 4096 // 16))).astype(np.float32).repeat(16, axis=1)
        yield f"small blocks {np.dtype(dtype).name}", (values[:64] * small).astype(dtype)
        if dtype is not np.float16:
            yield f"tiny {np.dtype(dtype).name}", (values[:64] * small * np.float32(2.0**-118)).astype(dtype)


def lines_of(result: VerifyResult) -> list[str]:
    """What is behind the differences of a verification, in lines."""
    found = []
    for case in result.cases:
        if not case.ok:
            parts = ", ".join(
                f"{part} {count.wrong:,}/{count.total:,}" for part, count in case.counts.items() if count.wrong
            )
            found.append(f"{parts} differ")
            found += [f"CAUSE {finding.cause}: {finding.sentence}" for finding in case.findings]
    return found
