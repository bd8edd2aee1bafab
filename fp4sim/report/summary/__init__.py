"""What a result means, in plain sentences: :func:`sentences_of`, by the thresholds in :mod:`.thresholds`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from fp4sim.report.summary.sentence import Sentence

if TYPE_CHECKING:
    from fp4sim.report.result import Made

_HOMES = {
    "fp4sim.compare/1": "compare:compare_sentences",
    "fp4sim.bias/1": "bias:bias_sentences",
    "fp4sim.layer/1": "layer:layer_sentences",
    "fp4sim.verify/1": "verify:verify_sentences",
    "fp4sim.golden-check/1": "verify:golden_sentences",
    "fp4sim.gemm/1": "gemm:gemm_sentences",
    "fp4sim.gemm-fit/1": "gemm:fit_sentences",
    "fp4sim.evidence/1": "others:evidence_sentences",
    "fp4sim.diff/1": "others:diff_sentences",
    "fp4sim.reproduce/1": "others:reproduction_sentences",
    "fp4sim.mutations/1": "others:mutation_sentences",
}


def sentences_of(result: Made) -> tuple[Sentence, ...]:
    """The sentences that the data of a result carries; none where it carries none."""
    from fp4sim.report.kinds import found

    home = _HOMES.get(result.schema)
    if home is None:
        return ()
    function = cast("Callable[[Made], tuple[Sentence, ...]]", found(f"summary.{home}"))
    return function(result)
