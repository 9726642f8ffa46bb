"""Everything we emit keeps to the conventions, in a run that really happened; and the check can fail."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from conventions import faults_of, faults_of_event
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind
from traced_runs import attributes, full_run, named, spans_of

import harness
from harness import FunctionToolset, calls, says, scripted, together
from harness.messages import Image, Message, Reasoning, Usage
from harness.replay import Changes
from harness.tracing import Evaluation, encode_evaluations, encode_line, export_run

SERVER = Path(__file__).parent / "tracing_server.py"


def with_attributes(span: ReadableSpan, change: Callable[[dict[str, Any]], Any]) -> ReadableSpan:
    have = attributes(span)
    change(have)
    return ReadableSpan(
        span.name, span.context, span.parent, attributes=have, kind=span.kind, start_time=1, end_time=2
    )


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda have: have.pop("gen_ai.provider.name"), "gen_ai.provider.name is missing"),
        (lambda have: have.update({"gen_ai.token.type": "input"}), "unknown gen_ai.token.type"),
        (lambda have: have.update({"mcp.method": "x"}), "unknown mcp.method"),
        (lambda have: have.update({"gen_ai.usage.input_tokens": "5"}), "input_tokens is of the wrong type"),
        (lambda have: have.update({"server.address": "x"}), "server.port is missing"),
        (lambda have: have.update({"gen_ai.request.model": "other"}), "should be chat other"),
        (lambda have: have.update({"gen_ai.operation.name": "talk"}), "operation 'talk'"),
        (lambda have: have.update({"gen_ai.input.messages": '[{"role": 1}]'}), "gen_ai.input.messages"),
    ],
)
def test_the_check_finds_what_is_wrong(change: Any, fault: str):
    chat = named(spans_of(full_run()), "chat qwen3")[0]

    assert faults_of(chat) == []
    assert fault in "\n".join(faults_of(with_attributes(chat, change)))


def test_the_check_finds_a_wrong_kind():
    chat = named(spans_of(full_run()), "chat qwen3")[0]
    server = ReadableSpan(
        chat.name, chat.context, attributes=attributes(chat), kind=SpanKind.SERVER, start_time=1, end_time=2
    )

    assert faults_of(server) == ["chat qwen3: kind SERVER"]


def team(folder: Path) -> Path:
    file = folder / "team.yaml"
    spec = {
        "harness": 1,
        "name": "everything",
        "entry": "lead",
        "mcpServers": {
            "traced": {
                "command": sys.executable,
                "args": [str(SERVER), str(folder / "spans.jsonl")],
                "effects": {"*": "read"},
            },
            "corpus": {"module": "toolservers.corpus", "args": {"root": str(folder)}},
        },
        "agents": {
            "lead": {"instructions": "Lead.", "tools": ["traced", "desk", "corpus"], "delegates": ["clerk"]},
            "clerk": {"instructions": "Pay.", "tools": ["desk"], "limits": {"turns": 2}},
        },
        "permissions": [
            {"tool": "desk.pay", "allow": "ask"},
            {"tool": "desk.burn", "allow": "no"},
        ],
    }
    file.write_text(json.dumps(spec))
    return file


def pay() -> str:
    """Pay."""
    return "paid"


def burn() -> str:
    """Burn."""
    return "burnt"


def models() -> dict[str, Any]:
    brief = {"objective": "Pay.", "expected_output": "A line.", "sources": "", "boundaries": ""}
    tasks = [{"id": "t1", "agent": "clerk", **brief, "needs": []}]
    thinking = Message(
        "assistant", (Reasoning("hm", "scripted", "scripted"), *calls("plan", tasks=tasks).parts)
    )
    lead = scripted(
        thinking,
        together(
            calls("traced.echo", text="a"),
            calls("traced.fail"),
            calls("traced.echo", nonsense=1),
            calls("corpus.list"),
            calls("desk.burn"),
            calls("nowhere.to_be_found"),
        ),
        calls("delegate", agent="clerk", **brief),
        says("Done."),
        usage=Usage(50, 5, 10, 2, 1),
    )
    return {"lead": lead, "clerk": scripted(calls("desk.pay"), calls("desk.pay"), calls("desk.pay"))}


@pytest.mark.anyio
@pytest.mark.parametrize("content", ["off", "new", "full"])
async def test_a_run_with_everything_in_it_keeps_to_the_conventions(tmp_path: Path, content: Any):
    toolsets = [FunctionToolset("desk", pay, burn)]
    with anyio.fail_after(60):
        async with harness.open(
            team(tmp_path), store=tmp_path / "runs", models=models(), toolsets=toolsets
        ) as opened:
            run = await opened.start("Go.", Image("aGVsbG8="), session="s")
            result = await run.result()
            while result.stop_reason == "suspended":
                result = await (await opened.approve(run.id, result.waiting[0])).result()
            forked = await opened.fork(run.id, "lead/turn-2", changes=Changes(brief="Go on."))
            await forked.result()
            runs = [list(opened.journal.read(one)) for one in (run.id, forked.id)]

    spans: list[ReadableSpan] = []
    for recorded in runs:
        export_run(recorded, spans.append, content=content)
    assert [fault for span in spans for fault in faults_of(span)] == []
    called = {span.name for span in spans}
    assert {"plan lead", "invoke_agent clerk", "execute_tool desk.burn", "execute_tool corpus.list"} <= called
    served = [attributes(span) for span in named(spans, "execute_tool traced.echo")]
    assert served[0]["mcp.protocol.version"]
    assert any(span.attributes.get("error.type") == "tool_error" for span in spans if span.attributes)


def test_an_evaluation_is_the_event_of_the_conventions():
    span = named(spans_of(full_run()), "chat qwen3")[0]
    finding = Evaluation(
        name="duplicate read",
        trace_id=f"{span.context.trace_id:032x}",
        span_id=f"{span.context.span_id:016x}",
        label="warning",
        value=0.5,
        explanation="read twice",
        facts={"harness.finding.tokens": 120},
    )
    line = json.loads(encode_evaluations([finding], 5, Resource({"service.name": "x"})))
    record = line["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]

    assert faults_of_event(record["eventName"], finding.attributes) == []
    assert (record["traceId"], record["spanId"]) == (finding.trace_id, finding.span_id)
    assert {"key": "gen_ai.evaluation.score.value", "value": {"doubleValue": 0.5}} in record["attributes"]
    broken = {"gen_ai.evaluation.nme": "x", "gen_ai.evaluation.score.value": "high"}
    assert len(faults_of_event(record["eventName"], broken)) == 3
    with pytest.raises(ValueError, match="not under harness"):
        _ = replace(finding, facts={"other.name": 1}).attributes


def test_the_same_run_is_exported_to_the_same_bytes():
    assert encode_line(spans_of(full_run(), "full")) == encode_line(spans_of(full_run(), "full"))
