"""Which agent did what: the agent runs of a trace, found by the spans around model and tool calls.

The conventions put no agent's name on a model call; it belongs to the nearest agent span above. Where
there is none, the span of the tool that it serves, or of the whole, stands for an agent, and within it
conversations that begin differently are different agents.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from harness.foreign.messages import Interned
from harness.foreign.seen import Seen, SpanKind
from harness.foreign.tree import Tree

_OWNERS: frozenset[SpanKind] = frozenset({"agent", "tool"})


@dataclass(eq=False)
class Acting:
    """One agent run as its spans show it."""

    path: str
    name: str
    span: Seen
    """Its own span, or the one that stands for it."""
    parent: Acting | None = None
    asked_by: Seen | None = None
    """The tool call that it worked for."""
    models: list[Seen] = field(default_factory=list[Seen])
    tools: list[Seen] = field(default_factory=list[Seen])
    handoffs: list[Seen] = field(default_factory=list[Seen])
    named: bool = True
    """Whether the trace says that it is an agent."""
    earlier: list[Seen] = field(default_factory=list[Seen])
    """Further spans of the same agent run, which was interrupted."""


class Cast:
    """All agent runs of a trace, parents before those that work for them."""

    def __init__(self, tree: Tree, interned: Interned) -> None:
        self.agents: dict[str, Acting] = {}
        self._tree = tree
        self._interned = interned
        self._by_span: dict[str, Acting] = {}
        self._conversations: dict[str, dict[bytes, Acting]] = defaultdict(dict)
        self._parents = {span.parent for span in tree.ordered}
        self._wrappers = self._find_wrappers()
        for span in tree.ordered:
            if span.kind == "agent" and span.id not in self._wrappers:
                self._agent(span)
        for span in tree.ordered:
            if span.kind == "model":
                self._owner(span, conversation=True).models.append(span)
        for span in tree.ordered:
            if span.kind == "tool":
                self._owner(span).tools.append(span)
            elif span.kind == "handoff":
                self._owner(span).handoffs.append(span)
        self.agents = _parents_first(self.agents)

    def _find_wrappers(self) -> set[str]:
        """Return agent spans that only stand around others."""
        own: set[str] = set()
        inner: dict[str, list[Seen]] = defaultdict(list)
        for span in self._tree.ordered:
            above = self._tree.above(span, _OWNERS)
            if above is not None and above.kind == "agent":
                if span.kind in ("model", "tool"):
                    own.add(above.id)
                elif span.kind == "agent":
                    inner[above.id].append(span)
        wrappers: set[str] = set()
        for identity, spans in inner.items():
            span = self._tree.spans[identity]
            if identity in own or (span.own or {}).get("harness.agent.path"):
                continue
            if not span.parent:
                span.kind = "workflow"  # it has no calls of its own: it only holds agents together
                wrappers.add(identity)
            elif len(spans) == 1 and spans[0].agent == span.agent:
                wrappers.add(identity)
        return wrappers

    def _agent(self, span: Seen) -> Acting:
        known = self._by_span.get(span.id)
        if known is not None:
            return known
        above = self._tree.above(span, _OWNERS)
        while above is not None and above.id in self._wrappers:
            above = self._tree.above(above, _OWNERS)
        tool = above if above is not None and above.kind == "tool" else None
        parent: Acting | None = None
        if tool is not None:
            parent = self._owner(tool)
        elif above is not None:
            parent = self._agent(above)
        told = (span.own or {}).get("harness.agent.path")
        if isinstance(told, str) and told:
            earlier = self.agents.get(told)
            if earlier is not None:
                earlier.earlier.append(span)
                self._by_span[span.id] = earlier
                return earlier
        return self._add(span, span.agent or "agent", parent, tool, told if isinstance(told, str) else "")

    def _add(self, span: Seen, name: str, parent: Acting | None, tool: Seen | None, path: str = "") -> Acting:
        if not path:
            word = name.replace("/", "_") or "agent"
            base = f"{parent.path}/{word}" if parent else word
            path, number = base, 1
            while path in self.agents:
                number += 1
                path = f"{base}-{number}"
        acting = Acting(path, name, span, parent, tool)
        self.agents[path] = acting
        self._by_span.setdefault(span.id, acting)
        return acting

    def _owner(self, span: Seen, *, conversation: bool = False) -> Acting:
        """Return the agent run that a model or tool call belongs to."""
        above = self._tree.above(span, _OWNERS)
        while above is not None and (
            above.id in self._wrappers
            or (above.kind == "tool" and not conversation and above.id not in self._by_span)
        ):
            above = self._tree.above(above, _OWNERS)
        if above is not None and above.kind == "agent":
            return self._agent(above)
        if not conversation:
            return self._by_span.get((above or self._tree.root(span)).id) or self._stand_in(span, above)
        stand_in = above or self._tree.root(span)
        known = self._conversations[stand_in.id]
        key = self._beginning(span)
        acting = known.get(key)
        if acting is None and known and _goes_on(span):
            acting = next(reversed(known.values()))
        if acting is None:
            acting = self._stand_in(span, above)
        known[key] = acting
        return acting

    def _stand_in(self, span: Seen, tool: Seen | None) -> Acting:
        """Add an agent run that has no span of its own."""
        for known in self.agents.values():
            if tool is not None and known.asked_by is tool and known.span.id not in self._parents:
                # Some instrumentations end the agent's span at once and put its work beside it.
                self._by_span.setdefault(tool.id, known)
                return known
        parent = self._owner(tool) if tool is not None else None
        around = self._tree.chain(span, tool, lambda one: self._is_top(one, tool))
        root = tool or self._tree.root(span)
        name = span.agent or (around.agent or around.name.removeprefix("execute_task ") if around else "")
        acting = self._add(root, name or (tool.tool if tool else root.agent or root.name), parent, tool)
        acting.named = False
        return acting

    def _is_top(self, span: Seen, tool: Seen | None) -> bool:
        return span.kind in ("chain", "workflow") and self._tree.parent(span) is tool

    def _beginning(self, span: Seen) -> bytes:
        """Return what tells a conversation from others: its instructions and its first words."""
        messages = (*span.instructions, *(span.inputs or ()))
        first: list[bytes] = []
        for message in messages:
            first.append(self._interned.digest(message))
            if message.role != "system":
                break
        return b"".join(first)


def _goes_on(span: Seen) -> bool:
    """Return whether a request is not the first of its conversation, or does not say."""
    return not span.inputs or any(message.role in ("assistant", "tool") for message in span.inputs)


def _parents_first(agents: dict[str, Acting]) -> dict[str, Acting]:
    ordered: dict[str, Acting] = {}

    for acting in agents.values():
        line: list[Acting] = []
        at: Acting | None = acting
        while at is not None and at.path not in ordered and at not in line:
            line.append(at)
            at = at.parent
        for one in reversed(line):
            ordered[one.path] = one
    return ordered
