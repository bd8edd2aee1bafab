"""Why a kernel's output differs: hypotheses tried against the data, each a small function that predicts the output."""
