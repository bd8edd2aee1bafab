"""What the papers publish beyond, and why it is not reproduced."""

from fp4sim.reproduce.model import NoPlan, Row, Section, Table

_TRAINING = "needs their models, C4 or their data, and thousands of GPU hours"
_KERNELS = "a timing of GPU kernels on their hardware: fp4sim computes values, not speed"
_FIT = "a fit to losses of their training runs, which are not here"
_EVAL = "needs their trained checkpoints"


def _rows(*pairs: tuple[str, str]) -> tuple[Row, ...]:
    return tuple(Row(label, reason=reason) for label, reason in pairs)


TABLE = Table(
    "not-reproduced",
    "What is published and not reproduced",
    (
        Section(
            "Quartet",
            "arXiv 2505.14669",
            NoPlan(),
            _rows(
                ("Table 2, efficiencies effN and effD", _FIT),
                ("Table 3, C4 losses of LUQ, Jetfire, HALO, LSS, Quartet", _TRAINING),
                ("Table 6 and figures: scaling law and its constants", _FIT),
                ("speed-ups on RTX 5090, prefill", _KERNELS),
                ("perplexity of a 7B model after quantization", _EVAL),
                ("alignment of layer gradients in a 30M model", _TRAINING),
            ),
        ),
        Section(
            "Quartet II",
            "arXiv 2601.22813",
            NoPlan(),
            _rows(
                ("loss gaps of forward, backward and full recipes", _TRAINING),
                (
                    "concentration of gradients of Llama-3.2-1B, 112 projections",
                    "needs the model's weights; fp4sim bias does the same on tensors given",
                ),
                ("gradients of Quartet_II_Linear, bits of averages", "a layer's backward pass with their CUDA kernels"),
                ("Table 5, nanochat: bits per byte, CORE, ChatCORE", _TRAINING),
                ("speed-ups and time splits on RTX 5090 and B200", _KERNELS),
            ),
        ),
        Section(
            "FP4 training",
            "arXiv 2501.17116",
            NoPlan(),
            _rows(
                (
                    "Table 1 on LLaMA's activations",
                    "needs a 1.3B model after 30k steps; table microsoft has its shape on synthetic data",
                ),
                ("Tables 2 and 3: zero-shot accuracy, perplexity; training losses", _TRAINING),
                ("ablations of DGE and OCC by loss", _TRAINING),
                (
                    "speed-up with overheads, 2.95",
                    "the printed formula gives 3.03: the two do not agree with each other",
                ),
            ),
        ),
        Section(
            "Other recipes",
            "arXiv 2509.25149, 2505.19115, 2502.20586, 2502.20853, 2510.27527, 2512.02010, 2510.25602",
            NoPlan(),
            _rows(
                ("NVFP4 pretraining: losses, MMLU-pro, MXFP4 against NVFP4", _TRAINING),
                ("FP4 All the Way: losses of scale encodings and block sizes, 7B run", _TRAINING),
                ("MXFP4 training: losses, over 1.3× over FP8", _TRAINING),
                ("TetraJet, TetraJet-v2: accuracies, gap −51.3 %, oscillation", _TRAINING),
                ("Four Over Six: Nemotron-3-Nano loss, WikiText perplexities", _EVAL),
                (
                    "INT against FP: average QSNR on Llama-8B tensors",
                    "needs their tensors; fp4sim compare measures SNR on tensors given",
                ),
            ),
        ),
    ),
)
