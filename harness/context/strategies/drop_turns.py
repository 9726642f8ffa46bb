"""Drop the oldest turns as wholes; a note says what was done in them and how to read them again.

A reply leaves together with its thinking, its calls and their results, so that what stays is what a
provider would accept: no call without its result, no thinking without its turn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from harness.context.draft import Draft, Turn
from harness.context.identifiers import listed
from harness.context.placeholders import named, read_again
from harness.context.window import Entry
from harness.messages import Message, user

NAME = "drop_turns"

_SAYINGS = 6
_SAYING_CHARACTERS = 160
_NAMES = 40
_NAMES_CHARACTERS = 800


def apply(draft: Draft, *, agent: str, keep: int) -> None:
    """Drop turns, the oldest first, until it is enough; the newest `keep` stay, beside the turn under way.

    Args:
        agent: Path of the agent run, for handles.
    """
    turns = draft.turns()
    excess = draft.tokens - draft.goal
    if excess <= 0:
        return
    excess += _NAMES_CHARACTERS // 2
    gone: list[Turn] = []
    for turn in turns[: max(0, len(turns) - keep)]:
        if excess <= 0:
            break
        gone.append(turn)
        excess -= sum(entry.tokens for entry in turn.entries)
    if any(turn.entries[0].origin == "assistant" for turn in gone):
        draft.fold(gone, note(draft, gone, agent=agent), NAME)


def note(draft: Draft, gone: Sequence[Turn], *, agent: str) -> Message:
    """Return what stands in the place of turns that were dropped."""
    done, said = _what_was_done(draft, gone), _what_was_said(gone)
    return user(f"[{_which(gone, agent)}{done}{said}{kept_names(draft, gone)}]")


def _which(gone: Sequence[Turn], agent: str) -> str:
    how = read_again(f"turn:{agent}/turn-N")
    return f"{span(gone)} of your work left this window to make room; {how} reads one of them again."


def span(gone: Sequence[Turn]) -> str:
    """Return which turns these are, in words."""
    first, last = gone[0].number, gone[-1].number
    return f"Turn {first}" if first == last else f"Turns {first} to {last}"


def kept_names(draft: Draft, gone: Sequence[Turn], text: str = "") -> str:
    """Return the sentence with what only these turns named and `text` does not."""
    names = (name for name in draft.only_in(_entries(gone)) if name not in text)
    return named(listed(names, most=_NAMES, longest=_NAMES_CHARACTERS), what="They")


def _what_was_done(draft: Draft, gone: Sequence[Turn]) -> str:
    calls = Counter(draft.left)
    calls.update(call.name for entry in _entries(gone) for call in entry.message.tool_calls)
    done = ", ".join(f"{name} ×{times}" for name, times in sorted(calls.items()))
    return f" Called in all turns that left: {done}." if calls else ""


def _what_was_said(gone: Sequence[Turn]) -> str:
    sayings = [
        " ".join(entry.message.text.split())[:_SAYING_CHARACTERS]
        for entry in _entries(gone)
        if entry.origin == "assistant" and entry.message.text.strip()
    ]
    return "".join(f"\n- You said: {saying}" for saying in sayings[-_SAYINGS:])


def _entries(gone: Sequence[Turn]) -> list[Entry]:
    return [entry for turn in gone for entry in turn.entries]
