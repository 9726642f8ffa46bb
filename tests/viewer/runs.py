"""Runs to look at: synthetic records of any size, and one whose every text is hostile."""

from __future__ import annotations

import json

from harness.diagnosis import Diagnosis, Finding, Price, Quote, Remedy, Where, examine
from harness.messages import Message, Text, ToolCall, ToolDefinition, ToolResult
from harness.record import AgentBuilder, AgentRecord, Call, RunRecord, Turn, place_calls

HOSTILE = (
    "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=1>{{7*7}}${7*7}"
    "<!--\u202egnp.exe\u2066\x00\x1b[31m\u2028\u2029&lt;\"'`\U000e0041"
)
ZERO = 1_700_000_000.0


def synthetic(*, agents: int = 4, turns: int = 10, word: str = "plain", timed: bool = True) -> RunRecord:
    """Return a run of a lead and its sub-agents; each turn makes one call (two spans), the last one answers."""
    record = RunRecord(
        "run-1", "journal", name=f"team {word}", task=f"Find it {word}", outcome="done", started=ZERO
    )
    if not timed:
        record.carries -= {"times"}
    for number in range(agents):
        path = "lead" if number == 0 else f"lead/{word}-{number}"
        _agent(record, AgentRecord(path, path, parent="lead" if number else ""), turns, word, timed)
    record.spans = agents * turns * 2
    record.ended = ZERO + turns + 1
    return record


def _agent(record: RunRecord, agent: AgentRecord, turns: int, word: str, timed: bool) -> None:
    definition = ToolDefinition(f"files.read{word}", f"Reads {word}", {"type": "object"})
    agent.tools, agent.context_window, agent.status = (definition,), 200_000, "done"
    record.agents[agent.path] = agent
    builder = AgentBuilder(agent)
    builder.append("system", Message("system", (Text(f"You read {word}."),)))
    builder.append("brief", Message("user", (Text(f"Read file-{len(record.agents)}.txt {word}"),)))
    for number in range(1, turns + 1):
        start = ZERO + number if timed else None
        turn = builder.begin_turn(Turn(agent.path, number, model=f"model {word}", started=start))
        turn.ended = start + 0.4 if start else None
        name, key = f"files.read{word}", f"{agent.path}/turn-{number}/0"
        call = Call(key, f"c{number}", name, f'{{"path": "item_{number % 7}"}}', agent.path, number, 0)
        call.result = f"result of item_{number % 7}: value_{number} {word}"
        call.started, call.ended = (start + 0.5, start + 0.9) if start else (None, None)
        call.is_error = number % 50 == 0
        builder.reply(
            Message(
                "assistant",
                (Text(f"I read value_{number - 1} {word}"), ToolCall(call.id, name, call.arguments)),
            )
        )
        turn.calls.append(call)
        builder.append(
            f"tool:{name}", Message("tool", (ToolResult(call.id, call.result, is_error=call.is_error),))
        )
    builder.finish()
    place_calls(agent)


def found(record: RunRecord, *, every: int = 5, word: str = "plain") -> Diagnosis:
    """Return a diagnosis of a run with a finding at every so many calls."""
    diagnosis = examine(record, detectors=())
    findings = tuple(
        Finding(
            "unused-result",
            ("info", "warning", "error")[number % 3],
            f"The result of {call.tool} was never used {word}",
            Where(agent=call.agent, turns=(call.turn,), calls=(call.key,)),
            (Quote(f"{call.agent}#{call.entry.number}", call.result or ""),) if call.entry else (),
            Price(tokens=120),
            0.9,
            Remedy(text=f"Ask for less {word}", patch={f"agents.{word}.context": {"keep": 3}}),
        )
        for number, call in enumerate(list(record.calls.values())[::every])
    )
    return Diagnosis(diagnosis.record, diagnosis.ledger, findings, ())


def feeding(*, word: str = "plain", first: str = "found ORD-0815") -> RunRecord:
    """Return a run in which a search shows an order, another call reads it, and a third reads one nobody showed."""
    record = RunRecord(
        "run-1", "journal", name="desk", task="Where is my order?", outcome="done", started=ZERO
    )
    agent = AgentRecord("desk", "desk")
    record.agents["desk"] = agent
    builder = AgentBuilder(agent)
    builder.append("task", Message("user", (Text("Where is my order? I am customer C-4711."),)))
    steps = (
        (f"orders.search{word}", {"customer": "C-4711"}, f"{first} {word}"),
        ("orders.read", {"order": "ORD-0815"}, f"ORD-0815 is on its way {word}"),
        ("orders.read", {"order": "ORD-9999"}, f"no such order {word}"),
    )
    for number, (tool, arguments, result) in enumerate(steps, start=1):
        start = ZERO + number
        turn = builder.begin_turn(Turn("desk", number, model="model", started=start, ended=start + 0.4))
        call = Call(f"desk/turn-{number}/0", f"c{number}", tool, json.dumps(arguments), "desk", number, 0)
        call.result, call.started, call.ended = result, start + 0.5, start + 0.9
        builder.reply(Message("assistant", (ToolCall(call.id, tool, call.arguments),)))
        turn.calls.append(call)
        builder.append(f"tool:{tool}", Message("tool", (ToolResult(call.id, result),)))
    builder.finish()
    place_calls(agent)
    return record
