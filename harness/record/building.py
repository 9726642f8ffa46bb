"""Building the record of one agent run, from events or from whole requests.

Our journal says what entered a window and what left it. Foreign traces hold the whole list of messages
of every request (or nothing); `AgentBuilder.request` finds out what is new in it and what is gone by
comparing hashes from both ends. What a request repeats of the one before is passed over at its beginning, so the
cost of a request is what is new in it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b

from harness.context.counting import message_tokens
from harness.messages import (
    Message,
    Reasoning,
    Text,
    ToolCall,
    ToolDefinition,
    ToolResult,
    canonical_arguments,
)
from harness.models.tokens import estimate
from harness.record.run import AgentRecord, Call, Entry, Kind, Piece, Turn, part_text

CHANGED = "the request no longer held it"
"""Why an entry of a foreign run is gone: its trace does not say more."""


class AgentBuilder:
    """Grows one `AgentRecord`, turn by turn.

    Args:
        record: The agent run; its entries and turns are appended to.
        count: Counts the tokens of a text; the estimate where none is given.
    """

    def __init__(self, record: AgentRecord, *, count: Callable[[str], int] = estimate) -> None:
        self.record = record
        self._count = count
        self._held: list[Entry] = []
        """What the next request will hold, in order."""
        self._digests: list[bytes] = []
        """Of `_held`; kept only where whole requests are compared."""
        self._told: Sequence[Message] = ()
        """The messages of the last request that was told whole; `_held` begins with their entries."""
        self._new: list[Entry] = []
        self._gone: list[Entry] = []

    # --- a window that is told entry by entry ---

    def append(
        self,
        origin: str,
        message: Message,
        *,
        tokens: int | None = None,
        pieces: tuple[Piece, ...] | None = None,
    ) -> Entry:
        """Add an entry at the end of the window."""
        entry = self._entry(origin, message, tokens, pieces)
        self._held.append(entry)
        self._new.append(entry)
        return entry

    def replace(
        self, old: Entry, message: Message | None, *, tokens: int, reason: str, origin: str = ""
    ) -> Entry | None:
        """Put another message in the place of an entry and return its entry, or take it out of the window.

        Args:
            origin: The origin from now on; that of the old entry if empty.
        """
        old.gone = reason or CHANGED
        if old.first:
            self._gone.append(old)
        else:
            self._new.remove(old)
        position = bisect_left(self._held, old.place, key=lambda entry: entry.place)
        del self._digests[position:]
        self._told = self._told[:position]
        if message is None:
            del self._held[position]
            return None
        entry = self._entry(origin or old.origin, message, tokens, None)
        entry.place, entry.turn, entry.call = old.place, old.turn, old.call
        old.replaced_by = entry
        self._held[position] = entry
        self._new.append(entry)
        return entry

    # --- a window that is told whole, request by request ---

    def request(
        self,
        messages: Sequence[Message],
        origin: Callable[[Message], str],
        *,
        hashed: Callable[[Message], bytes],
    ) -> None:
        """Make the window hold exactly `messages`.

        What an earlier reply already put into the window (see `reply`) is found again by its hash.

        Args:
            origin: Asked, in order, for the origin of each message from the first that did not stand at its
                place in the last request.
            hashed: Returns the `digest` of a message, which it may know already.
        """
        same = _common(self._told, messages)
        origins = [origin(message) for message in messages[same:]]
        self._digests += [hashed(entry.message) for entry in self._held[len(self._digests) :]]
        digests = [*self._digests[:same], *(hashed(message) for message in messages[same:])]
        start = same + _common(self._digests[same:], digests[same:])
        end = _common(self._digests[start:][::-1], digests[start:][::-1])
        again: dict[bytes, list[Entry]] = {}
        for position in range(start, len(self._held) - end):
            again.setdefault(self._digests[position], []).append(self._held[position])
        middle: list[Entry] = []
        for position in range(start, len(messages) - end):
            known = again.get(digests[position])
            if known:
                middle.append(known.pop(0))
            else:
                entry = self._entry(origins[position - same], messages[position], None, None)
                self._new.append(entry)
                middle.append(entry)
        self._leave(entry for left in again.values() for entry in left)
        self._held[start : len(self._held) - end] = middle
        self._digests, self._told = digests, messages
        if end:
            _place_between(middle, self._held, start)

    def _leave(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            entry.gone = CHANGED
            if entry in self._new:
                self._new.remove(entry)
            else:
                self._gone.append(entry)

    # --- turns ---

    def begin_turn(self, turn: Turn) -> Turn:
        """Send what the window holds: number the turn and note who was in its request."""
        turn.number = len(self.record.turns) + 1
        turn.agent = self.record.path
        turn.entries = len(self._held)
        turn.new, turn.gone = self._new, self._gone
        for entry in self._new:
            entry.first = turn.number
        for entry in self._gone:
            entry.last = turn.number - 1
        self._new, self._gone = [], []
        self.record.turns.append(turn)
        return turn

    def reply(self, message: Message, *, origin: str = "assistant") -> Entry:
        """Add the reply of the newest turn to the window."""
        entry = self.append(origin, message)
        self.answers(entry)
        return entry

    def answers(self, entry: Entry) -> None:
        """Say that an entry is the newest turn's reply."""
        if self.record.turns:
            turn = self.record.turns[-1]
            turn.reply = entry
            entry.turn = turn.number

    def finish(self) -> AgentRecord:
        """Close the window after the last turn and return the agent run."""
        last = len(self.record.turns)
        for entry in (*self._held, *self._gone):
            if entry.first:
                entry.last = last
        return self.record

    def _entry(
        self, origin: str, message: Message, tokens: int | None, pieces: tuple[Piece, ...] | None
    ) -> Entry:
        number = len(self.record.entries)
        counted = message_tokens(message, self._count, sends_reasoning=True) if tokens is None else tokens
        parts = pieces_of(origin, message) if pieces is None else pieces
        entry = Entry(self.record.path, number, origin, message, counted, parts, place=number)
        self.record.entries.append(entry)
        return entry


def place_calls(agent: AgentRecord) -> None:
    """Tie the results in an agent's window to its calls, by call id and by the nearest turn before."""
    open_calls: dict[str, list[Call]] = {}
    results = {id(entry): entry for entry in agent.entries if entry.origin.startswith(("tool:", "report:"))}
    for turn in agent.turns:
        for entry in turn.new:
            if id(entry) in results and not entry.call:
                _tie(entry, open_calls)
        for call in turn.calls:
            open_calls.setdefault(call.id, []).append(call)
    for entry in agent.entries:
        if not entry.first and id(entry) in results and not entry.call:
            _tie(entry, open_calls)


def _tie(entry: Entry, open_calls: dict[str, list[Call]]) -> None:
    for part in entry.message.parts:
        if isinstance(part, ToolResult):
            waiting = open_calls.get(part.call_id)
            if waiting:
                call = waiting.pop(0)
                entry.call, entry.turn = call.key, call.turn
                call.entry = entry
                if call.result is None:
                    call.result, call.is_error = part.text, call.is_error or part.is_error
                return


def digest(message: Message) -> bytes:
    """Return a hash by which a message is known again in a later request.

    Thinking is left out, since it is often not sent back; white space around texts and the way arguments
    are spaced do not count.
    """
    mark = blake2b(message.role.encode(), digest_size=12)
    for part in message.parts:
        if isinstance(part, ToolCall):
            text = f"{part.kind}\0{part.name}\0{canonical_arguments(part.arguments)}"
        elif isinstance(part, ToolResult):
            text = f"{part.kind}\0{part.call_id}\0{part.text.strip()}"
        elif isinstance(part, Text):
            text = f"{part.kind}\0{part.text.strip()}"
        elif isinstance(part, Reasoning):
            continue
        else:
            text = f"{part.kind}\0{part.data}"
        mark.update(text.encode("utf-8", "replace"))
    return mark.digest()


def pieces_of(origin: str, message: Message, *, sends_reasoning: bool = True) -> tuple[Piece, ...]:
    """Return the pieces of an entry: one, but for replies, which hold thinking, text and calls.

    Args:
        sends_reasoning: Whether requests hold the thinking; where they do not, it weighs nothing.
    """
    if origin == "assistant" and message.parts:
        return tuple([_reply_piece(part, sends_reasoning) for part in message.parts])
    kind, label = kind_of(origin)
    return (Piece(kind, label, sum(len(part_text(part)) for part in message.parts)),)


def kind_of(origin: str) -> tuple[Kind, str]:
    """Return the kind and the label that an entry's origin stands for."""
    word, _, label = origin.partition(":")
    if word == "tool":
        return "result", label
    if word == "report":
        return "report", label
    if word == "assistant":
        return "text", ""
    known: dict[str, Kind] = {
        "system": "system",
        "session": "session",
        "task": "task",
        "brief": "brief",
        "summary": "summary",
        "nudge": "nudge",
    }
    return known.get(word, "user"), ""


def definition_tokens(definition: ToolDefinition, count: Callable[[str], int]) -> int:
    """Return our count of the tokens a tool's definition takes in every request."""
    return count(definition.encoded.decode())


def _reply_piece(part: object, sends_reasoning: bool) -> Piece:
    if isinstance(part, Reasoning):
        return Piece("thinking", "", len(part.payload or part.text) if sends_reasoning else 0)
    if isinstance(part, ToolCall):
        return Piece("call", part.name, len(part.name) + len(part.arguments))
    return Piece("text", "", len(part_text(part)))


def _common(left: Sequence[object], right: Sequence[object]) -> int:
    """Return how many items two lists have in common at their beginning."""
    length = 0
    for one, other in zip(left, right, strict=False):
        if one is not other and one != other:
            break
        length += 1
    return length


def _place_between(middle: Sequence[Entry], held: Sequence[Entry], start: int) -> None:
    """Give what came into the middle of a window a place between what stands around it."""
    after = start + len(middle)
    low = held[start - 1].place if start else -1.0
    high = held[after].place
    for step, entry in enumerate(middle, 1):
        entry.place = low + (high - low) * step / (len(middle) + 1)
