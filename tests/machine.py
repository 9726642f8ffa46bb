"""How fast this machine is just now, so that what is asked of code does not depend on where it runs."""

from __future__ import annotations

import hashlib
import json
import time
from functools import cache

REFERENCE_SECONDS = 0.02
"""What `_work` took on the machine on which the bars of the tests were set."""
ROUNDS = 9


@cache
def slowness() -> float:
    """Return how many times longer this machine takes for the same work than the one the bars were set on; at least 1.

    By the clock of this thread, the best of several rounds, so that what else is running hardly counts.
    """
    return max(1.0, min(_seconds() for _ in range(ROUNDS)) / REFERENCE_SECONDS)


def _seconds() -> float:
    began = time.thread_time()
    _work()
    return time.thread_time() - began


def _work() -> None:
    """Do what any harness does all day: build small objects, write them as JSON, hash and read them again."""
    digest = hashlib.sha256()
    for number in range(2_000):
        parts = [{"kind": "text", "text": f"{number} of {index}"} for index in range(4)]
        text = json.dumps({"role": "tool", "parts": parts, "at": number * 0.5})
        digest.update(text.encode())
        assert json.loads(text)["parts"][-1]["text"].endswith("3")
