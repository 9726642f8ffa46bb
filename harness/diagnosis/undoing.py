"""What requests would have been without what a finding is about.

A finding that names entries is undone by leaving them out from the request on in which they were a waste; one
about the order of calls by making them in the other order, together, or not at all. Sizes are those of the
ledger, so what is left out weighs what the provider counted for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness.diagnosis.case import Case
from harness.diagnosis.findings import Finding
from harness.messages import (
    Message,
    Reasoning,
    Text,
    ToolCall,
    ToolDefinition,
    ToolResult,
    canonical_arguments,
)
from harness.record import AgentRecord, Call, Entry, Turn

LEFT_OUT = "[left out]"
"""Stands where a result stood: a call without one is refused by model APIs."""

TokensOf = Callable[[Message], int]


@dataclass(frozen=True, slots=True)
class Put:
    """What stands in the place of an entry."""

    message: Message | None
    """None if nothing does."""
    size: int
    since: int
    """The first request that holds it so."""


@dataclass(frozen=True, slots=True)
class Less:
    """What a request would have been smaller by; below 0 if it would have been larger."""

    tokens: int
    cached: int
    """How many of them the provider read from its cache."""


@dataclass(frozen=True)
class Change:
    """What undoes a finding."""

    what: str
    """In words."""
    agent: AgentRecord
    turn: int
    """The request that shows it best: the first that it changes, or the one that led to the wrong action."""
    put: Mapping[Entry, Put] = field(default_factory=dict[Entry, Put])
    added: tuple[Message, ...] = ()
    """What stands at the end of requests from `turn` on, until it came by itself."""
    added_size: int = 0
    added_until: int = 0
    """The first request that held it as recorded."""
    without: frozenset[str] = frozenset()
    """Tools that are not offered."""
    unasked: tuple[Turn, ...] = ()
    """Requests that would not have been made, of this agent run and of others."""
    placeholders: int = 0
    """Token-turns of what stands in the place of entries that were left out."""

    @property
    def messages(self) -> list[Message]:
        """What the request would have held."""
        shown: list[Message | None] = []
        for entry in self.agent.window(self.turn):
            put = self.put.get(entry)
            shown.append(put.message if put and put.since <= self.turn else entry.message)
        return [*(message for message in shown if message is not None), *self.added]

    @property
    def tools(self) -> list[ToolDefinition]:
        """The tools it would have offered."""
        return [tool for tool in self.agent.tools or () if tool.name not in self.without]

    def less(self, turn: Turn) -> Less:
        """Return what a request of the agent run would have been smaller by."""
        cached, number = turn.cached or 0, turn.number
        tokens = sum(self.agent.tool_sizes.get(name, 0) for name in self.without)
        from_cache = min(cached, tokens)
        held = {
            entry: entry.size - put.size
            for entry, put in self.put.items()
            if max(entry.first, put.since) <= number <= entry.last
        }
        front = sum(self.agent.tool_sizes.values())
        for entry in self.agent.window(number) if held and cached else held:
            less = held.get(entry, 0)
            tokens += less
            from_cache += min(max(0, less), max(0, cached - front))
            front += entry.size
        if self.turn <= number < self.added_until:
            tokens -= self.added_size
        return Less(tokens, from_cache)


def undo(case: Case, finding: Finding, tokens_of: TokensOf) -> Change | str:
    """Return what undoes a finding, or why nothing does.

    Args:
        tokens_of: Counts a message as the model of the agent run holds it.
    """
    undoing = _Undoing(case, finding, case.record.agents[finding.where.agent], tokens_of)
    if finding.detector in _NOTHING:
        return _NOTHING[finding.detector]
    how = _HOW.get(finding.detector)
    if how is not None:
        return how(undoing)
    return undoing.without_entries() if finding.where.entries else "it names no entry and no order of calls"


_NOTHING = {
    "prefix-break": "it is about where a window was changed, not about an entry that could be left out",
    "window-pressure": "it is about the size of whole requests, not about one entry",
    "resend-factor": "it is about the whole run, not about one entry",
    "lost-identifier": "what was needed had left the window before; there is nothing to leave out",
    "unsupported-argument": "nothing in the run brought the value, so no other order of its calls would have",
    "unverified-edit": "nothing was verified after the edits, so there is no order to change",
}


@dataclass(frozen=True, slots=True)
class _Undoing:
    case: Case
    finding: Finding
    agent: AgentRecord
    tokens_of: TokensOf

    # --- entries ---

    def without_entries(self) -> Change | str:
        """Leave out what the finding names."""
        known = {entry.id: entry for entry in self.agent.entries}
        priced = self.finding.price.entries or ((self.finding.where.entries[0], 0),)
        put: dict[Entry, Put] = {}
        for name, since in priced:
            entry = known[name]
            message = _left_out(entry.message)
            if message != entry.message and entry.last >= max(entry.first, since) > 0:
                put[entry] = Put(message, self._resized(entry, message), max(entry.first, since))
        if not put:
            return "no request could do without it: none held it, or it stands in the arguments of a call"
        origins = ", ".join(dict.fromkeys(entry.origin for entry in put))
        left = sum(one.size * (entry.last - one.since + 1) for entry, one in put.items())
        return replace(self._shown(f"{len(put)} × {origins} left out", put), placeholders=left)

    def without_thinking(self) -> Change | str:
        """Leave out the thinking of replies, a whole block each, once they are sent again."""
        put: dict[Entry, Put] = {}
        for line in self.case.ledger.lines[self.agent.path]:
            entry = line.entry
            if line.kind == "thinking" and entry.id in self.finding.where.entries:
                parts = tuple(part for part in entry.message.parts if not isinstance(part, Reasoning))
                message = replace(entry.message, parts=parts) if parts else None
                size = put[entry].size if entry in put else entry.size
                put[entry] = Put(message, size - line.size, entry.first + 1)
        return self._shown(f"the thinking of {len(put)} turns left out", put)

    def without_tools(self) -> Change:
        """Offer only what was called, of the tools of servers."""
        lines = self.case.ledger.definitions[self.agent.path]
        unused = frozenset(line.tool for line in lines if not line.calls and line.server)
        return Change(
            f"{len(unused)} tools that were never called not offered", self.agent, 1, without=unused
        )

    def _shown(self, what: str, put: Mapping[Entry, Put]) -> Change:
        """Return the change at the turn that the finding names, if that request held what is left out."""
        named = [turn for turn in self.finding.where.turns if any(_held(put, turn))]
        return Change(what, self.agent, min(named or (one.since for one in put.values())), put)

    # --- calls ---

    def calls_once(self) -> Change | str:
        """Make no call again that had been made."""
        seen: set[tuple[str, str, str]] = set()
        again: list[Call] = []
        for call in self._calls():
            signature = call.tool, canonical_arguments(call.arguments), call.result or ""
            if signature in seen:
                again.append(call)
            seen.add(signature)
        return self._without_calls(f"{len(again)} repeated calls not made", again)

    def brief_once(self) -> Change | str:
        """Do not delegate what another sub-agent was told."""
        calls = self._calls()
        if len(calls) < 2:
            return "both sub-agents came of one plan, whose call is one"
        return self._without_calls(f"{', '.join(calls[0].children)} not asked", calls[:1])

    def together(self) -> Change | str:
        """Make calls in one turn."""
        calls = self._calls()
        turns = [self.agent.turns[call.turn - 1] for call in calls]
        place = turns[-1].number + 1
        if place > len(self.agent.turns):
            return "nothing was asked after the last of the calls"
        first, *others = [turn.reply for turn in turns if turn.reply is not None]
        asked = Message("assistant", (*first.message.parts, *(_asked(call) for call in calls[1:])))
        put = {entry: Put(None, 0, entry.first) for entry in others}
        put[first] = Put(asked, self._resized(first, asked), place)
        what = f"{len(calls)} calls in one turn instead of {len(turns)}"
        return Change(what, self.agent, place, put, unasked=tuple(turns[1:]))

    def earlier(self) -> Change | str:
        """Make the call that came too late before the one that needed it."""
        calls = self._calls()
        late = calls[0] if calls else None
        early = self._needed_by(late, calls) if late else None
        if late is None or early is None or early.entry is None:
            return (
                "no later call of this agent run is the one that was missing, so there is no order to change"
            )
        asked = Message("assistant", (_asked(early),))
        return Change(
            f"{early.tool} and its result before {late.tool}",
            self.agent,
            late.turn,
            added=(asked, early.entry.message),
            added_size=self.tokens_of(asked) + early.entry.size,
            added_until=early.entry.first or len(self.agent.turns) + 1,
        )

    def _needed_by(self, late: Call, named: Sequence[Call]) -> Call | None:
        rule = self.finding.subject
        later = [call for call in self.agent.calls() if call.turn >= late.turn and call is not late]
        found = [call for call in later if call in named[1:]]
        if self.finding.detector == "order-contract":
            found += [
                call for call in later if call.tool in rule and call.tool != late.tool and not call.is_error
            ]
        return next(iter(found), None)

    def _calls(self) -> list[Call]:
        """Return the calls that the finding names and that are of its agent run."""
        named = [self.case.calls.get(key) for key in self.finding.where.calls]
        return [call for call in named if call is not None and call.agent == self.agent.path]

    def _without_calls(self, what: str, gone: Sequence[Call]) -> Change | str:
        place = max((call.turn for call in gone), default=0) + 1
        if not gone or place > len(self.agent.turns):
            return "nothing was asked after the last of the calls"
        put = {call.entry: Put(None, 0, call.entry.first) for call in gone if call.entry is not None}
        unasked = [turn for call in gone for turn in self._turns_below(call)]
        for number in dict.fromkeys(call.turn for call in gone):
            turn = self.agent.turns[number - 1]
            ids = {call.id for call in turn.calls if call in gone}
            whole = len(ids) == len(turn.calls)
            if turn.reply is not None:
                message = None if whole else _without_ids(turn.reply.message, ids)
                put[turn.reply] = Put(message, self._resized(turn.reply, message), turn.reply.first)
            unasked += [turn] if whole else []
        return Change(what, self.agent, place, put, unasked=tuple(dict.fromkeys(unasked)))

    def _turns_below(self, call: Call) -> Iterable[Turn]:
        """Yield the requests of the agent runs that worked for a call."""
        for path, agent in self.case.record.agents.items():
            if any(f"{path}/".startswith(f"{child}/") for child in call.children):
                yield from agent.turns

    def _resized(self, entry: Entry, message: Message | None) -> int:
        """Return what another message takes in the place of an entry, in tokens of the provider."""
        if message is None:
            return 0
        size = self.tokens_of(message)
        return round(size * entry.size / entry.counted) if entry.counted else size


_HOW: Mapping[str, Callable[[_Undoing], Change | str]] = {
    "thinking-residue": _Undoing.without_thinking,
    "tool-overhead": _Undoing.without_tools,
    "loop": _Undoing.calls_once,
    "cycle": _Undoing.calls_once,
    "overlapping-briefs": _Undoing.brief_once,
    "serialised-calls": _Undoing.together,
    "used-before-available": _Undoing.earlier,
    "order-contract": _Undoing.earlier,
}


def _held(put: Mapping[Entry, Put], turn: int) -> Iterable[bool]:
    return (one.since <= turn <= entry.last for entry, one in put.items())


def _left_out(message: Message) -> Message | None:
    """Return what must stay of a message, so that calls and results remain pairs."""
    results = [part for part in message.parts if isinstance(part, ToolResult)]
    if results:
        return replace(message, parts=tuple(ToolResult(part.call_id, LEFT_OUT) for part in results))
    calls = tuple(part for part in message.parts if not isinstance(part, Text | Reasoning))
    return replace(message, parts=calls) if calls else None


def _without_ids(message: Message, ids: set[str]) -> Message:
    kept = (part for part in message.parts if not (isinstance(part, ToolCall) and part.id in ids))
    return replace(message, parts=tuple(kept))


def _asked(call: Call) -> ToolCall:
    return ToolCall(call.id, call.tool, call.arguments)
