"""Runs of other frameworks, read from the traces they export, as the same record ours give."""
