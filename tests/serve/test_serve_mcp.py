"""The team as an MCP server: real MCP clients of both eras, over streamable HTTP and standard input."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from house import PAIR, Gate, House, house
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp_types import ElicitRequestParams, ElicitResult
from surroundings import environment

from harness import calls, says, scripted
from harness.serve import ServeOptions

pytestmark = pytest.mark.anyio

ERAS = ["auto", "legacy"]

ASKING = """\
agents: {lead: {description: Answers., instructions: Answer., tools: [desk]}}
permissions:
  - {tool: desk.send, allow: ask, reason: It leaves the house.}
"""


@asynccontextmanager
async def connect(served: House, era: str, *, token: str = "", **options: Any) -> AsyncIterator[Client]:
    """Connect a client of one era."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=30) as http,
        Client(streamable_http_client(f"{served.url}/mcp", http_client=http), mode=era, **options) as client,
    ):
        yield client


@pytest.mark.parametrize("era", ERAS)
async def test_every_agent_that_is_offered_is_a_tool(tmp_path: Path, era: str):
    async with (
        house(tmp_path, PAIR, options=ServeOptions(agents=("lead", "scout"))) as served,
        connect(served, era) as client,
    ):
        tools = (await client.list_tools()).tools

    assert [(tool.name, tool.description) for tool in tools] == [
        ("lead", "Leads."),
        ("scout", "Finds things."),
    ]
    assert tools[0].input_schema["required"] == ["task"]
    assert set((tools[0].output_schema or {})["properties"]) >= {
        "output",
        "citations",
        "run_id",
        "stop_reason",
    }


@pytest.mark.parametrize("era", ERAS)
async def test_a_call_is_a_run_and_its_result_the_runs(tmp_path: Path, era: str):
    async with house(tmp_path, lead=scripted(says("X is at 4."))) as served, connect(served, era) as client:
        result = await client.call_tool("lead", {"task": "Where is X?"})
        run = (await served.ask("GET", "/runs")).body["runs"][0]

    assert result.content[0].text == "X is at 4."
    told = result.structured_content or {}
    assert (told["output"], told["stop_reason"], told["run_id"]) == ("X is at 4.", "done", run["run_id"])
    assert run["task"] == "Where is X?"


@pytest.mark.parametrize("era", ERAS)
async def test_progress_is_told_while_the_run_goes_on(tmp_path: Path, era: str):
    gate = Gate()
    told: list[tuple[float, str | None]] = []

    async def hear(done: float, total: float | None, message: str | None) -> None:
        told.append((done, message))
        if message == "lead: desk.wait":
            gate.opened.set()

    lead = scripted(calls("desk.wait"), says("Done."))
    async with house(tmp_path, desk=[gate.wait], lead=lead) as served, connect(served, era) as client:
        await client.call_tool("lead", {"task": "Go."}, progress_callback=hear)

    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert [message for _, message in told][:3] == ["lead begins", "lead: turn 1", "lead: desk.wait"]


@pytest.mark.parametrize("era", ERAS)
async def test_cancelling_the_call_cancels_the_run(tmp_path: Path, era: str):
    gate = Gate()
    async with (
        house(tmp_path, desk=[gate.wait], lead=scripted(calls("desk.wait"))) as served,
        connect(served, era) as client,
    ):
        async with anyio.create_task_group() as caller:
            caller.start_soon(client.call_tool, "lead", {"task": "Go."})
            await gate.entered.wait()
            [run] = served.harness.live.values()
            caller.cancel_scope.cancel()
        result = await run.result()

    assert result.stop_reason == "cancelled"


@pytest.mark.parametrize("era", ERAS)
async def test_a_run_that_failed_is_an_error(tmp_path: Path, era: str):
    async with house(tmp_path, lead=scripted()) as served, connect(served, era) as client:
        failed = await client.call_tool("lead", {"task": "Go."})
        empty = await client.call_tool("lead", {"task": " "})

    assert failed.is_error
    assert "the script of scripted is over" in failed.content[0].text
    assert empty.is_error
    assert "the task is empty" in empty.content[0].text


class Desk:
    """A tool that is asked about first."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    async def send(self, to: str) -> str:
        """Send it."""
        self.sent.append(to)
        return f"sent to {to}"


def sending() -> Any:
    return scripted(calls("desk.send", to="office"), lambda messages: says(messages[-1].text))


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("reply", "sent", "said"),
    [
        (ElicitResult(action="accept", content={"allow": True}), ["office"], "sent to office"),
        (ElicitResult(action="accept", content={"allow": False, "reason": "not him"}), [], "not him"),
        (ElicitResult(action="decline"), [], "desk.send"),
    ],
)
async def test_the_client_is_asked_for_permission(
    tmp_path: Path, era: str, reply: ElicitResult, sent: list[str], said: str
):
    desk, asked = Desk(), []

    async def answer(context: Any, params: ElicitRequestParams) -> ElicitResult:
        asked.append(params.message)
        return reply

    async with (
        house(tmp_path, ASKING, desk=[desk.send], lead=sending()) as served,
        connect(served, era, elicitation_callback=answer) as client,
    ):
        result = await client.call_tool("lead", {"task": "Tell the office."})

    assert desk.sent == sent
    assert said in result.content[0].text
    assert (result.structured_content or {})["stop_reason"] == "done"
    assert len(asked) == 1
    assert 'lead wants to call desk.send {"to":"office"}' in asked[0]


@pytest.mark.parametrize("era", ERAS)
async def test_a_client_that_cannot_ask_is_told_what_waits_and_how_to_answer(tmp_path: Path, era: str):
    desk = Desk()
    async with house(tmp_path, ASKING, desk=[desk.send], lead=sending()) as served:
        async with connect(served, era) as client:
            result = await client.call_tool("lead", {"task": "Tell the office."})
        told = result.structured_content or {}
        run_id, call = told["run_id"], told["waiting"][0]["call"]
        shown = (await served.ask("GET", f"/runs/{run_id}")).body
        approved = await served.ask("POST", f"/runs/{run_id}/approve", json={"call": call})
        events = await served.events(run_id)

    assert told["stop_reason"] == shown["status"] == "suspended"
    assert f"POST /runs/{run_id}/approve" in result.content[0].text
    assert shown["waiting"][0]["tool"] == "desk.send"
    assert approved.status == 202
    assert desk.sent == ["office"]
    assert [event.id for event in events] == list(range(len(events)))
    assert events[-1].data["output"] == "sent to office"


@pytest.mark.parametrize("era", ERAS)
async def test_a_form_that_is_dismissed_leaves_the_run_waiting(tmp_path: Path, era: str):
    async def dismiss(context: Any, params: ElicitRequestParams) -> ElicitResult:
        return ElicitResult(action="cancel")

    desk = Desk()
    async with (
        house(tmp_path, ASKING, desk=[desk.send], lead=sending()) as served,
        connect(served, era, elicitation_callback=dismiss) as client,
    ):
        result = await client.call_tool("lead", {"task": "Tell the office."})

    assert (result.structured_content or {})["stop_reason"] == "suspended"
    assert desk.sent == []


TWO = """\
agents:
  lead: {description: Answers., instructions: Answer., tools: [desk]}
permissions: [{tool: desk.send, allow: ask}]
"""


@pytest.mark.parametrize("era", ERAS)
async def test_two_calls_that_wait_are_both_asked_about(tmp_path: Path, era: str):
    async def answer(context: Any, params: ElicitRequestParams) -> ElicitResult:
        return ElicitResult(action="accept", content={"allow": "office" in params.message})

    from harness import together

    desk = Desk()
    lead = scripted(
        together(calls("desk.send", to="office"), calls("desk.send", to="eve")), says("Both asked.")
    )
    async with (
        house(tmp_path, TWO, desk=[desk.send], lead=lead) as served,
        connect(served, era, elicitation_callback=answer) as client,
    ):
        result = await client.call_tool("lead", {"task": "Tell them."})

    assert desk.sent == ["office"]
    assert result.content[0].text == "Both asked."


async def test_an_approval_of_the_new_era_outlives_the_connection(tmp_path: Path):
    desk = Desk()
    options = ServeOptions(tokens=("a long and secret token",))
    yes = ElicitResult(action="accept", content={"allow": True})

    async def never(context: Any, params: ElicitRequestParams) -> ElicitResult:
        raise AssertionError("nobody is asked here")

    async with house(
        tmp_path, ASKING, desk=[desk.send], lead=sending(), options=options, token=options.tokens[0]
    ) as served:
        async with connect(served, "auto", token=options.tokens[0], elicitation_callback=never) as client:
            asked = await client.session.call_tool(
                "lead", {"task": "Tell the office."}, allow_input_required=True
            )
        [name] = asked.input_requests
        async with connect(served, "auto", token=options.tokens[0], elicitation_callback=never) as client:
            with pytest.raises(MCPError, match="Invalid or expired"):
                await client.session.call_tool(
                    "lead",
                    {"task": "Tell Eve."},
                    input_responses={name: yes},
                    request_state=asked.request_state,
                    allow_input_required=True,
                )
            result = await client.session.call_tool(
                "lead",
                {"task": "Tell the office."},
                input_responses={name: yes},
                request_state=asked.request_state,
                allow_input_required=True,
            )

    assert desk.sent == ["office"]
    assert result.content[0].text == "sent to office"


async def test_a_call_with_a_key_is_made_once(tmp_path: Path):
    lead = scripted(says("Once."))
    async with house(tmp_path, lead=lead) as served, connect(served, "auto") as client:
        results = [
            await client.call_tool("lead", {"task": "Go."}, meta={"harness/idempotency-key": "run/1"})
            for _ in range(2)
        ]

    runs = [(result.structured_content or {})["run_id"] for result in results]
    assert runs[0] == runs[1]
    assert len(lead.requests) == 1


async def test_the_guard_stands_before_mcp_too(tmp_path: Path):
    async with house(tmp_path, options=ServeOptions(tokens=("right",), body_limit=5000)) as served:
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        without = await served.ask("POST", "/mcp", json=body)
        headers = {"Authorization": "Bearer right", "Accept": "application/json, text/event-stream"}
        elsewhere = await served.ask("POST", "/mcp", json=body, headers={**headers, "Host": "evil.example"})
        large = await served.ask("POST", "/mcp", json={**body, "params": {"x": "y" * 6000}}, headers=headers)
        async with connect(served, "auto", token="right") as client:
            tools = (await client.list_tools()).tools

    assert (without.status, elsewhere.status, large.status, len(tools)) == (401, 421, 413, 1)


TEAM = """\
harness: 1
name: spoken
entry: lead
models: {default: {api: scripted, script: [{say: X is at 4.}]}}
agents: {lead: {description: Answers., instructions: Answer.}}
"""


@asynccontextmanager
async def spoken(folder: Path, era: str) -> AsyncIterator[Client]:
    (folder / "team.yaml").write_text(TEAM)
    parameters = StdioServerParameters(
        command=sys.executable,
        args=[
            "-m",
            "harness",
            "serve",
            str(folder / "team.yaml"),
            "--stdio",
            "--store",
            str(folder / "runs"),
        ],
        env=environment(),
    )
    with anyio.fail_after(60):
        async with Client(parameters, mode=era) as client:
            yield client


@pytest.mark.parametrize("era", ERAS)
async def test_over_standard_input_it_is_the_same_server(tmp_path: Path, era: str):
    async with spoken(tmp_path, era) as client:
        tools = (await client.list_tools()).tools
        result = await client.call_tool("lead", {"task": "Where is X?"})

    assert [tool.name for tool in tools] == ["lead"]
    assert (result.structured_content or {})["output"] == "X is at 4."
