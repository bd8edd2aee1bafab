"""Quartet's table of rounding schemes (arXiv 2505.14669 Table 2)."""

from fp4sim.reproduce.model import Data, ErrorPlan, Row, Section, Table

_OCTAVE = Data("octave", 512, 1024)
_SR, _RTN, _QUEST = "mxfp4+rht:32+sr", "mxfp4+rht:32+max:4.5", "mxfp4+quest"
_PMA, _RELEASED = "mxfp4+rht:32+max:4.5+pma", "mxfp4+quest:mult=1"
_PMA_REASON = (
    "v1 only, and how scales were sampled is not stated: the constant 1.009276 undoes a misalignment of 9.19e-3, which is"
    " neither that of σ = 1 nor the octave's mean; 1.42e-2 lies above both"
)
_QUEST_REASON = (
    "the multiplier on the standard deviation is not printed: 1.5 comes closest to both figures of the row of all tried;"
    " the released code has 1"
)
_RELEASED_REASON = (
    "the released code (multiplier 1) rounds the scale down and clips 7 % of the elements: not what was printed"
)

TABLE = Table(
    "quartet",
    "Quartet: MSE and misalignment of MXFP4 rounding schemes",
    (
        Section(
            "Relative MSE and misalignment, averaged over log-uniform scales",
            "arXiv 2505.14669 v4 Table 2; PMA: v1",
            ErrorPlan(_OCTAVE, "rel_mse", repeats=10),
            (
                Row("SR AbsMax", "2.77e-2", _SR),
                Row("RTN AbsMax", "1.37e-2", _RTN),
                Row("QuEST", "1.32e-2", _QUEST, reason=_QUEST_REASON),
                Row("QuEST, released code", "1.32e-2", _RELEASED, reason=_RELEASED_REASON),
                Row("RTN AbsMax PMA (v1)", "1.42e-2", _PMA, reason=_PMA_REASON),
                Row("misalignment: SR AbsMax", "0", _SR, "misalignment32"),
                Row("misalignment: RTN AbsMax", "9.3e-3", _RTN, "misalignment32"),
                Row("misalignment: QuEST", "1.3e-2", _QUEST, "misalignment32", reason=_QUEST_REASON),
                Row("misalignment: QuEST, released", "1.3e-2", _RELEASED, "misalignment32", reason=_RELEASED_REASON),
                Row("misalignment: PMA (v1)", "2.8e-5", _PMA, "misalignment32", reason=_PMA_REASON),
            ),
        ),
        Section(
            "The same at σ = 1: MSE × 1e3",
            "the released Triton kernels on one N(0, 1) tensor of 4096×4096",
            ErrorPlan(quantity="mse3", published_draws=1),
            (
                Row(
                    "SR AbsMax",
                    "28.2247",
                    _SR,
                    reason="the kernel lies 0.2 % above; an independent NumPy implementation (28.16) agrees",
                ),
                Row("RTN AbsMax", "13.8596", _RTN),
                Row("RTN AbsMax PMA", "14.0351", _PMA),
                Row("QuEST, released code", "26.9279", _RELEASED),
                Row("QuEST", "", _QUEST),
                Row("misalignment: SR AbsMax", "-.00009", _SR, "misalignment32"),
                Row("misalignment: RTN AbsMax", ".008955", _RTN, "misalignment32"),
                Row("misalignment: PMA", "-.000238", _PMA, "misalignment32"),
                Row("misalignment: QuEST, released", ".0689", _RELEASED, "misalignment32"),
                Row("kept by the mask: QuEST, released", ".9275", _RELEASED, "trust"),
            ),
        ),
    ),
    (
        "MXFP4 errors repeat with every octave of σ because scales are powers of two: N(0, 1) alone gives other numbers.",
    ),
)
