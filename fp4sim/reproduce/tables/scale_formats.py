"""The order of scale encodings (FP4 All the Way, arXiv 2505.19115 Fig. 1)."""

from fp4sim.reproduce.model import Data, ErrorPlan, Row, Section, Table

_WIDE = Data("block-lognormal", 512, 512, (1.0,))
_SPECS = (
    ("E1M6", ".104", "e2m1/16@e1m6"),
    ("E2M5", ".034", "e2m1/16@e2m5"),
    ("E3M4", ".0091", "e2m1/16@e3m4"),
    ("E4M3", ".0091", "e2m1/16@e4m3"),
    ("E5M2", ".0096", "e2m1/16@e5m2"),
    ("E6M1", ".0119", "e2m1/16@e6m1"),
    ("E8M0", ".0129", "e2m1/16@e8m0@rceil"),
)
_ORDER = "the paper trains a model: E3M4 and E4M3 best, E1M6 diverges, the others between; here the error of a block"
_SIZE = "E1M6, E2M5 and E3M4 hang on the largest block of the tensor: over 2048×2048 they lose twice as much."
_RANGE = (
    "narrow encodings lose the blocks that are small beside the largest, so the figure grows with the size of the tensor;"
    " E3M4 here reserves its top exponent (maximum 15.5), the other implementation's goes to 31"
)

TABLE = Table(
    "scale-formats",
    "FP4 All the Way: scale encodings of blocks of 16",
    (
        Section(
            "Relative MSE on blocks of lognormal magnitude, σ = 1",
            "an independent implementation (size not stated); the order is arXiv 2505.19115 Fig. 1's",
            ErrorPlan(_WIDE, "rel_by_block", published_draws=1, repeats=64, quick=12),
            tuple(Row(label, printed, spec, reason=_RANGE) for label, printed, spec in _SPECS),
        ),
        Section(
            "The same on N(0, 1), where the order is reversed",
            "none: the figure shows no such case",
            ErrorPlan(quantity="rel_by_block"),
            tuple(Row(label, "", spec) for label, _, spec in _SPECS),
        ),
    ),
    (_ORDER, _SIZE),
)
