"""``fp4sim verify``: a kernel's dump against fp4sim's own quantization, and why they differ."""
