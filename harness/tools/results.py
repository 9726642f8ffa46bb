"""Large results: the model gets head, tail and a handle; the whole stays where the run can read it."""

from __future__ import annotations

MAX_RESULT_CHARACTERS = 24_000
"""About 6,000 tokens; a result longer than this is shown as head and tail."""

HEAD_SHARE = 0.75


def shorten(text: str, handle: str, *, limit: int = MAX_RESULT_CHARACTERS) -> str | None:
    """Return head, tail and how to read the rest, or None if `text` fits into `limit` characters."""
    if len(text) <= limit:
        return None
    head = int(limit * HEAD_SHARE)
    tail = limit - head
    left_out = len(text) - head - tail
    return (
        f"{text[:head]}\n"
        f"[... {left_out:,} of {len(text):,} characters left out; "
        f'read_result(handle="{handle}", offset={head}) reads on ...]\n'
        f"{text[-tail:]}"
    )


def page(text: str, offset: int, limit: int) -> str:
    """Return `limit` characters of `text` from `offset`, saying how to go on if more follow."""
    end = min(len(text), offset + limit)
    rest = f"\n[... {len(text) - end:,} characters follow; next offset {end} ...]" if end < len(text) else ""
    return text[offset:end] + rest
