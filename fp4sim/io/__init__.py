"""Tensors in and out: readers of files and synthetic names, writers that never leave half a file."""
