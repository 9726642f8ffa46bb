"""How fast this machine is just now, so that what is asked of code does not depend on where it runs."""

from __future__ import annotations

import hashlib
import json
import statistics
import time

REFERENCE_SECONDS = 1e-5
"""What a piece of work is taken to have needed when the bars were set.

It was not measured then. It follows from one commit, of which a thousand runs made 2,500 durable calls a second then,
and 950 on a day on which a piece of work needed 2.0e-5 to 2.5e-5 seconds.
"""
PIECES = 2_000


def slowness(pieces: int = PIECES, rounds: int = 9) -> float:
    """Return how many times longer this machine takes just now for the same work than when the bars were set.

    By the clock of this thread, so that what else is running hardly counts. Shared machines change their speed
    within seconds: measure beside what is judged.
    """
    return statistics.median(_seconds(pieces) for _ in range(rounds)) / (pieces * REFERENCE_SECONDS)


def _seconds(pieces: int) -> float:
    """Do what any harness does all day: build small objects, write them as JSON, hash and read them again."""
    began = time.thread_time()
    digest = hashlib.sha256()
    for number in range(pieces):
        parts = [{"kind": "text", "text": f"{number} of {index}"} for index in range(4)]
        text = json.dumps({"role": "tool", "parts": parts, "at": number * 0.5})
        digest.update(text.encode())
        assert json.loads(text)["parts"][-1]["text"].endswith("3")
    return time.thread_time() - began
