"""Events as the rows that databases keep."""

from __future__ import annotations

from collections.abc import Sequence

from harness.events import Recorded
from harness.journal.codec import encode

EventRow = tuple[str, int, float, str, str, bytes]
"""run_id, sequence, at, agent, type, body"""

ContentRow = tuple[str, bytes]
"""hash, body"""


def rows_of(recorded: Sequence[Recorded]) -> tuple[list[EventRow], list[ContentRow], int]:
    """Return events as rows, the content they refer to, and how many bytes all that is.

    Raises:
        TypeError: An event holds something that has no JSON form.
    """
    events: list[EventRow] = []
    contents: list[ContentRow] = []
    size = 0
    for item in recorded:
        event = item.event
        body, its_contents = encode(event)
        events.append((item.run_id, item.sequence, item.at, getattr(event, "agent", ""), event.type, body))
        size += len(body)
        for content in its_contents:
            contents.append(content)
            size += len(content[1])
    return events, contents, size


def first_rows(events: Sequence[EventRow]) -> dict[str, EventRow]:
    """Return the first row of each run, by run."""
    firsts: dict[str, EventRow] = {}
    for row in events:
        firsts.setdefault(row[0], row)
    return firsts
