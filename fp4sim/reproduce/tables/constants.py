"""Constants of the papers: Gaussian optima, DGE's derivatives, ratios of noisy quadratic steps."""

from fp4sim.reproduce.model import FactPlan, Row, Section, Table

# The released kernel's unit test (MS-AMP 9746ea8, PR #203): k = 5, cap 3, bf16(linspace(-6, 6, 20)), first half.
_DGE = (0.2002, 0.4375, 0.6055, 0.2168, 1.8359, 0.2695, 0.3027, 0.2695, 0.2402, 0.5781)
_FORMATS = (
    ("E2M1", "2.92247856", ".0126849", "e2m1"),
    ("E1M2, INT4 of ±7", "2.473879", ".0128894", "e1m2"),
    ("E3M0", "4.193620", ".0377450", "e3m0"),
)
_FLAT = (
    "the released constant is not the exact minimum: it lies 3.5e-6 above, where the error is larger by less than 1e-12"
)
_MEANS = (("3", ".778", 3), ("5", ".5935", 5), ("10", ".383", 10))
_CAPPED = (("3", "3.70", 3), ("5", "3.39", 5), ("10", "2.28", 10))
_RATIOS = (("2", "1.333", ".571", 2.0), ("1", ".333", ".25", 1.0), ("0.5", ".083", ".077", 0.5))

TABLE = Table(
    "constants",
    "Constants",
    (
        Section(
            "QuEST's constant: the largest value, in σ, with the least MSE on N(0, 1)",
            "arXiv 2505.14669 §4.2 and its notebook (E2M1); independent computations (the others, MSE)",
            FactPlan(),
            (
                Row("E2M1: value, to 6 decimals", "2.922475", quantity="gaussian_optimum", arguments=("e2m1",)),
                *(
                    Row(f"{n}: value", at, quantity="gaussian_optimum", arguments=(f,), reason=_FLAT)
                    for n, at, _, f in _FORMATS
                ),
                *(Row(f"{n}: MSE", mse, quantity="gaussian_mse", arguments=(f,)) for n, _, mse, f in _FORMATS),
            ),
        ),
        Section(
            "DGE",
            "MS-AMP 9746ea8 (PR #203), unit test; closed forms of arXiv 2501.17116 §3.1",
            FactPlan(),
            (
                Row("k = 5, cap 3: derivatives of 20", "20", quantity="dge_vector", arguments=(_DGE,), exact=True),
                *(Row(f"k = {n}, cap 3: mean", text, quantity="dge_mean", arguments=(k, 3.0)) for n, text, k in _MEANS),
                Row("k = 5, cap 1e9: mean", "1.00", quantity="dge_mean", arguments=(5, 1e9)),
                *(
                    Row(f"k = {n}: at the cap", text, quantity="dge_capped", arguments=(k, 3.0))
                    for n, text, k in _CAPPED
                ),
            ),
        ),
        Section(
            "One step on a quadratic with gradient noise k σ_crit",
            "arXiv 2505.19115 §3 (theory): k²/3, and k²/3/(1 + k²/3) with the best step",
            FactPlan(),
            (
                *(Row(f"k = {n}, step 1/λ", a, quantity="quadratic", arguments=(k, False)) for n, a, _, k in _RATIOS),
                *(Row(f"k = {n}, best step", b, quantity="quadratic", arguments=(k, True)) for n, _, b, k in _RATIOS),
            ),
        ),
        Section(
            "The speed-up that arithmetic allows (not a timing)",
            "arXiv 2501.17116 App. B: h = 4096, s = 2048",
            FactPlan(),
            (Row("ideal", "3.12", quantity="ideal_speedup", arguments=(4096, 2048)),),
        ),
    ),
)
