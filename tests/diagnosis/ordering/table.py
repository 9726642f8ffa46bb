"""Small runs, written turn by turn, and what one detector says of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

from harness.contracts import parse_contract
from harness.diagnosis import Finding, examine
from harness.messages import ToolDefinition, user
from harness.record import RunRecord
from tests.diagnosis.truth.building import build
from tests.diagnosis.truth.scoring import detector_named
from tests.diagnosis.truth.script import Agent, Call, Extra, Script, Turn

_numbers = count(1)


def call(tool: str, result: str = "", *, is_error: bool = False, child: str = "", **arguments: Any) -> Call:
    """Return a call; for a sub-agent its result is the report of the one at `child`."""
    return Call(f"call-{next(_numbers)}", tool, arguments, result, is_error, child)


def turn(*calls: Call, says: str = "", hears: str = "") -> Turn:
    """Return a turn, before which the user may say something."""
    number = next(_numbers)
    heard = (Extra(f"user-{number}", "user", user(hears)),) if hears else ()
    return Turn(f"turn-{number}", says, calls=calls, before=heard)


def agent(
    path: str,
    *turns: Turn,
    task: str = "Do it.",
    by: Call | None = None,
    tools: Sequence[str] = (),
    **more: Any,
) -> Agent:
    """Return an agent run; a sub-agent works for the call `by`."""
    offered = tuple(ToolDefinition(name, "", {"type": "object"}) for name in tools)
    parent_call = by.id if by else ""
    return Agent(path, "Work.", task, offered, turns, parent_call=parent_call, **more)


def run(*agents: Agent, **more: Any) -> RunRecord:
    return build(Script("hand", agents[0].task, agents, **more)).record


def found(detector: str, record: RunRecord, *rules: str) -> list[Finding]:
    """Return what a detector finds; its evidence stands where it says, word for word."""
    chosen = detector_named(detector)
    assert chosen is not None
    contracts = [parse_contract(rule) for rule in rules]
    findings = list(examine(record, detectors=[chosen], contracts=contracts).findings)
    texts = {entry.id: entry.text for one in record.agents.values() for entry in one.entries}
    texts |= {key: f"{one.tool} {one.arguments}\n{one.result}" for key, one in record.calls.items()}
    texts |= {one.path: one.brief for one in record.agents.values()}
    for finding in findings:
        assert finding.evidence
        assert all(quote.text in texts[quote.where] for quote in finding.evidence), finding.evidence
    return findings
