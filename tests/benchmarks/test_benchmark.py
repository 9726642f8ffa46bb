"""The benchmark measures what it says: the server checks, the clients do the whole work, verdicts hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from tests.benchmarks import command, compare, table
from tests.benchmarks.compare import Pair
from tests.benchmarks.conversation import Conversations, fill
from tests.benchmarks.floor_wires import FLOOR_WIRES, Tool
from tests.benchmarks.measure import Measurement
from tests.benchmarks.model_server import model_server, model_server_process
from tests.benchmarks.wires import APIS
from tests.benchmarks.workloads import Workload, w1, w2, w3

GENEROUS_SECONDS = 60
TOOLS = [{"type": "function", "function": {"name": "bench__echo", "parameters": {}}}]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    with model_server_process() as url:
        yield url


def request(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"model": "m", "messages": list(messages), "tools": TOOLS, **fields}


def task(turns: int = 2) -> dict[str, Any]:
    return {"role": "user", "content": f"Please: SCRIPT: turns={turns} tool=echo"}


def calls(*texts: str) -> dict[str, Any]:
    listed = [
        {
            "id": f"call_{number:024x}",
            "type": "function",
            "function": {"name": "bench__echo", "arguments": orjson.dumps({"text": text}).decode()},
        }
        for number, text in enumerate(texts)
    ]
    return {"role": "assistant", "content": None, "tool_calls": listed}


def result(number: int, text: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": f"call_{number:024x}", "content": text}


def problems_of(*messages: dict[str, Any]) -> list[str]:
    problems: list[str] = []
    Conversations(problems.append).answer(orjson.dumps(request(*messages)))
    return problems


def test_a_right_conversation_has_no_problems():
    assert problems_of(task(), calls("a", "b"), result(0, "a"), result(1, "b")) == []


@pytest.mark.parametrize(
    ("messages", "problem"),
    [
        ((task(), calls("a", "b"), result(1, "b"), result(0, "a")), "is due"),
        ((task(), calls("a", "b"), result(0, "a")), "1 tool calls unanswered"),
        ((task(), calls("a"), calls("b"), result(0, "b")), "unanswered before an assistant message"),
        ((task(), calls("a"), result(0, "a"), result(0, "a")), "nothing is waiting for"),
        ((task(), calls("a"), result(0, "another")), "not 'a'"),
        ((task(), calls("a"), {"role": "user", "content": "well?"}, result(0, "a")), "unanswered"),
        ((task(), {"role": "critic", "content": "no"}), "unknown role"),
        (({"role": "user", "content": "hello"},), "no SCRIPT"),
    ],
)
def test_a_wrong_conversation_is_counted_bad(messages: tuple[dict[str, Any], ...], problem: str):
    assert problem in " ".join(problems_of(*messages))


def converse(texts: list[str], *, compact: bool) -> list[str]:
    """Answer three calls with `texts` ({} for what was asked) and return what the server complained about."""
    problems: list[str] = []
    conversations = Conversations(problems.append)
    messages = [task(turns=len(texts))]
    for text in texts:
        body = orjson.dumps(request(*messages), option=0 if compact else orjson.OPT_INDENT_2)
        (call,) = conversations.answer(body)[0].calls
        function = {"name": call.name, "arguments": call.arguments}
        listed = [{"id": call.id, "type": "function", "function": function}]
        messages.append({"role": "assistant", "content": None, "tool_calls": listed})
        asked = orjson.loads(call.arguments)["text"]
        messages.append({"role": "tool", "tool_call_id": call.id, "content": text.format(asked)})
    conversations.answer(orjson.dumps(request(*messages)))
    return [problem.partition("is")[2] for problem in problems]


@pytest.mark.parametrize("texts", [["{}", "{}", "{}"], ["{}", "wrong", "{}"]])
def test_the_short_cut_for_grown_conversations_finds_what_parsing_them_whole_finds(texts: list[str]):
    short = converse(texts, compact=True)

    # Parsed whole, an old fault is found again at each request.
    assert set(short) == set(converse(texts, compact=False))
    assert bool(short) == ("wrong" in texts)


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("compact", [True, False], ids=["grown", "whole"])
def test_a_wrong_result_is_found_in_every_api(api: str, compact: bool):
    problems: list[str] = []
    conversations, spoken, floor = Conversations(problems.append), APIS[api], FLOOR_WIRES[api]()
    tool = Tool("bench__echo", "", {"type": "object"})
    sent, items = floor.begin("", "SCRIPT: turns=3 tool=echo", [tool], stream=False)
    for right in (True, False, True):
        body = orjson.dumps(sent, option=0 if compact else orjson.OPT_INDENT_2)
        reply, _ = conversations.answer(body, wire=spoken, said={"model": "m", "stream": False})
        said = floor.read(orjson.loads(spoken.plain(reply, number=1, request_bytes=len(body))))
        items += said.items
        items += floor.results((call, call.arguments["text"] if right else "no") for call in said.calls)
    conversations.answer(orjson.dumps(sent), wire=spoken, said={"model": "m", "stream": False})

    assert {problem.rpartition(", ")[0].partition(" is ")[2] for problem in problems} == {"'no'"}


def test_a_schema_is_filled_with_the_first_choice_and_the_objective():
    schema = {
        "properties": {"agent": {"enum": ["worker", "b"]}, "form": {"type": "string"}, "objective": {}},
        "required": ["agent", "form", "objective"],
    }

    assert fill(schema, "SCRIPT") == {"agent": "worker", "form": "one line", "objective": "SCRIPT"}


@pytest.mark.anyio
async def test_the_server_counts_what_is_malformed_and_streams_what_it_says():
    async with model_server() as server, aiohttp.ClientSession() as session:
        url = f"{server.base_url}/chat/completions"
        async with session.post(url, data=b"{}") as response:
            assert response.status == 400
        async with session.post(url, json=request(task())) as response:
            message = (await response.json())["choices"][0]["message"]
        async with session.post(url, json=request(task(), stream=True)) as response:
            lines = (await response.text()).strip().split("\n\n")
        deltas = [orjson.loads(line.removeprefix("data: "))["choices"][0]["delta"] for line in lines[:-1]]
        pieces = [call["function"]["arguments"] for delta in deltas for call in delta.get("tool_calls", ())]

        assert lines[-1] == "data: [DONE]"
        assert "".join(pieces) == message["tool_calls"][0]["function"]["arguments"]
        assert (server.stats.requests, server.stats.bad) == (3, 1)


OTHER_APIS = [api for api in APIS if api != "openai-chat"]
WORKLOADS = [
    w1(10),
    w2(3),
    w3(8),
    *(replace(w3(8), api=api) for api in OTHER_APIS),
    *(replace(w3(8), api=api, stream=True) for api in APIS),
]


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.title)
@pytest.mark.parametrize("client", [compare.FLOOR, compare.HARNESS])
def test_a_client_does_the_whole_work(client: str, workload: Workload, base_url: str):
    measurement = compare.run_client(client, workload, base_url, seconds=GENEROUS_SECONDS)

    assert measurement.right, measurement.why
    assert 0 < measurement.wall_seconds < GENEROUS_SECONDS
    assert measurement.cpu_seconds > 0
    assert measurement.peak_mb > 0


def test_a_wrong_answer_makes_the_row_wrong_however_fast_it_was():
    pairs = [Pair(right(), right()), Pair(right(), Measurement.failed("199 requests instead of 201"))]

    cpu = table.rows_of(w1(200), pairs, judged=True)[0]

    assert cpu.verdict == "WRONG"
    assert "199 requests" in table.render([cpu])


def right(*, wall: float = 1.0, cpu: float = 0.2, peak: float = 100.0) -> Measurement:
    return Measurement(
        right=True, wall_seconds=wall, cpu_seconds=cpu, peak_mb=peak, first_gap_ms=1.0, last_gap_ms=2.0
    )


def test_ratios_are_taken_pair_by_pair_and_held_against_the_target():
    pairs = [
        Pair(right(cpu=1), right(cpu=1.5)),
        Pair(right(cpu=2), right(cpu=5)),
        Pair(right(), right(cpu=0.3)),
    ]

    cpu = table.rows_of(w1(200), pairs, judged=True)[0]

    assert (cpu.ratio, cpu.verdict) == (pytest.approx(1.5), "ok")


def test_a_missed_target_is_said():
    wall, peak, _ = table.rows_of(w2(1000), [Pair(right(), right(wall=3.0, peak=500.0))], judged=True)

    assert (wall.verdict, peak.verdict) == ("MISSED", "MISSED")
    assert "MISSED" in table.render([wall, peak])


def test_the_command_prints_a_table_of_the_floor_alone(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    arguments = ["--quick", "--floor-only", "--only", "w1", "--json", str(tmp_path / "out.json")]

    assert command.main(arguments) == 0
    assert "CPU per turn" in capsys.readouterr().out
    assert orjson.loads((tmp_path / "out.json").read_bytes())["measurements"]["w1 · 10"][0]["floor"]["right"]
