"""The OpenAI-compatible endpoint, on the wire."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest
from house import ALONE, PAIR, Gate, House, house

from harness import Message, calls, says, scripted
from harness.messages import Image, Reasoning, Text
from harness.models.port import CallOptions, ModelResponse, Observe, TextDelta, Transcript
from harness.models.scripted import ScriptedModel
from harness.serve import ServeOptions

pytestmark = pytest.mark.anyio

HELLO = [{"role": "user", "content": "Where is X?"}]


class SpeakingModel(ScriptedModel):
    """A scripted model whose text comes word by word, each when the test asks for it."""

    def __init__(self, *replies: Any) -> None:
        super().__init__(*replies)
        self.said = anyio.Event()
        self.goes_on = anyio.Event()

    async def respond(self, transcript: Transcript, options: CallOptions, observe: Observe) -> ModelResponse:
        response = await super().respond(transcript, options, observe)
        first, _, rest = response.message.text.partition(" ")
        observe(TextDelta(first))
        self.said.set()
        await self.goes_on.wait()
        if rest:
            observe(TextDelta(f" {rest}"))
        return response


async def chat(served: House, messages: Any = HELLO, model: str = "house", **body: Any) -> Any:
    return await served.ask(
        "POST", "/v1/chat/completions", json={"model": model, "messages": messages, **body}
    )


def chunks(body: bytes) -> list[Any]:
    """The JSON of every data line."""
    lines = [line[6:] for line in body.split(b"\n") if line.startswith(b"data: ")]
    assert lines[-1] == b"[DONE]"
    return [orjson.loads(line) for line in lines[:-1]]


def content(every: Sequence[Any]) -> str:
    return "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in every if chunk.get("choices"))


async def test_models_are_the_team_and_the_agents_that_are_offered(tmp_path: Path):
    async with house(tmp_path, PAIR, options=ServeOptions(agents=("*",))) as served:
        listed = (await served.ask("GET", "/v1/models")).body
        one = (await served.ask("GET", "/v1/models/house/scout")).body
    async with house(tmp_path, PAIR) as served:
        default = (await served.ask("GET", "/v1/models")).body

    assert [model["id"] for model in listed["data"]] == ["house", "house/lead", "house/scout"]
    assert one == {"id": "house/scout", "object": "model", "created": 0, "owned_by": "harness"}
    assert [model["id"] for model in default["data"]] == ["house", "house/lead"]


async def test_an_answer_has_the_run_in_it(tmp_path: Path):
    async with house(tmp_path, lead=scripted(says("X is at 4."))) as served:
        reply = await chat(served, temperature=0.3)
        run = (await served.ask("GET", f"/runs/{reply.body['id']}")).body

    assert reply.status == 200
    [choice] = reply.body["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("X is at 4.", "stop")
    assert reply.body["usage"]["total_tokens"] == run["usage"]["input_tokens"] + run["usage"]["output_tokens"]
    assert run["task"] == "Where is X?"
    assert reply.body["harness"]["stop_reason"] == "done"
    assert reply.body["harness"]["ignored"] == ["temperature"]


async def test_an_agent_can_be_asked_by_name(tmp_path: Path):
    models = {"lead": scripted(says("Lead.")), "scout": scripted(says("Scout."))}
    async with house(tmp_path, PAIR, options=ServeOptions(agents=("*",)), **models) as served:
        scout = await chat(served, model="house/scout")
        lead = await chat(served, model="house")

    assert scout.body["choices"][0]["message"]["content"] == "Scout."
    assert lead.body["choices"][0]["message"]["content"] == "Lead."


async def test_earlier_turns_are_carried_over_as_context_that_is_marked(tmp_path: Path):
    lead = scripted(says("At 5."))
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Where is X?"},
        {"role": "assistant", "content": "At 4."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "And Y?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            ],
        },
    ]
    async with house(tmp_path, lead=lead) as served:
        await chat(served, messages)

    task = lead.requests[0][-1]
    assert task.text == (
        "Context carried over from the conversation so far; it is not the task:\n\n"
        "[system]\nBe brief.\n\n[user]\nWhere is X?\n\n[assistant]\nAt 4.\n\n"
        "[end of the context]\n\nThe task:\nAnd Y?"
    )
    assert task.parts[1] == Image("AAAA")


async def test_a_stream_ends_with_reason_usage_and_done(tmp_path: Path):
    async with house(tmp_path, lead=scripted(says("one two three " * 10))) as served:
        reply = await chat(served, stream=True, stream_options={"include_usage": True})
        run_id = (await served.ask("GET", "/runs")).body["runs"][0]["run_id"]

    every = chunks(reply.body)
    assert every[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert content(every) == "one two three " * 10
    assert sum(bool(chunk["choices"]) for chunk in every) > 4
    assert every[-2]["choices"][0]["finish_reason"] == "stop"
    assert every[-2]["harness"]["run_id"] == run_id
    assert (every[-1]["choices"], every[-1]["usage"]["total_tokens"] > 0) == ([], True)
    assert {chunk["id"] for chunk in every} == {run_id}
    assert all(chunk["usage"] is None for chunk in every[:-1])


async def test_without_asking_there_is_no_usage_in_a_stream(tmp_path: Path):
    async with house(tmp_path, lead=scripted(says("X."))) as served:
        every = chunks((await chat(served, stream=True)).body)

    assert not any("usage" in chunk for chunk in every)


BARE = "agents: {lead: {instructions: Answer.}}"


async def test_an_agent_without_tools_is_heard_word_by_word(tmp_path: Path):
    lead = SpeakingModel(says("Xylophones are at four."))
    async with house(tmp_path, BARE, lead=lead) as served:
        request = {"model": "house", "messages": HELLO, "stream": True}
        body = b""
        async with served.http.post(f"{served.url}/v1/chat/completions", json=request) as response:
            async for chunk in response.content.iter_any():
                body += chunk
                if b"Xylophones" in body and not lead.goes_on.is_set():
                    heard_early = body
                    lead.goes_on.set()

    assert b"four" not in heard_early  # pyright: ignore[reportPossiblyUnboundVariable]
    assert content(chunks(body)) == "Xylophones are at four."


async def test_what_is_said_before_a_tool_call_is_no_content(tmp_path: Path):
    def look() -> str:
        """Look."""
        return "it is at 4"

    thinking = Message(
        "assistant",
        (Reasoning("secret thoughts"), Text("Let me look."), *calls("desk.look").parts),
    )
    lead = SpeakingModel(thinking, says("X is at 4."))
    lead.goes_on.set()
    async with house(tmp_path, desk=[look], lead=lead) as served:
        body = (await chat(served, stream=True)).body

    assert content(chunks(body)) == "X is at 4."
    assert b"secret" not in body
    assert b"Let me look" not in body
    assert b": lead: desk.look" in body


async def test_sub_agents_are_not_heard(tmp_path: Path):
    brief = {"objective": "Find X.", "expected_output": "A line.", "sources": "", "boundaries": ""}
    lead = scripted(calls("delegate", agent="scout", **brief), says("X is at 4."))
    scout = SpeakingModel(says("Scouting words."))
    scout.goes_on.set()
    async with house(tmp_path, PAIR, lead=lead, scout=scout) as served:
        body = (await chat(served, stream=True)).body

    assert content(chunks(body)) == "X is at 4."
    assert b"Scouting" not in body


async def test_structured_output_and_citations_come_along(tmp_path: Path):
    def look() -> str:
        """Look."""
        return "<<< list.md:1-1 | The list\nX is at 4 in the list\n>>>"

    cited = "agents: {lead: {instructions: Answer., tools: [desk], output: {citations: required}}}"
    citation = {"source": "list.md", "locator": "1", "quote": "X is at 4 in the list"}
    lead = scripted(
        calls("desk.look"), calls("answer", claims=[{"text": "X is at 4.", "citations": [citation]}])
    )
    async with house(tmp_path, cited, desk=[look], lead=lead) as served:
        plain = (await chat(served)).body
        streamed = chunks((await chat(served, stream=True)).body)

    assert plain["choices"][0]["message"]["content"] == content(streamed)
    for extension in (plain["harness"], streamed[-1]["harness"]):
        assert [each["quote"] for each in extension["citations"]] == ["X is at 4 in the list"]


async def test_data_is_sent_as_json(tmp_path: Path):
    schema = "{type: object, properties: {line: {type: integer}}, required: [line]}"
    agents = f"agents: {{lead: {{instructions: Answer., output: {{schema: {schema}}}}}}}"
    async with house(tmp_path, agents, lead=scripted(calls("answer", line=4))) as served:
        reply = await chat(served)

    assert orjson.loads(reply.body["choices"][0]["message"]["content"]) == {"line": 4}


async def test_a_limit_is_told_as_length(tmp_path: Path):
    agents = "agents: {lead: {instructions: Answer., tools: [desk], limits: {turns: 1}}}"

    def look() -> str:
        """Look."""
        return "nothing"

    async with house(tmp_path, agents, desk=[look], lead=scripted(calls("desk.look"))) as served:
        plain = await chat(served)
        streamed = chunks((await chat(served, stream=True)).body)

    assert plain.body["choices"][0]["finish_reason"] == "length"
    assert streamed[-1]["choices"][0]["finish_reason"] == "length"


async def test_a_failed_run_is_an_error_that_is_not_to_be_retried(tmp_path: Path):
    async with house(tmp_path, lead=scripted()) as served:
        plain = await chat(served)
        streamed = chunks((await chat(served, stream=True)).body)

    assert (plain.status, plain.headers["x-should-retry"]) == (500, "false")
    assert plain.body["error"]["code"] == streamed[-1]["error"]["code"] == "run_failed"
    assert "the script of scripted is over" in plain.body["error"]["message"]


async def test_a_run_that_waits_for_a_person_says_how_to_answer(tmp_path: Path):
    def send() -> str:
        """Send."""
        return "sent"

    asking = f"{ALONE}\npermissions: [{{tool: desk.send, allow: ask}}]\n"
    async with house(tmp_path, asking, desk=[send], lead=scripted(calls("desk.send"))) as served:
        plain = (await chat(served)).body
        streamed = chunks((await chat(served, stream=True)).body)

    for text, extension in (
        (plain["choices"][0]["message"]["content"], plain["harness"]),
        (content(streamed), streamed[-1]["harness"]),
    ):
        assert extension["stop_reason"] == "suspended"
        assert extension["waiting"][0]["tool"] == "desk.send"
        assert f"POST /runs/{extension['run_id']}/approve" in text


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_goes_away_cancels_its_run(tmp_path: Path, stream: bool):
    gate = Gate()
    async with house(tmp_path, desk=[gate.wait], lead=scripted(calls("desk.wait"))) as served:
        async with anyio.create_task_group() as client:

            async def ask() -> None:
                await chat(served, stream=stream)

            client.start_soon(ask)
            await gate.entered.wait()
            [run] = served.harness.live.values()
            client.cancel_scope.cancel()
        result = await run.result()

    assert result.stop_reason == "cancelled"


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"model": "other", "messages": HELLO}, 404, "there is no model 'other'"),
        ({"model": "house"}, 400, "messages: Field required"),
        ({"model": "house", "messages": []}, 400, "at least 1 item"),
        ({"model": "house", "messages": [{"role": "assistant", "content": "x"}]}, 400, "must be the user's"),
        ({"model": "house", "messages": [{"role": "user", "content": " "}]}, 400, "is empty"),
        ({"model": "house", "messages": HELLO, "n": 2}, 400, "n must be 1"),
        ({"model": "house", "messages": HELLO, "tools": [{}]}, 400, "tools cannot be sent along"),
        (
            {"model": "house", "messages": HELLO, "response_format": {"type": "json_object"}},
            400,
            "output.schema",
        ),
    ],
)
async def test_what_cannot_be_honoured_is_refused_in_the_shape_of_the_api(
    tmp_path: Path, body: Any, status: int, said: str
):
    async with house(tmp_path) as served:
        reply = await served.ask("POST", "/v1/chat/completions", json=body)

    assert reply.status == status
    assert said in reply.body["error"]["message"]
    assert set(reply.body["error"]) == {"message", "type", "param", "code"}
