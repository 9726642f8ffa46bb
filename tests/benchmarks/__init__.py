"""The harness beside a hand-written loop doing the same work: `python -m tests.benchmarks`."""
