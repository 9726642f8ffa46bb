"""What a foreign record carries, found by looking at what is in it."""

from __future__ import annotations

from collections.abc import Iterator

from harness.foreign.tree import Tree
from harness.record import Facet, RunRecord, Turn

OUTCOME: frozenset[Facet] = frozenset({"outcome"})


def facets_of(record: RunRecord, tree: Tree | None = None) -> frozenset[Facet]:
    """Return what can be measured in a record that somebody else's file was read into."""
    return frozenset(_facets(record, tree))


def _facets(record: RunRecord, tree: Tree | None) -> Iterator[Facet]:
    turns = list(record.turns())
    answered = [turn for turn in turns if turn.reply is not None or turn.reported is not None]
    if any(entry.message.parts for agent in record.agents.values() for entry in agent.entries):
        yield "content"
    if not record.calls or any(call.result is not None for call in record.calls.values()):
        yield "results"
    if turns and all(turn.entries for turn in answered or turns):
        yield "windows"
    if any(agent.tools is not None for agent in record.agents.values()):
        yield "tool_definitions"
    yield from _usage(answered)
    if record.started is not None:
        yield "times"
    if record.agents and _names_agents(record, tree):
        yield "agents"
    if record.outcome != "unknown":
        yield "outcome"
    if record.plans:
        yield "plans"


def _usage(answered: list[Turn]) -> Iterator[Facet]:
    if any(turn.reported for turn in answered):
        yield "usage"
    if any(turn.cached is not None for turn in answered):
        yield "cached"
    if answered and all(turn.cost is not None for turn in answered):
        yield "cost"


def _names_agents(record: RunRecord, tree: Tree | None) -> bool:
    """Return whether who did what is more than a guess."""
    if tree is None or any(span.kind == "agent" for span in tree.ordered):
        return True
    return sum(1 for agent in record.agents.values() if not agent.parent) == 1
