"""Holds a kernel's dump against fp4sim's own quantization, bit for bit, and explains what differs."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.errors import NothingComparedError, UnreadableError, UsageError
from fp4sim.fpmode import ieee_mode
from fp4sim.layouts import LAYOUTS
from fp4sim.parallel import thread_count
from fp4sim.report.verify_model import CaseResult, Count, VerifyResult
from fp4sim.rounding import Rounding
from fp4sim.verifying import differences
from fp4sim.verifying.buffers import Output, output_of
from fp4sim.verifying.closeness import closeness, decoded_values, dtype_name
from fp4sim.verifying.expected import Expected, expect
from fp4sim.verifying.explain.gemm import explain as explain_gemm
from fp4sim.verifying.explain.hypothesis import unequal
from fp4sim.verifying.explain.scene import Scene
from fp4sim.verifying.gemm import Product, product_of
from fp4sim.verifying.gemm_judge import check_model, judge_gemm
from fp4sim.verifying.identify import identify, rates
from fp4sim.verifying.stochastic import judge_draws

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fp4sim.spec import Spec
    from fp4sim.verifying.dump import Case, Dump
    from fp4sim.verifying.gemm_dump import Gemm


@dataclass(frozen=True)
class Options:
    """How to compare.

    ``layout``: of the block scales, ``auto``: by their size. ``padding``: must it be ``zero``, or is it ``any``. ``zeros``:
    does the sign of a decoded zero count (``signed``), or not (``any``). ``explain``: look for causes. ``identify``: try
    every dialect. ``model``: of the matrix unit behind a GEMM output, or ``bound`` (see :mod:`fp4sim.verifying.gemm_judge`).
    """

    axis: int = -1
    layout: str = "auto"
    padding: str = "zero"
    zeros: str = "signed"
    seed: int = 0
    explain: bool = True
    identify: bool = False
    threads: int | None = None
    model: str = "blackwell"

    def check(self) -> None:
        """Raise UsageError for values that there are not."""
        if self.layout not in ("auto", *LAYOUTS):
            raise UsageError(f"scale layout {self.layout!r}: auto, {', '.join(LAYOUTS)}")
        if self.padding not in ("zero", "any"):
            raise UsageError(f"padding {self.padding!r}: zero or any")
        if self.zeros not in ("signed", "any"):
            raise UsageError(f"zeros {self.zeros!r}: signed or any")
        check_model(self.model)


def verify_dump(dump: Dump, spec: Spec, options: Options = Options()) -> VerifyResult:
    """Compare every case of a dump.

    Raises UnreadableError for arrays that do not fit, NothingComparedError where no case has an output.
    """
    options.check()
    cases = [verify_case(case, spec, options) for case in dump.cases]
    return result_of(cases, spec, dump.path, options, ignored=dump.ignored)


def result_of(
    cases: Sequence[CaseResult],
    spec: Spec,
    path: str,
    options: Options,
    *,
    against: str = "",
    ignored: tuple[str, ...] = (),
    unmatched: tuple[str, ...] = (),
) -> VerifyResult:
    """The verdict over cases. Raises NothingComparedError where none has an output."""
    from fp4sim import BITS_VERSION, __version__

    if not any(case.gemm or any(count.total for count in case.counts.values()) for case in cases):
        alone = " but the values of stochastic codes; dump the codes" if spec.rounding is Rounding.SR else ""
        raise NothingComparedError(f"nothing was compared: the dump holds no output of a kernel{alone}")
    settings = {
        "axis": options.axis,
        "scale_layout": options.layout,
        "padding": options.padding,
        "zeros": options.zeros,
        "seed": options.seed,
        "model": options.model,
    }
    return VerifyResult(
        str(spec),
        spec.short,
        path,
        tuple(cases),
        repro_of(path, spec, options, against),
        settings,
        ignored,
        unmatched,
        version=__version__,
        bits_version=BITS_VERSION,
    )


@ieee_mode()
@np.errstate(all="ignore")
def verify_case(case: Case, spec: Spec, options: Options) -> CaseResult:
    """Compare one case."""
    given = _given(case, spec)

    def requantize(other: Spec, tensor_scale: NDArray[np.float32] | None, axis: int | None) -> Expected:
        given_to = tensor_scale if tensor_scale is not None else given if other.tensor_scale.mode == "given" else None
        where = options.axis if axis is None else axis
        return expect(
            case.x, other, axis=where, given=given_to, seed=options.seed, name=case.name, threads=options.threads
        )

    expected = requantize(spec, None, None)
    output, repeated = _worst_draw(output_of(case, spec, expected.geometry, options.layout), expected)
    signed = options.zeros == "signed"
    scene = Scene.of(expected, output, requantize, thread_count(options.threads), signed=signed)
    stochastic = judge_draws(scene) if spec.rounding is Rounding.SR and output.draws else None
    counts = _counts(scene, options)
    if stochastic is not None:
        counts["codes"] = stochastic[1]
    product = None if case.gemm is None else _product(case, case.gemm, expected, output, options)
    judged = None if product is None else judge_gemm(product, case.x.shape, options.model, scene.threads, signed=signed)
    result = CaseResult(
        case.name,
        tuple(case.x.shape),
        case.x.dtype.name,
        counts,
        closeness(expected, output, scene.threads),
        stochastic=None if stochastic is None else stochastic[0],
        gemm=None if judged is None else judged.result,
        notes=(*case.notes, *repeated, *_notes(output, counts, options)),
    )
    if not result.ok:
        result = _explained(result, scene, options, stochastic is not None)
        if product is not None and judged is not None and judged.result.outside and options.explain:
            result = replace(result, findings=(*result.findings, *explain_gemm(product, judged)))
    if options.identify:
        seen = replace(output, codes=None) if spec.rounding is Rounding.SR else output  # no draw equals another
        found = identify(spec, seen, lambda other: rates(requantize(other, None, None), seen, signed=signed))
        unknown = () if found else ("--identify: nothing was dumped that tells dialects apart",)
        result = replace(result, candidates=found, notes=(*result.notes, *unknown))
    return result


def _worst_draw(output: Output, expected: Expected) -> tuple[Output, list[str]]:
    """Of several runs of a kernel that is not stochastic the one with the most differing codes, and a note that says so."""
    if expected.spec.rounding is Rounding.SR or len(output.draws) < 2:
        return output, []
    wrong = [rates(expected, replace(output, codes=codes))["codes"].wrong for codes in output.draws]
    worst = int(np.argmax(wrong))
    note = f"{sum(map(bool, wrong)):,} of {len(wrong):,} draws differ; draw {worst} is shown, the one that differs most"
    return replace(output, codes=output.draws[worst]), [note] if wrong[worst] else []


@ieee_mode()
def product_of_case(case: Case, spec: Spec, options: Options) -> Product | None:
    """The product behind a dumped GEMM output; None where there is none. Raises UnreadableError naming the case."""
    if case.gemm is None:
        return None
    given = _given(case, spec)
    expected = expect(
        case.x, spec, axis=options.axis, given=given, seed=options.seed, name=case.name, threads=options.threads
    )
    output = output_of(case, spec, expected.geometry, options.layout)
    return _product(case, case.gemm, expected, output, options)


def _product(case: Case, gemm: Gemm, expected: Expected, output: Output, options: Options) -> Product:
    spec = expected.spec

    def second(other: Case) -> Expected:
        given = _given(other, spec)
        return expect(other.x, spec, given=given, seed=options.seed, name=other.name, threads=options.threads)

    try:
        return product_of(gemm, expected, output, second)
    except UnreadableError as error:
        raise UnreadableError(f"{case.label}: {error}") from None


def _given(case: Case, spec: Spec) -> NDArray[np.float32] | None:
    """The dumped tensor scale as the caller's, for ``ts:given``. Raises UnreadableError for one that is none."""
    if spec.tensor_scale.mode != "given":
        return None
    if case.tensor_scale is None:
        raise UnreadableError(f"{case.label}: {spec.short} takes the tensor scale from the dump, which has none")
    with np.errstate(all="ignore"):
        given = np.asarray(case.tensor_scale, np.float32)
        given = np.float32(1) / given if case.divides else given
    if not (np.isfinite(given).all() and (given > 0).all()):
        raise UnreadableError(f"{case.label}: its tensor scale is not positive and finite")
    return np.asarray(given.reshape(()) if given.size == 1 else given.reshape(-1), np.float32)


def _counts(scene: Scene, options: Options) -> dict[str, Count]:
    """Differing bits by part."""
    expected, output = scene.expected, scene.output
    counts: dict[str, Count] = {}
    if output.codes is not None:
        counts["codes"] = Count(int(np.count_nonzero(scene.bad_codes)), output.codes.size)
    counts |= rates(expected, replace(output, codes=None, values=None))
    if expected.spec.tensor_scale.mode == "given":
        counts.pop("tensor_scale", None)  # an input, not an output
    stochastic = expected.spec.rounding is Rounding.SR
    if output.values is not None and (output.codes is not None or not stochastic):
        if stochastic:  # fp4sim's own draw is another one: the values must be those of the kernel's codes
            want = decoded_values(expected, replace(output, values=None), dtype_name(output.values))
        else:
            want = np.moveaxis(expected.packed.dequantize(dtype_name(output.values)), expected.geometry.axis, -1)
        wrong = unequal(want.reshape(output.values.shape), output.values, signed=scene.signed)
        counts["dequantized"] = Count(int(np.count_nonzero(wrong)), wrong.size)
    if output.padding.total:
        counts["padding"] = Count(output.padding.nonzero if options.padding == "zero" else 0, output.padding.total)
    return counts


def _notes(output: Output, counts: dict[str, Count], options: Options) -> list[str]:
    notes = []
    if output.scales is not None and output.layout != "linear":
        notes.append(f"scales were read as {output.layout}" + (", by their size" if options.layout == "auto" else ""))
    if output.padding.nonzero and options.padding == "any":
        notes.append(f"{output.padding.nonzero:,} padding bytes are not zero, which --padding any allows")
    return notes


def _explained(result: CaseResult, scene: Scene, options: Options, stochastic: bool) -> CaseResult:
    """The result with what is behind its mismatches."""
    from fp4sim.report.verify_model import Finding
    from fp4sim.verifying.explain import stochastic_layout
    from fp4sim.verifying.explain.sentence import sentence_of
    from fp4sim.verifying.explain.tree import explain

    expected, output = scene.expected, scene.output
    deltas = {} if output.scales is None else differences.scale_deltas(expected.scales, output.scales)
    wrong = np.zeros(expected.x.shape, np.bool_) if stochastic else scene.bad_codes
    causes = differences.code_causes(scene.evidence, wrong) if wrong.any() else {}
    findings: tuple[Finding, ...] = ()
    if options.explain:
        seen = replace(scene, codes=None, values=None) if stochastic else scene
        findings = explain(seen)
        values = result.counts.get("dequantized", Count(0, 0)).wrong
        if values and not findings and not (stochastic and result.counts["codes"].wrong):
            sentence = sentence_of("dequantized", 0, values, "no hypothesis explains them")
            findings = (Finding("unknown", "dequantized", sentence, 0, values),)
        if stochastic and result.counts["codes"].wrong:
            findings += (stochastic_layout.explain(scene, result.counts["codes"].wrong),)
        padding = result.counts.get("padding", Count(0, 0))
        if padding.wrong:
            sentence = f"{padding.wrong:,} of {padding.total:,} padding bytes are not zero: the padding is stale"
            findings += (Finding("layout.stale_padding", "padding", sentence, padding.wrong, padding.wrong),)
    worst = differences.worst_blocks(expected, output, wrong)
    place = differences.code_map(wrong, expected.geometry) if output.codes is not None and not stochastic else None
    own = wrong & scene.unfollowed
    ties = differences.tie_distances(scene.evidence, own) if own.any() else ()
    return replace(
        result,
        scale_deltas=deltas,
        code_causes=causes,
        worst=worst,
        findings=findings,
        code_map=place,
        tie_distances=ties,
    )


def repro_of(path: str, spec: Spec, options: Options, against: str = "") -> str:
    """The command line that repeats a comparison."""
    words = ["fp4sim", "verify", path or "DUMP", *(["--against", against] if against else []), "--spec", spec.short]
    words += ["--axis", str(options.axis)] if options.axis != -1 else []
    words += ["--scale-layout", options.layout] if options.layout != "auto" else []
    words += ["--padding", options.padding] if options.padding != "zero" else []
    words += ["--zeros", options.zeros] if options.zeros != "signed" else []
    words += ["--seed", str(options.seed)] if options.seed else []
    words += ["--model", options.model] if options.model != "blackwell" else []
    return " ".join(word if word == "DUMP" else shlex.quote(word) for word in words)
