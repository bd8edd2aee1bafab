"""Golden packs: inputs that find bugs and the bits that a correct kernel makes of them, as plain files or a stream."""
