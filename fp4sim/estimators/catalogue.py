"""Every estimator that fp4sim computes, for people: steps, rules of the scale, and recipes made of them.

A module that implements an estimator holds its :class:`~fp4sim.estimators.base.Info`; what is part of the plain pipeline,
and what a publication composes of steps, is described here.
"""

from __future__ import annotations

from typing import Literal

from fp4sim.estimators import dge, eden, four_over_six, if4, minmse, mxplus, occ, pma, quest
from fp4sim.estimators.base import Info

Kind = Literal["step", "format", "recipe"]

RTN = Info(
    "rtn",
    "Deterministic rounding",
    "biased",
    "The default. Each element goes to the nearest value of the format, ties to the even code (+rn); +rna ties away from"
    " zero, +rnz ties toward zero, +rz toward zero, +ru toward +Inf, +rd toward −Inf. The error is a function of x: no"
    " averaging removes it.",
    "OCP Microscaling Formats v1.0 §5.3 and §6.3; ties of the conversion instructions: PTX ISA 9.0 §5.2.3",
    "nvfp4",
)
SR = Info(
    "sr",
    "Stochastic rounding",
    "unbiased",
    "Of the two neighbours lo <= |x| <= hi, hi with probability (|x| − lo) / (hi − lo), decided by :bits random bits. amax"
    " is mapped low enough that the scale rule cannot clip (16/17 of 6 under E4M3, 3/4 under floor); :clip leaves that"
    " out, and what clips is biased. Under subnormal scales, which round by more than that, elements still clip; blocks"
    " whose scale rounds to zero are lost. Few :bits shrink values: by 2^-bits of a gap at most.",
    "arXiv 2509.25149 §4 (on gradients); arXiv 2601.22813 §3 (16/17); arXiv 2502.20586 §4 (3/4)",
    "nvfp4+sr",
)
H = Info(
    "h",
    "Hadamard rotation",
    "as its parts",
    "Groups of :size columns are multiplied by the orthonormal Sylvester matrix before quantization. Both operands of a"
    " GEMM rotate and it cancels; dequantizing undoes it.",
    "arXiv 2505.14669 §4.2 (forward pass, size 32)",
    "mxfp4+h:32",
)
RHT = Info(
    "rht",
    "Random Hadamard rotation",
    "as its parts",
    "x ⊙ s, then the orthonormal Sylvester matrix on groups of :size columns, s of random signs by seed and draw; :te is"
    " Transformer Engine's fixed sign vector of 16, with the result stored in bfloat16.",
    "arXiv 2509.25149 §4, App. C; arXiv 2502.20586 §4; Transformer Engine d0067d0, hadamard_transform",
    "nvfp4+rht:16:te",
)
MAX = Info(
    "max",
    "Aim of the block scale",
    "as its parts",
    "Block scales map amax to :value instead of the element's maximum: 4 uses less of the range, 4.5 under floor is the"
    " 3/4 that keeps every element below 6, above 6 the largest elements clip.",
    "arXiv 2512.02010 (static 4); arXiv 2502.20586 §4 (3/4)",
    "nvfp4+max:4",
)
OAS = Info(
    "oas",
    "Overflow-aware scaling",
    "biased",
    "A rule of power-of-two scales, @oas: the smallest power of two that saturates nothing, halved where the scaled amax"
    " is below 3.5. These are the exponents of @even, which is how the spec is written back.",
    "arXiv 2603.08713; equal exponents: fp4sim's own, by exhaustion of significands",
    "mxfp4@oas",
)
NVINT4 = Info(
    "nvint4",
    "NVINT4",
    "biased",
    "NVFP4's scales with symmetric integers from −7 to 7 as elements.",
    "arXiv 2510.25602",
    "nvint4",
)

RECIPES: tuple[Info, ...] = (
    Info(
        "nvidia-weights",
        "NVIDIA: weights in 2D blocks",
        "biased",
        "Weights of the NVFP4 pretraining recipe: one scale a 16×16 tile, so that the forward and the transposed use"
        " quantize alike.",
        "arXiv 2509.25149 §4, App. B",
        "nvfp4/16x16",
    ),
    Info(
        "nvidia-wgrad",
        "NVIDIA: gradients of the weight GEMM",
        "biased",
        "Output gradients of the weight-gradient GEMM: rotated by 16 with a fixed sign vector, rounded stochastically"
        " without range matching. E4M3 scales round to nearest, so half of the blocks clip their largest element.",
        "arXiv 2509.25149 §4, App. B–C; Transformer Engine d0067d0",
        "nvfp4+rht:16:te+sr:clip",
    ),
    Info(
        "microsoft",
        "Microsoft FP4: vector-wise scales",
        "biased",
        "One exact scale 6 / amax a token of the activations or an output channel of the weights, elements to nearest;"
        " +occ clamps the activations' outliers, +dge is the weights' gradient.",
        "arXiv 2501.17116 §3",
        "e2m1/row@fp32",
    ),
    Info(
        "microsoft-code",
        "Microsoft FP4, as released",
        "biased",
        "The released code rounds the scale of a vector to a power of two, so that amax lands in (3, 6].",
        "MS-AMP 9746ea8 (PR #203)",
        "e2m1/row@e8m0@rceil",
    ),
    Info(
        "tseng",
        "MXFP4 backward, unbiased",
        "unbiased",
        "Both operands of a backward GEMM: random Hadamard over 64, floor's scale, x times 3/4, stochastic rounding. Here"
        " the 4/3 is undone by the tensor scale, where the paper multiplies the GEMM by 16/9.",
        "arXiv 2502.20586 §4",
        "mxfp4+rht:64+sr",
    ),
    Info(
        "tetrajet",
        "TetraJet: truncation-free scales",
        "unbiased",
        "Backward operands in MXFP4 with the scale 2^ceil(log2(amax / 6)), which saturates nothing, and stochastic"
        " rounding. The forward pass is the same without +sr.",
        "arXiv 2502.20853",
        "mxfp4@rceil+sr",
    ),
    Info(
        "tetrajet-v2",
        "TetraJet-v2: double-block NVFP4",
        "biased",
        "NVFP4 with a float32 scale per 128 elements in place of the tensor's; the forward pass, elements to nearest.",
        "arXiv 2510.27527",
        "nvfp4@ts:128",
    ),
    Info(
        "quartet-backward",
        "Quartet: backward operands",
        "biased",
        "Random Hadamard over 32, floor's scale with amax in [3, 6), elements to nearest (stochastic up to v3 of the"
        " paper: +sr in place of +max:4.5).",
        "arXiv 2505.14669 v4 Algorithm 1",
        "mxfp4+rht:32+max:4.5",
    ),
    Info(
        "mr-gptq",
        "MR-GPTQ: MXFP4 with a factor of 4/3",
        "biased",
        "Floor's scale times 4/3: amax lands in [3, 6) and nothing saturates, elements to nearest.",
        "IST-DASLab/FP-Quant, MXFP4 scales",
        "mxfp4+max:4.5",
    ),
)

STEPS: tuple[Info, ...] = (
    *(RTN, SR, H, RHT, MAX),
    minmse.ESTIMATOR.info,
    four_over_six.ESTIMATOR.info,
    quest.ESTIMATOR.info,
    eden.MSEDEN.info,
    eden.EDEN.info,
    pma.ESTIMATOR.info,
    *(occ.INFO, dge.INFO),
)
FORMATS: tuple[Info, ...] = (OAS, NVINT4, if4.ESTIMATOR.info, mxplus.ESTIMATOR.info)

CATALOGUE: tuple[tuple[Kind, Info], ...] = (
    *(("step", info) for info in STEPS),
    *(("format", info) for info in FORMATS),
    *(("recipe", info) for info in RECIPES),
)
