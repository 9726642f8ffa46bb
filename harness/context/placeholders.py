"""What stands in a window where something was taken out: what it was, how to read it again, what it named."""

from __future__ import annotations

from collections.abc import Iterable

from harness.context.identifiers import listed


def read_again(handle: str, offset: int = 0) -> str:
    """Return the call by which the agent reads what a handle stands for."""
    start = f", offset={offset}" if offset else ""
    return f'read_result(handle="{handle}"{start})'


def cleared(text: str, call: str, *, why: str, names: Iterable[str]) -> str:
    """Return what stands for a whole result.

    Args:
        call: The key of the tool call.
        names: Identifiers that stand nowhere else.
    """
    also = named(listed(names, longest=min(240, len(text) // 4)))
    return f"[{why}; {read_again(f'result:{call}')} reads its {len(text):,} characters again.{also}]"


def beginning(text: str, call: str, length: int, *, names: Iterable[str] = ()) -> str:
    """Return the first `length` characters of a result, and how to read on."""
    head = text[:length]
    also = named(listed(name for name in names if name not in head))
    how = read_again(f"result:{call}", length)
    return f"{head}\n[... {len(text) - length:,} of {len(text):,} characters left out; {how} reads on.{also}]"


def named(names: list[str], *, what: str = "It") -> str:
    """Return the sentence that keeps identifiers; nothing if there are none."""
    return f" {what} named: {', '.join(names)}" if names else ""
