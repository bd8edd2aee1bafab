"""Quantization of what lies on a GPU; imported only when something does."""
