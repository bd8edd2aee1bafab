"""Quantized checkpoints of other tools: what layout they have, what their tensors mean, and their values."""
