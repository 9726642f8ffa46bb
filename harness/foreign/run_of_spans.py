"""The record of one run, put together from the spans of its trace."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

from harness.foreign.agents import Acting, Cast
from harness.foreign.conventions import STOP_REASONS
from harness.foreign.facets import facets_of
from harness.foreign.matching import Calls
from harness.foreign.messages import Interned
from harness.foreign.own import own_briefs, own_entries, own_outcome, own_status, own_turn
from harness.foreign.seen import Seen
from harness.foreign.tree import Tree
from harness.messages import Message, Text, ToolCall, ToolResult
from harness.record import AgentBuilder, AgentRecord, Outcome, RunRecord, Turn, place_calls


def run_of_spans(trace: str, spans: Iterable[Seen], interned: Interned, *, file: str) -> RunRecord:
    """Return the record of one trace; what its spans do not say is not in `carries`."""
    tree = Tree(spans)
    acting = Cast(tree, interned)
    ours = any(span.own for span in tree.ordered)
    record = RunRecord(trace, _source(tree), ours=ours, notes=list(tree.notes), spans=len(tree.spans))
    calls = Calls(acting.agents.values())
    for agent in acting.agents.values():
        record.agents[agent.path] = _Builder(agent, calls, interned).build()
    for agent in acting.agents.values():
        _connect(agent, record, calls)
    _handoffs(acting, record)
    own_briefs(acting.agents.values(), record)
    _frame(record, tree, acting, file)
    record.carries = facets_of(record, tree)
    if not record.agents:
        record.notes.append("no span of it is a model call, a tool call or an agent")
    return record


def _source(tree: Tree) -> str:
    dialects = sorted({word for span in tree.ordered for word in span.dialect.split("+") if word})
    return f"otlp ({', '.join(dialects)})" if dialects else "otlp"


class _Builder:
    """Builds one agent run."""

    def __init__(self, acting: Acting, calls: Calls, interned: Interned) -> None:
        self.acting = acting
        self.calls = calls
        self.interned = interned
        span = acting.span
        self.record = AgentRecord(acting.path, acting.name, span=span.id)
        if acting.named:
            self.record.started, self.record.ended = span.start, span.end
            self.record.error = span.error
        if acting.parent is not None:
            self.record.parent = acting.parent.path
        self.builder = AgentBuilder(self.record)
        self.asked: dict[str, ToolCall] = {}
        """What the model asked for, by call id."""
        self.begun = False
        """Whether it has been told what to do."""

    def build(self) -> AgentRecord:
        record = self.record
        for span in self.acting.models:
            self._turn(span)
        if not self.acting.models and self.acting.tools:
            self.builder.begin_turn(Turn(record.path, 1, span=self.acting.span.id))
        self.calls.place(self.acting, record)
        self.builder.finish()
        place_calls(record)
        for call in record.calls():
            self.calls.complete(call)
        self._facts()
        return record

    def _turn(self, span: Seen) -> None:
        own = own_entries(span)
        if own is not None:
            self._own_window(span, own)
        elif span.inputs or span.instructions:
            messages = (*span.instructions, *(span.inputs or ()))
            messages, reply = _without_reply(messages, span.outputs)
            self.builder.request(messages, self._origin, hashed=self.interned.digest)
            if reply and not span.outputs:
                span.outputs = reply
        span.inputs = None  # held by the window now
        turn = self.builder.begin_turn(
            Turn(
                self.record.path,
                0,
                model=span.model,
                provider=span.provider,
                reported=span.input_tokens,
                output=span.output_tokens,
                cached=span.cached_tokens,
                reasoning=span.reasoning_tokens,
                cost=span.cost,
                started=span.start,
                ended=span.end,
                stop_reason=STOP_REASONS.get(span.finish.lower(), span.finish),
                error=(span.error or span.error_type or "error") if span.failed else "",
                span=span.id,
            )
        )
        own_turn(span, turn)
        replies = [message for message in span.outputs or () if message.role == "assistant"]
        for number, message in enumerate(replies):
            entry = self.builder.reply(message) if number == 0 else self.builder.append("assistant", message)
            self.asked.update((call.id, call) for call in entry.message.tool_calls)

    def _own_window(self, span: Seen, own: Sequence[tuple[str, int, Message | None]]) -> None:
        """Add the entries that a request of ours says are new."""
        for origin, tokens, message in own:
            last = self.record.entries[-1] if self.record.entries else None
            if origin == "assistant" and last is not None and last.turn and not last.first:
                last.counted = tokens
                continue
            empty = Message("tool" if origin.startswith(("tool:", "report:")) else "user", ())
            self.builder.append(origin, message or empty, tokens=tokens)

    def _origin(self, message: Message) -> str:
        if message.role == "system":
            return "system"
        if message.role == "assistant":
            for call in message.tool_calls:
                self.asked.setdefault(call.id, call)
            return "assistant"
        if message.role == "tool":
            return self._result_origin(message)
        begun, self.begun = self.begun or bool(self.record.turns), True
        return "user" if begun else "brief" if self.acting.parent else "task"

    def _result_origin(self, message: Message) -> str:
        part = message.parts[0] if message.parts else None
        call = self.asked.get(part.call_id) if isinstance(part, ToolResult) else None
        if call is None:
            last = self.record.turns[-1].reply if self.record.turns else None
            asked = last.message.tool_calls if last else ()
            call = asked[0] if asked and not (isinstance(part, ToolResult) and part.call_id) else None
        if call is None:
            return "tool:"
        child = self.calls.child(self.acting, call)
        return f"report:{child.path}" if child else f"tool:{call.name}"

    def _facts(self) -> None:
        record, models = self.record, self.acting.models
        if models:
            record.model, record.provider = models[-1].model, models[-1].provider
            record.started = record.started if record.started is not None else models[0].start
            record.ended = record.ended if record.ended is not None else models[-1].end
        known = [span.definitions for span in (*models, self.acting.span) if span.definitions]
        if known:
            record.tools = max(known, key=len)
        last = next((turn.reply for turn in reversed(record.turns) if turn.reply), None)
        record.report = last.message.text if last is not None else _reply_text(self.acting.span) or None
        failed = self.acting.span.failed and self.acting.named
        if failed or (self.acting.span.end is not None and self.acting.named):
            record.status = "failed" if failed else "done"
        own_status(self.acting.span, record)
        first = next((entry for entry in record.entries if entry.origin in ("brief", "task")), None)
        if first is not None and self.acting.parent is not None:
            record.brief = first.message.text


def _without_reply(
    messages: tuple[Message, ...], outputs: tuple[Message, ...] | None
) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
    """Take the model's reply off the end of messages that were written down after it."""
    end = len(messages)
    while end and messages[end - 1].role == "assistant":
        end -= 1
    if end and end < len(messages) and (not outputs or messages[end:] == outputs[: len(messages) - end]):
        return messages[:end], messages[end:]
    return messages, ()


def _connect(acting: Acting, record: RunRecord, calls: Calls) -> None:
    """Tie an agent run to the call that asked for it."""
    if acting.asked_by is None:
        return
    call = calls.by_span.get(acting.asked_by.id)
    if call is None:
        return
    record.agents[acting.path].parent_call = call.key
    call.children.append(acting.path)


def _handoffs(cast_: Cast, record: RunRecord) -> None:
    """Put an agent run after the one that handed the conversation over to it."""
    for acting in cast_.agents.values():
        for handoff in acting.handoffs:
            said = f"{handoff.name} {handoff.tool} {handoff.agent} {handoff.arguments or ''}".lower()
            for other in cast_.agents.values():
                starts = other.span.start or 0.0
                if (
                    other is not acting
                    and other.parent is acting.parent
                    and other.name.lower() in said
                    and starts >= (handoff.start or 0.0)
                ):
                    record.agents[other.path].after = (acting.path,)


def _frame(record: RunRecord, tree: Tree, cast_: Cast, file: str) -> None:
    """Say of the run as a whole what its root and its entry agent say."""
    roots = [span for span in tree.ordered if not span.parent]
    root = next((span for span in roots if span.kind == "workflow"), roots[0] if roots else None)
    starts = [span.start for span in tree.ordered if span.start is not None]
    ends = [span.end for span in tree.ordered if span.end is not None]
    record.started, record.ended = min(starts, default=None), max(ends, default=None)
    entries = [agent for agent in record.agents.values() if not agent.parent]
    record.name = (root.agent or root.name if root else "") or file
    if entries:
        first = next((entry for entry in entries[0].entries if entry.origin == "task"), None)
        record.task = first.message.text if first else ""
        record.answer = entries[-1].report
    if root is None:
        return
    if not record.task and root.inputs and root.kind != "model":
        record.task = "".join(part.text for part in root.inputs[0].parts if isinstance(part, Text))
    record.task = record.task or root.arguments or ""
    record.outcome, record.error = _outcome(root, entries), root.error
    own_outcome(root, record)


def _outcome(root: Seen, entries: Sequence[AgentRecord]) -> Outcome:
    if root.failed:
        return "failed"
    if root.end is None:
        return "unknown"
    last = entries[-1].turns[-1] if entries and entries[-1].turns else None
    return "failed" if last is not None and last.error else "done"


def _reply_text(span: Seen) -> str:
    if span.outputs:
        return span.outputs[-1].text
    return cast("Any", span.result) or ""
