"""Sessions: a user's thread of runs, each of which begins with what those before it came to."""

from __future__ import annotations

from collections.abc import Callable

import orjson

from harness.journal import Journal, RunSummary
from harness.messages import EARLIER, Message, assistant, user

CARRIED_TOKENS = 4000
"""About how many tokens of earlier tasks and answers a run begins with, the newest first."""


def carried_context(journal: Journal, session: str, *, count: Callable[[str], int]) -> tuple[Message, ...]:
    """Return earlier tasks of the session with their answers, the oldest first.

    Only runs that are done count; an exchange is carried whole or not at all.
    """
    exchanges: list[tuple[Message, Message]] = []
    room = CARRIED_TOKENS
    for summary in journal.runs():
        if summary.started.session != session:
            continue
        answer = _answer(summary)
        task = summary.started.task.text
        room -= count(task) + count(answer)
        if room < 0:
            break
        if answer:
            exchanges.append((user(f"{EARLIER} {task}"), assistant(answer)))
    return tuple(message for exchange in reversed(exchanges) for message in exchange)


def _answer(summary: RunSummary) -> str:
    finished = summary.finished
    if finished is None or finished.stop_reason != "done":
        return ""
    return finished.output if isinstance(finished.output, str) else orjson.dumps(finished.output).decode()
