"""Which estimators are unbiased, on which inputs: the claims behind Quartet II's concentration curves."""

from fp4sim.reproduce.model import BiasPlan, Data, FactPlan, Row, Section, Table

_DENSE = Data("gaussian", 64, 1024)
_SPARSE = Data("sparse", 64, 1024, (0.98,))
_TWO = Data("two-elements", 64, 128, (0.1,))
_WIDE = Data("block-lognormal", 64, 1024, (4.0,))
_SOURCE = "claims of the papers: arXiv 2601.22813, 2502.20853, 2502.20586, 2509.25149"
_FINITE = "unbiased only in the limit of large rotations; on this input the limit is far"
_ALIGNED = (
    "aligned exactly, but off across x by more than Algorithm 1: its scales are cut to 4 bits, corrected, and rounded to"
    " bfloat16 before the stochastic rounding; not explained further"
)
_SCALED = "one factor a rotation, in units scaled by each block: not scale-consistent, 5.6e-4 short"
_BITS = "8 random bits round a fraction down to 1/256: cvt.rs is short of φ by up to 1/256 of a gap"
_CHOICE = "the better of two random encodings is kept: the choice sees the errors"
_HIDDEN = (
    "the total agrees with the claim because the lost blocks hold none of the energy: each of them is lost whole. Subnormal"
    " scales are biased too: rounding them moves a scale by more than the 1/17 that range matching leaves room for"
)
_EDEN = ("nvfp4+mseden", "nvfp4+mseden:posthoc", "nvfp4+mseden:s=128")
_PLAIN = "nvfp4+mseden:size=1"
_LABELS = ("MS-EDEN, Algorithm 1", "MS-EDEN, CUDA kernels", "MS-EDEN, research kernel")


def _msedens(draws: tuple[int, int, int], reasons: tuple[str, str, str]) -> tuple[Row, ...]:
    rows = zip(_LABELS, _EDEN, draws, reasons, strict=True)
    return tuple(Row(label, "unbiased", spec, draws=n, reason=reason) for label, spec, n, reason in rows)


def _unrotated(draws: int) -> tuple[Row, ...]:
    """Estimators without a rotation that claim something on any input."""
    return (
        Row("SR", "unbiased", "nvfp4+sr", draws=draws),
        Row("TetraJet: truncation-free SR", "unbiased", "mxfp4@rceil+sr", draws=draws),
        Row("MXFP4 at 3/4, RHT-64, SR", "unbiased", "mxfp4+rht:64+sr", draws=draws),
        Row("SR behind RHT-128", "unbiased", "nvfp4+rht+sr", draws=draws),
    )


TABLE = Table(
    "quartet2-concentration",
    "Is it unbiased? Verdicts on the mean of many draws",
    (
        Section(
            "Dense Gaussian",
            _SOURCE,
            BiasPlan(_DENSE, margin=2e-4),
            (
                Row("RTN", "biased", "nvfp4", draws=64),
                Row("SR", "unbiased", "nvfp4+sr", draws=131072, margin=1e-4),
                Row("SR without range matching", "biased", "nvfp4+sr:clip", draws=1024),
                Row("SR with 8 random bits", "", "nvfp4+sr:bits=8", draws=1024, note=_BITS),
                Row("4/6 + SR", "biased", "nvfp4+4over6+sr", draws=1024, note=_CHOICE),
                Row("SR clipped, MXFP4", "biased", "mxfp4+sr:clip", draws=1024),
                Row("TetraJet: truncation-free SR", "unbiased", "mxfp4@rceil+sr", draws=49152),
                Row("MXFP4 at 3/4, RHT-64, SR", "unbiased", "mxfp4+rht:64+sr", draws=28672),
                Row("SR behind RHT-128", "unbiased", "nvfp4+rht+sr", draws=22528),
                *_msedens((12288, 12288, 4096), (_FINITE, _ALIGNED, _SCALED)),
            ),
        ),
        Section(
            "Sparse: 98 % zeros",
            _SOURCE,
            BiasPlan(_SPARSE, draws=8192, margin=1e-3, quick_margin=3e-2),
            (
                Row("RTN", "biased", "nvfp4", draws=64),
                *_unrotated(8192),
                *_msedens((4096,) * 3, (_FINITE,) * 3),
            ),
        ),
        Section(
            "Two elements: e0 + 0.1 e1",
            _SOURCE,
            BiasPlan(_TWO, draws=8192, margin=2e-3, quick_margin=1e-2),
            (
                Row("RTN", "biased", "nvfp4", draws=64),
                *_unrotated(8192),
                *_msedens((4096,) * 3, (_FINITE,) * 3),
                Row("MS-EDEN, not rotated", "unbiased", "nvfp4+mseden:size=1", draws=1024, reason=_FINITE),
            ),
        ),
        Section(
            "The mean of MS-EDEN on e0 + 0.1 e1, rotated back",
            "counter-example to arXiv 2601.22813 Corollary 3.1, exact: 101/102 and 0.19804",
            FactPlan(),
            (
                *(
                    Row(f"{label}: e{i} (x is {x})", mean, spec, "mean_of_draws", arguments=(spec, i, 1024))
                    for label, spec in zip(_LABELS[::2], _EDEN[::2], strict=True)
                    for i, x, mean in ((0, "1", "0.99016"), (1, "0.1", "0.19803"))
                ),
                *(
                    Row(f"not rotated: e{i} (x is {x})", "", _PLAIN, "mean_of_draws", arguments=(_PLAIN, i, 1024))
                    for i, x in ((0, "1"), (1, "0.1"))
                ),
            ),
        ),
        Section(
            "Blocks of lognormal magnitude, σ = 4: over half lost to a scale of zero",
            "what a total hides; see the zones",
            BiasPlan(_WIDE, draws=8192, margin=3e-3, quick_margin=3e-2),
            (
                Row("RTN", "biased", "nvfp4", draws=64),
                Row("SR", "unbiased", "nvfp4+sr", note=_HIDDEN),
                Row("SR, MXFP4 (scales have no zero)", "unbiased", "mxfp4@rceil+sr"),
            ),
        ),
    ),
    (
        "A verdict compares the 95 % interval of the relative bias ‖E x̂ − x‖/‖x‖ with the margin. The floor is its square:"
        " what averaging cannot remove from the relative squared error.",
    ),
)
