"""Data sets: building the embedded sample, and reading what users bring."""
