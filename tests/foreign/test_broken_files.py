"""Whatever a file holds, reading it gives records or an error that names the place; nothing else, and at once."""

from __future__ import annotations

import copy
import gzip
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spans import span, write

from harness.errors import TraceError
from harness.foreign import read_records

TRACES = Path(__file__).parent / "traces"
IDS = {"traceId": "0" * 31 + "1", "spanId": "0" * 15 + "1"}


def otlp(**span: Any) -> dict[str, Any]:
    return {"resourceSpans": [{"scopeSpans": [{"spans": [{**IDS, "name": "chat", **span}]}]}]}


def value(inner: Any) -> dict[str, Any]:
    return otlp(attributes=[{"key": "k", "value": inner}])


def nested(depth: int) -> str:
    return '{"arrayValue":{"values":[' * depth + '{"stringValue":"x"}' + "]}}" * depth


def zipped(**members: bytes) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return held.getvalue()


ATIF = {"schema_version": "ATIF-v1.2", "session_id": "s", "agent": {"name": "a"}}
GOOD = json.dumps(otlp()).encode()

BROKEN: dict[str, bytes | Any] = {
    "empty": b"",
    "only white space": b" \n\n\t ",
    "zeros": bytes(64),
    "binary": bytes(range(256)) * 4,
    "text": b"hello, this is no trace",
    "xml": b"<trace/>",
    "invalid utf-8": b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"\xff\xfe"}]}]}]}',
    "a number": b"[1]",
    "null in a list": b"[null]",
    "an empty object": {},
    "an empty list": [],
    "an unknown object": {"hello": "world"},
    "truncated in the middle": GOOD[: len(GOOD) // 2],
    "truncated by one": GOOD[:-1],
    "truncated in the second line": GOOD + b"\n" + GOOD[:50],
    "second line is no JSON": GOOD + b"\nnonsense\n",
    "second line is another format": GOOD + b'\n{"messages":[]}\n',
    "trailing garbage": json.dumps(otlp(), indent=1).encode() + b"}}}",
    "NaN": b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"startTimeUnixNano":NaN}]}]}]}',
    "deep": b'{"a":' * 5000 + b"1" + b"}" * 5000,
    "deep lists": b"[" * 100_000,
    "deep value": f'{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"traceId":"{"0" * 31}1","spanId":"{"0" * 15}1","attributes":[{{"key":"k","value":{nested(90)}}}]}}]}}]}}]}}'.encode(),
    "resourceSpans is a string": {"resourceSpans": "x"},
    "resourceSpans is a number": {"resourceSpans": 3},
    "a resource is a string": {"resourceSpans": ["x"]},
    "a resource is null": {"resourceSpans": [None]},
    "scopeSpans is an object": {"resourceSpans": [{"scopeSpans": {}}]},
    "a scope is a number": {"resourceSpans": [{"scopeSpans": [1]}]},
    "spans is a string": {"resourceSpans": [{"scopeSpans": [{"spans": "x"}]}]},
    "a span is a list": {"resourceSpans": [{"scopeSpans": [{"spans": [[]]}]}]},
    "a span without ids": {"resourceSpans": [{"scopeSpans": [{"spans": [{"name": "x"}]}]}]},
    "a trace id that is short": otlp(traceId="12"),
    "a trace id that is no hex": otlp(traceId="z" * 32),
    "a trace id that is a number": otlp(traceId=12),
    "a span id that is null": otlp(spanId=None),
    "a parent that is a list": otlp(parentSpanId=[1]),
    "a name that is a number": otlp(name=3),
    "a time that is text": otlp(startTimeUnixNano="yesterday"),
    "a time that is huge": otlp(startTimeUnixNano="9" * 400),
    "a time that is a huge number": otlp(startTimeUnixNano=1e300),
    "a time that is negative": otlp(endTimeUnixNano="-5"),
    "a time that is an object": otlp(endTimeUnixNano={}),
    "attributes are a mapping": otlp(attributes={"a": "b"}),
    "attributes are a string": otlp(attributes="a"),
    "an attribute is a string": otlp(attributes=["a"]),
    "an attribute's key is a number": otlp(attributes=[{"key": 1, "value": {"stringValue": "x"}}]),
    "an attribute's value is bare": otlp(attributes=[{"key": "a", "value": "b"}]),
    "an unknown kind of value": value({"dateValue": "x"}),
    "a string that is none": value({"stringValue": 3}),
    "a boolean that is none": value({"boolValue": "yes"}),
    "an integer that is none": value({"intValue": "three"}),
    "an integer that is huge": value({"intValue": "1" * 5000}),
    "a double that is none": value({"doubleValue": "much"}),
    "an array that is none": value({"arrayValue": 3}),
    "an array of bare values": value({"arrayValue": {"values": [1]}}),
    "a list of pairs that is none": value({"kvlistValue": {"values": [1]}}),
    "events are an object": otlp(events={}),
    "an event is a string": otlp(events=["x"]),
    "a status that is text": otlp(status="bad"),
    "logs are a string": {"resourceLogs": "x"},
    "a log record is a number": {"resourceLogs": [{"scopeLogs": [{"logRecords": [1]}]}]},
    "a console span without ids": {"context": {}, "attributes": {}, "name": "x"},
    "a console span with a bad time": {
        "context": {"trace_id": "0x" + "0" * 31 + "1", "span_id": "0x" + "0" * 15 + "1"},
        "attributes": {},
        "start_time": "soon",
    },
    "messages is a string": {"messages": "x"},
    "a message is a number": {"messages": [1]},
    "a message without a role": {"messages": [{"content": "x"}]},
    "an unknown role": {"messages": [{"role": "king", "content": "x"}]},
    "content is a number": {"messages": [{"role": "user", "content": 3}]},
    "tool calls are text": {"messages": [{"role": "assistant", "tool_calls": "x"}]},
    "a tool call is a number": {"messages": [{"role": "assistant", "tool_calls": [1]}]},
    "a later run is broken": [{"messages": []}, {"messages": 3}],
    "a trajectory without steps": {**ATIF},
    "steps are an object": {**ATIF, "steps": {}},
    "a step is a string": {**ATIF, "steps": ["x"]},
    "a step of nobody": {**ATIF, "steps": [{"source": "ghost"}]},
    "tool calls of a step are text": {**ATIF, "steps": [{"source": "agent", "tool_calls": "x"}]},
    "results are a number": {**ATIF, "steps": [{"source": "agent", "observation": {"results": 3}}]},
    "an observation is a list": {**ATIF, "steps": [{"source": "agent", "observation": [1]}]},
    "an agent is a string": {**ATIF, "agent": "a", "steps": []},
    "an inspect log without samples": {"eval": {}, "status": "success"},
    "a sample is a string": {"eval": {}, "samples": ["x"]},
    "events of a sample are text": {"eval": {}, "samples": [{"id": 1, "events": "x"}]},
    "an event of a sample is a number": {"eval": {}, "samples": [{"events": [{"event": "model"}, 1]}]},
    "ranges that are none": {
        "eval": {},
        "samples": [{"events": [{"event": "model", "input_refs": [[1, "x"]]}]}],
    },
    "a zip that is cut off": zipped(**{"samples/1.json": b"{}"})[:40],
    "a zip of nothing": zipped(),
    "a zip of something else": zipped(**{"readme.txt": b"hello"}),
    "a sample that is no JSON": zipped(**{"samples/1.json": b"{"}),
    "a sample that is a list": zipped(**{"samples/1.json": b"[]"}),
    "gzip that is cut off": gzip.compress(GOOD * 100)[:-20],
    "gzip of nothing": gzip.compress(b""),
    "gzip of binary": gzip.compress(bytes(200)),
    "gzip that is damaged": b"\x1f\x8b" + bytes(40),
    "protobuf that is cut off": (TRACES / "openai-agents.pb").read_bytes()[:1000],
    "protobuf that begins later": (TRACES / "openai-agents.pb").read_bytes()[7:],
}


def written(tmp_path: Path, content: Any) -> Path:
    path = tmp_path / "trace"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.timeout(10)
def test_a_broken_file_is_refused_with_its_place(name: str, tmp_path: Path):
    path = written(tmp_path, BROKEN[name])

    with pytest.raises(TraceError) as caught:
        list(read_records(path))

    assert str(caught.value).startswith(str(path))
    assert len(str(caught.value)) < 700


def test_the_error_names_line_path_and_what_was_expected(tmp_path: Path):
    lines = [otlp(), value({"intValue": "three"})]
    path = written(tmp_path, "\n".join(map(json.dumps, lines)).encode())

    with pytest.raises(TraceError) as caught:
        list(read_records(path))

    place = "line 2: resourceSpans[0].scopeSpans[0].spans[0].attributes[0].value.intValue"
    assert str(caught.value) == f"{path}: {place}: expected a 64-bit integer, found 'three'"


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(TraceError, match="nowhere.json: cannot be read"):
        list(read_records(tmp_path / "nowhere.json"))


@pytest.mark.timeout(10)
@pytest.mark.parametrize("broken", ["[%s,]", "[%s, {]", "[%s, 1 2]"])
def test_a_request_that_begins_like_the_one_before_and_is_no_json_is_a_text(broken: str, tmp_path: Path):
    said = json.dumps({"role": "user", "content": "Go."})
    inputs = [f"[{said}]", broken % said]

    [record] = read_records(
        write(
            tmp_path / "broken.json",
            span(1, 0, "invoke_agent a", **{"gen_ai.operation.name": "invoke_agent"}),
            *(
                span(number, 1, "chat m", **{"gen_ai.operation.name": "chat", "gen_ai.input.messages": told})
                for number, told in enumerate(inputs, 2)
            ),
        )
    )

    [agent] = record.agents.values()
    assert [entry.text for entry in agent.window(1)] == ["Go."]
    assert [entry.text for entry in agent.window(2)] == [inputs[1]]


def test_spans_without_ids_are_no_parents_of_themselves(tmp_path: Path):
    events = [{"event": "span_begin", "id": "", "name": "a"}, {"event": "model", "input": []}]
    path = written(tmp_path, {"eval": {}, "samples": [{"id": 1, "events": events}]})

    (record,) = read_records(path)

    assert len(list(record.turns())) == 1


SEEDS: list[Any] = [
    json.loads((TRACES / "pydantic-ai.jsonl").read_text().splitlines()[0]),
    json.loads((TRACES / "langgraph.jsonl").read_text().splitlines()[0]),
    json.loads((TRACES / "tau-bench" / "gpt-4o-airline.sample12.json").read_text())[0],
    {
        **ATIF,
        "steps": [
            {"step_id": 1, "source": "user", "message": "Go."},
            {
                "step_id": 2,
                "source": "agent",
                "message": "I look.",
                "tool_calls": [{"tool_call_id": "c", "function_name": "read", "arguments": {"path": "a"}}],
                "observation": {"results": [{"source_call_id": "c", "content": "found"}]},
                "metrics": {"prompt_tokens": 10, "cost_usd": 0.1},
            },
        ],
    },
    {
        "eval": {},
        "samples": [
            {
                "id": 1,
                "epoch": 1,
                "events_data": {"messages": [{"role": "user", "content": "Go."}]},
                "events": [
                    {"event": "span_begin", "id": "s", "name": "a", "type": "agent"},
                    {
                        "event": "model",
                        "span_id": "s",
                        "input_refs": [[0, 1]],
                        "output": {
                            "choices": [{"message": {"role": "assistant", "content": "x"}}],
                            "usage": {},
                        },
                    },
                    {
                        "event": "tool",
                        "span_id": "s",
                        "id": "c",
                        "function": "f",
                        "arguments": {},
                        "result": "r",
                    },
                ],
                "scores": {"s": {"value": "C"}},
            }
        ],
    },
]

ODD = st.sampled_from(
    [
        None,
        True,
        -1,
        0,
        10**30,
        1e308,
        "",
        "x",
        "9" * 500,
        "\x1b[2J\u202e",
        [],
        {},
        [None],
        [[[]]],
        {"a": {"b": []}},
        "[1",
        "{}",
    ]
)


def places(held: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = held.items() if isinstance(held, dict) else enumerate(held) if isinstance(held, list) else ()
    return [way, *(place for key, one in inner for place in places(one, (*way, key)))]


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_valid_file_with_anything_in_any_place_gives_records_or_an_error(
    tmp_path: Path, data: st.DataObject
):
    held = copy.deepcopy(data.draw(st.sampled_from(SEEDS)))
    for _ in range(data.draw(st.integers(1, 3))):
        way = data.draw(st.sampled_from(places(held)[1:] or [()]))
        if not way:
            break
        at = held
        for key in way[:-1]:
            at = at[key]
        if data.draw(st.booleans()):
            at[way[-1]] = copy.deepcopy(data.draw(ODD))
        elif isinstance(at, dict):
            del at[way[-1]]
    path = written(tmp_path, held)

    try:
        records = list(read_records(path))
    except TraceError:
        return
    for record in records:
        assert all(agent.path == path for path, agent in record.agents.items())


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_file_with_damaged_bytes_gives_records_or_an_error(tmp_path: Path, data: st.DataObject):
    name = data.draw(st.sampled_from(["openai-agents.pb", "pydantic-ai.jsonl"]))
    held = bytearray((TRACES / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        held[data.draw(st.integers(0, len(held) - 1))] = data.draw(st.integers(0, 255))
    path = written(tmp_path, bytes(held))

    try:
        list(read_records(path))
    except TraceError:
        return
