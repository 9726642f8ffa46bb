"""Which tool span carried out which call of a model.

By call id where there is one, else by name and arguments, else by name, always for the turn before. A
tool span that no reply asks for (a trace without content) is a call of the turn before it; a call without a
span is known from the reply alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable

from harness.foreign.agents import Acting
from harness.foreign.own import own_effect, own_key
from harness.foreign.seen import Seen
from harness.messages import ToolCall, canonical_arguments
from harness.record import AgentRecord, Call, Turn


class Calls:
    """All tool calls of a run, as they are found."""

    def __init__(self, agents: Iterable[Acting]) -> None:
        self.by_span: dict[str, Call] = {}
        self._spans: dict[str, Seen] = {}
        """Tool spans by key of the call they carried out."""
        self._children: dict[str, dict[_Key, list[Acting]]] = {}
        """Agent runs that a call asked for, by the path of who called and by what the call is known by."""
        for acting in agents:
            if acting.asked_by is not None and acting.parent is not None:
                span = acting.asked_by
                children = self._children.setdefault(acting.parent.path, defaultdict(list))
                for known_by in _KNOWN_BY:
                    children[known_by(span.call_id, span.tool, span.arguments)].append(acting)

    def child(self, acting: Acting, call: ToolCall) -> Acting | None:
        """Return the agent run that worked for a call: by its id, by what was asked, or the only one of its tool."""
        children = self._children.get(acting.path)
        if children is None:
            return None
        by_id, by_arguments, by_name = (
            children.get(known_by(call.id, call.name, call.arguments), []) for known_by in _KNOWN_BY
        )
        if call.id and by_id:
            return by_id[0]
        for those in (by_arguments, by_name):
            found = [one for one in those if not _has_id(one)]
            if len(found) == 1 or (found and those is by_arguments):
                return found[0]
        return None

    def place(self, acting: Acting, record: AgentRecord) -> None:
        """Give every turn of an agent run its calls."""
        wanted: list[tuple[Turn, ToolCall]] = [
            (turn, call)
            for turn in record.turns
            if turn.reply is not None
            for call in turn.reply.message.tool_calls
        ]
        found = _Matching(wanted, acting.tools)
        for place, (turn, call) in enumerate(wanted):
            self._add(turn, call, found.span_of.get(place))
        position = 0
        for span in found.left:
            while position + 1 < len(record.turns) and _began(record.turns[position + 1], span):
                position += 1
            if record.turns:
                call = ToolCall(span.call_id, span.tool, span.arguments or "")
                self._add(record.turns[position], call, span)

    def complete(self, call: Call) -> None:
        """Add what only the span of a call says, once its result in the window is known."""
        span = self._spans.get(call.key)
        if span is None:
            return
        if span.failed or span.error_type:
            call.is_error, call.error_type = True, span.error_type
        if call.result is None:
            call.result = span.result
        elif span.result is not None and len(span.result) > len(call.result) + 64:
            call.whole = span.result
        if call.result is None and span.error:
            call.result = span.error

    def _add(self, turn: Turn, call: ToolCall, span: Seen | None) -> None:
        index = len(turn.calls)
        key = (own_key(span) if span else "") or f"{turn.agent}/turn-{turn.number}/{index}"
        if key in self._spans:
            key = f"{turn.agent}/turn-{turn.number}/{index}"
        made = Call(
            key,
            call.id or (span.call_id if span else ""),
            call.name or (span.tool if span else ""),
            call.arguments or "{}",
            turn.agent,
            turn.number,
            index,
        )
        if span is not None:
            made.started, made.ended, made.span = span.start, span.end, span.id
            made.effect = own_effect(span)
            if span.own is not None and span.arguments is not None:
                made.arguments = span.arguments
            if span.is_mcp and span.own is None and "." not in made.tool and "." in span.tool:
                made.tool = span.tool
            self.by_span[span.id] = made
            self._spans[key] = span
        turn.calls.append(made)


class _Matching:
    """Spans by place among the calls that replies ask for."""

    def __init__(self, wanted: list[tuple[Turn, ToolCall]], tools: list[Seen]) -> None:
        self.span_of: dict[int, Seen] = {}
        self.left: list[Seen] = tools
        for known_by in _KNOWN_BY:
            if self.left:
                self._match(wanted, known_by)

    def _match(self, wanted: list[tuple[Turn, ToolCall]], known_by: Callable[..., _Key]) -> None:
        """Give the spans that are left to the open places of calls that are known by the same."""
        open_places: dict[_Key, list[int]] = defaultdict(list)
        for place, (_, call) in enumerate(wanted):
            if place not in self.span_of:
                open_places[known_by(call.id, call.name, call.arguments)].append(place)
        waiting, self.left = self.left, []
        for span in waiting:
            key = known_by(span.call_id, span.tool, span.arguments)
            place = self._take(open_places.get(key, []), wanted, span) if key[-1] else None
            if place is None:
                self.left.append(span)
            else:
                self.span_of[place] = span

    def _take(self, places: list[int], wanted: list[tuple[Turn, ToolCall]], span: Seen) -> int | None:
        """Take the first open place, or the newest whose turn had ended when the span began."""
        while places and places[0] in self.span_of:
            places.pop(0)
        for place in places:
            if place not in self.span_of:
                turn, call = wanted[place]
                if span.call_id and call.id and span.call_id != call.id:
                    continue
                return place if _began(turn, span) else None
        return None


def _has_id(acting: Acting) -> bool:
    return acting.asked_by is not None and bool(acting.asked_by.call_id)


_Key = tuple[str, ...]


def _by_id(call_id: str, name: str, arguments: str | None) -> _Key:
    return "id", call_id


def _by_arguments(call_id: str, name: str, arguments: str | None) -> _Key:
    return "arguments", _bare(name), canonical_arguments(arguments) if arguments else ""


def _by_name(call_id: str, name: str, arguments: str | None) -> _Key:
    return "name", _bare(name)


_KNOWN_BY = (_by_id, _by_arguments, _by_name)
"""By what a call and its span are known to be the same, the best first."""


def _bare(name: str) -> str:
    return name.rpartition(".")[2]


def _began(turn: Turn, span: Seen) -> bool:
    """Return whether a turn had begun when a span did; unknown times count as in order."""
    return turn.started is None or span.start is None or turn.started <= span.start
