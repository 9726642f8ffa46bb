"""Makes `python -m tests.benchmarks` and `python tests/benchmarks` the same command."""

import runpy
import sys
from pathlib import Path

ROOT = str(Path(__file__).resolve().parents[2])

if __name__ == "__main__":
    if ROOT not in sys.path:
        sys.path.insert(0, ROOT)
    runpy.run_module("tests.benchmarks.command", run_name="__main__")
