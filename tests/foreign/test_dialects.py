from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from spans import answers, asks, pairs, span, text, write

from harness.foreign import read_records
from harness.record import RunRecord, keep_ledger

TASK, CALL, RESULT = text("user", "How high?"), asks("c1", "look", key="k"), answers("c1", "324 m")
END = text("assistant", "324 m high.")


def genai(first: dict[str, Any], second: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    """Return one agent's run of two turns and a call between; the model calls say `first` and `second`."""
    chat = {"gen_ai__operation__name": "chat", "gen_ai__provider__name": "openai"}
    return [
        span(
            1, 0, "invoke_workflow w", gen_ai__operation__name="invoke_workflow", gen_ai__workflow__name="w"
        ),
        span(2, 1, "invoke_agent lead", gen_ai__operation__name="invoke_agent", gen_ai__agent__name="lead"),
        span(3, 2, "chat m", **{**chat, **first}),
        span(
            4,
            2,
            "execute_tool look",
            gen_ai__operation__name="execute_tool",
            gen_ai__tool__name="look",
            gen_ai__tool__call__id="c1",
            **more,
        ),
        span(5, 2, "chat m", **{**chat, **second}),
    ]


def read(path: Path) -> RunRecord:
    (record,) = read_records(path)
    return record


def origins(record: RunRecord, agent: str = "lead") -> list[str]:
    return [entry.origin for entry in record.agents[agent].entries]


def test_a_genai_trace_becomes_turns_windows_calls_and_tokens(tmp_path: Path):
    spans = genai(
        {
            "gen_ai__input__messages": json.dumps([TASK]),
            "gen_ai__output__messages": json.dumps([{**CALL, "finish_reason": "tool_call"}]),
            "gen_ai__system_instructions": json.dumps([{"type": "text", "content": "Be brief."}]),
            "gen_ai__usage__input_tokens": 50,
            "gen_ai__usage__output_tokens": 7,
            "gen_ai__usage__cache_read__input_tokens": 0,
            "gen_ai__tool__definitions": json.dumps(
                [{"type": "function", "name": "look", "description": "Looks."}]
            ),
        },
        {
            "gen_ai__input__messages": json.dumps([TASK, CALL, RESULT]),
            "gen_ai__output__messages": json.dumps([END]),
            "gen_ai__system_instructions": json.dumps([{"type": "text", "content": "Be brief."}]),
            "gen_ai__usage__input_tokens": 70,
            "gen_ai__usage__output_tokens": 9,
        },
        gen_ai__tool__call__result="324 m",
    )

    record = read(write(tmp_path / "t", *spans))

    lead = record.agents["lead"]
    assert (record.name, record.task, record.answer, record.outcome) == (
        "w",
        "How high?",
        "324 m high.",
        "done",
    )
    assert origins(record) == ["system", "task", "assistant", "tool:look", "assistant"]
    assert [(entry.first, entry.last) for entry in lead.entries] == [(1, 2), (1, 2), (2, 2), (2, 2), (0, 0)]
    assert [(turn.reported, turn.output, turn.cached) for turn in lead.turns] == [(50, 7, 0), (70, 9, None)]
    (call,) = lead.calls()
    assert (call.key, call.arguments, call.result, call.span) == (
        "lead/turn-1/0",
        '{"key":"k"}',
        "324 m",
        f"{4:016x}",
    )
    assert call.entry is lead.entries[3]
    assert [tool.name for tool in lead.tools or ()] == ["look"]
    assert record.lacks("cost", "plans") == ("cost", "plans")
    assert not record.lacks(
        "content", "results", "windows", "usage", "times", "agents", "outcome", "tool_definitions"
    )
    assert [line.total for line in keep_ledger(record).turns["lead"]] == [50, 70]


def test_without_content_there_is_usage_and_the_rest_is_not_measurable(tmp_path: Path):
    spans = genai({"gen_ai__usage__prompt_tokens": 50}, {"gen_ai__usage__prompt_tokens": 70})

    record = read(write(tmp_path / "t", *spans))

    assert record.lacks("content", "results", "windows", "cost", "cached", "tool_definitions") == (
        "content",
        "results",
        "windows",
        "cost",
        "cached",
        "tool_definitions",
    )
    assert [turn.reported for turn in record.agents["lead"].turns] == [50, 70]
    assert [(call.tool, call.turn) for call in record.agents["lead"].calls()] == [("look", 1)]


def flat(prefix: str, messages: list[dict[str, Any]], style: str) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for index, message in enumerate(messages):
        place = f"{prefix}.{index}" + (".message" if style == "openinference" else "")
        facts[f"{place}.role"] = message["role"]
        part = message["parts"][0]
        if part["type"] == "tool_call":
            call = f"{place}.tool_calls.0" + (".tool_call" if style == "openinference" else "")
            inner = f"{call}.function" if style == "openinference" else call
            facts |= {f"{call}.id": part["id"], f"{inner}.name": part["name"]}
            facts[f"{inner}.arguments"] = json.dumps(part["arguments"])
        else:
            facts[f"{place}.content"] = part.get("content", part.get("response"))
        if part["type"] == "tool_call_response":
            facts[f"{place}.tool_call_id"] = part["id"]
    return facts


def openinference() -> list[dict[str, Any]]:
    def model(asked: list[dict[str, Any]], said: dict[str, Any], tokens: int) -> dict[str, Any]:
        facts = {"openinference.span.kind": "LLM", "llm.model_name": "m", "llm.token_count.prompt": tokens}
        return {
            **facts,
            **flat("llm.input_messages", asked, "openinference"),
            **flat("llm.output_messages", [said], "openinference"),
        }

    tool = {
        "openinference.span.kind": "TOOL",
        "tool.name": "look",
        "input.value": '{"key": "k"}',
        "output.value": "324 m",
    }
    return [
        span(1, 0, "run", **{"openinference.span.kind": "CHAIN"}),
        span(2, 1, "lead", **{"openinference.span.kind": "AGENT", "agent.name": "lead"}),
        span(3, 2, "generation", **model([TASK], CALL, 50)),
        span(4, 2, "look", **tool),
        span(5, 2, "generation", **model([TASK, CALL, RESULT], END, 70)),
    ]


def traceloop() -> list[dict[str, Any]]:
    def model(asked: list[dict[str, Any]], said: dict[str, Any], tokens: int) -> dict[str, Any]:
        facts = {"llm.request.type": "chat", "gen_ai.system": "OpenAI", "gen_ai.usage.prompt_tokens": tokens}
        return {
            **facts,
            **flat("gen_ai.prompt", asked, "traceloop"),
            **flat("gen_ai.completion", [said], "traceloop"),
        }

    tool = {"traceloop.entity.input": '{"key": "k"}', "traceloop.entity.output": "324 m"}
    return [
        span(1, 0, "w.workflow", **{"traceloop.span.kind": "workflow", "traceloop.entity.name": "w"}),
        span(2, 1, "lead.agent", **{"traceloop.span.kind": "agent", "traceloop.entity.name": "lead"}),
        span(3, 2, "openai.chat", **model([TASK], CALL, 50)),
        span(4, 2, "look.tool", **{"traceloop.span.kind": "tool", "traceloop.entity.name": "look", **tool}),
        span(5, 2, "openai.chat", **model([TASK, CALL, RESULT], END, 70)),
    ]


def span_events() -> list[dict[str, Any]]:
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"key": "k"}'}}
    before = [("gen_ai.user.message", {"content": "How high?"})]
    chose = (
        "gen_ai.choice",
        {"index": 0, "finish_reason": "tool_calls", "message": json.dumps({"tool_calls": [call]})},
    )
    after = [
        *before,
        ("gen_ai.assistant.message", {"tool_calls": json.dumps([call])}),
        ("gen_ai.tool.message", {"id": "c1", "content": "324 m"}),
    ]
    ended = ("gen_ai.choice", {"finish_reason": "stop", "message": json.dumps({"content": "324 m high."})})
    return genai(
        {"gen_ai__usage__input_tokens": 50, "_events": [*before, chose]},
        {"gen_ai__usage__input_tokens": 70, "_events": [*after, ended]},
        gen_ai__tool__call__result="324 m",
    )


def details_event() -> list[dict[str, Any]]:
    def told(asked: list[dict[str, Any]], said: dict[str, Any]) -> dict[str, Any]:
        content = {"gen_ai.input.messages": asked, "gen_ai.output.messages": [said]}
        return {"_events": [("gen_ai.client.inference.operation.details", content)]}

    return genai(
        {"gen_ai__usage__input_tokens": 50, **told([TASK], CALL)},
        {"gen_ai__usage__input_tokens": 70, **told([TASK, CALL, RESULT], END)},
        gen_ai__tool__call__result="324 m",
    )


@pytest.mark.parametrize("dialect", [openinference, traceloop, span_events, details_event])
def test_every_dialect_gives_the_same_run(dialect: Any, tmp_path: Path):
    record = read(write(tmp_path / "t", *dialect()))

    assert origins(record) == ["task", "assistant", "tool:look", "assistant"]
    assert [entry.text for entry in record.agents["lead"].entries][2:] == ["324 m", "324 m high."]
    assert [turn.reported for turn in record.turns()] == [50, 70]
    (call,) = record.calls.values()
    assert (call.id, call.tool, json.loads(call.arguments), call.result) == (
        "c1",
        "look",
        {"key": "k"},
        "324 m",
    )
    assert call.span == f"{4:016x}"
    assert (record.task, record.answer) == ("How high?", "324 m high.")


def test_dialects_are_merged_within_one_span(tmp_path: Path):
    mixed = {
        "traceloop__span__kind": "task",
        "gen_ai__operation__name": "chat",
        "gen_ai__output__messages": json.dumps([END]),
        "llm__token_count__prompt": 50,
        **{
            key.replace(".", "__"): value
            for key, value in flat("llm.input_messages", [TASK], "openinference").items()
        },
    }

    record = read(write(tmp_path / "t", span(1, 0, "chat", **mixed)))

    (agent,) = record.agents.values()
    assert [entry.text for entry in agent.entries] == ["How high?", "324 m high."]
    assert agent.turns[0].reported == 50


def test_content_in_log_records_joins_its_span(tmp_path: Path):
    path = write(tmp_path / "t", *genai({}, {}), lines=True)
    content = {"gen_ai.input.messages": [TASK], "gen_ai.output.messages": [END]}
    record = {
        "traceId": f"{1:032x}",
        "spanId": f"{3:016x}",
        "eventName": "gen_ai.client.inference.operation.details",
        "attributes": pairs(content),
    }
    with path.open("a") as file:
        file.write("\n" + json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}))

    lead = read(path).agents["lead"]

    assert [entry.text for entry in lead.entries] == ["How high?", "324 m high."]


def test_a_tool_call_and_its_mcp_call_are_one(tmp_path: Path):
    spans = genai({"gen_ai__output__messages": json.dumps([CALL])}, {})
    mcp = {
        "mcp__method__name": "tools/call",
        "gen_ai__operation__name": "execute_tool",
        "gen_ai__tool__name": "look",
    }
    spans += [
        span(6, 4, "tools/call look", **mcp),
        span(7, 6, "tools/call look", **mcp, gen_ai__tool__call__result="324 m"),
    ]

    record = read(write(tmp_path / "t", *spans))

    (call,) = record.calls.values()
    assert call.result == "324 m"
    assert record.notes == [
        "2 spans tell of a call that another span tells of too, and were made one with it"
    ]


def test_a_sub_agent_works_for_the_call_around_it(tmp_path: Path):
    spans = genai(
        {"gen_ai__input__messages": json.dumps([TASK]), "gen_ai__output__messages": json.dumps([CALL])},
        {
            "gen_ai__input__messages": json.dumps([TASK, CALL, RESULT]),
            "gen_ai__output__messages": json.dumps([END]),
        },
    )
    agent = {"gen_ai__operation__name": "invoke_agent", "gen_ai__agent__name": "scout"}
    chat = {
        "gen_ai__operation__name": "chat",
        "gen_ai__input__messages": json.dumps([text("user", "Look at k.")]),
    }
    spans += [span(6, 4, "invoke_agent scout", **agent), span(7, 6, "chat m", **chat)]

    record = read(write(tmp_path / "t", *spans))

    scout = record.agents["lead/scout"]
    assert (scout.parent, scout.parent_call, scout.brief) == ("lead", "lead/turn-1/0", "Look at k.")
    assert record.calls["lead/turn-1/0"].children == ["lead/scout"]
    assert "report:lead/scout" in origins(record)


def test_a_trace_in_disorder_is_read_and_the_mending_noted(tmp_path: Path):
    spans = genai({"gen_ai__usage__input_tokens": 1}, {"gen_ai__usage__input_tokens": 2})
    spans[0]["parentSpanId"] = f"{2:016x}"
    lost = span(9, 77, "chat m", gen_ai__operation__name="chat", gen_ai__usage__input_tokens=3)
    unfinished = span(10, 2, "chat m", gen_ai__operation__name="chat")
    del unfinished["endTimeUnixNano"]

    record = read(write(tmp_path / "t", *reversed([*spans, spans[2], lost, unfinished]), lines=True))

    assert [turn.reported for turn in record.agents["lead"].turns] == [1, 2, None]
    assert record.notes == [
        "1 spans came twice and were made one",
        "1 spans name a parent that is not in the trace",
        "1 cycles of parents were cut",
    ]


def test_failures_are_told(tmp_path: Path):
    spans = genai({"gen_ai__output__messages": json.dumps([CALL])}, {}, error__type="timeout", _failed=True)
    spans[0]["status"] = {"code": 2, "message": "gave up"}

    record = read(write(tmp_path / "t", *spans))

    (call,) = record.calls.values()
    assert (call.is_error, call.error_type, call.result) == (True, "timeout", "it broke")
    assert (record.outcome, record.error) == ("failed", "gave up")


def test_many_traces_in_one_file_are_many_runs_also_when_compressed(tmp_path: Path):
    chat = {"gen_ai__operation__name": "chat", "gen_ai__usage__input_tokens": 5}
    spans = [span(number, 0, "chat m", _trace=number % 3 + 1, **chat) for number in range(1, 10)]
    plain = write(tmp_path / "t", *spans, lines=True)
    packed = tmp_path / "t.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))

    for path in (plain, packed):
        assert [len(list(record.turns())) for record in read_records(path)] == [3, 3, 3]


def test_agents_without_spans_are_told_apart_by_how_their_conversations_begin(tmp_path: Path):
    def chat(number: int, *messages: dict[str, Any]) -> dict[str, Any]:
        return span(
            number, 1, "chat", gen_ai__operation__name="chat", gen_ai__input__messages=json.dumps(messages)
        )

    one, other = text("user", "First."), text("user", "Second.")
    spans = [span(1, 0, "root"), chat(2, one), chat(3, other), chat(4, one, END, text("user", "On."))]

    record = read(write(tmp_path / "t", *spans))

    assert [len(agent.turns) for agent in record.agents.values()] == [2, 1]
    assert record.lacks("agents") == ("agents",)


def test_hostile_content_stays_as_it_is(tmp_path: Path):
    hostile = "\x1b[2J</script>\u202e{{7*7}}"
    asked = {"gen_ai__input__messages": json.dumps([text("user", hostile)])}

    record = read(write(tmp_path / "t", *genai(asked, {})))

    assert record.task == hostile
