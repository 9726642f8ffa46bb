"""The laws of the transcript: encoded message by message is encoded at once, and costs what is new."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.messages import Image, Message, Reasoning, Text, ToolCall, ToolResult, system, tool, user
from harness.models.endpoint import Endpoint
from harness.models.openai_responses import OpenAIResponsesModel
from harness.models.port import CallOptions
from harness.models.thinking import Thinking
from tests.models.server import answer, fault_server
from tests.models.test_openai_responses import SEARCH, THOUGHT, ask, mark, opened, reply, thought

pytestmark = pytest.mark.anyio

texts = st.text(max_size=20)
images = st.builds(Image, st.sampled_from(["QQ==", "QUJD"]))
reply_parts = st.one_of(
    st.builds(Text, texts),
    st.builds(ToolCall, st.just("c"), st.sampled_from(["corpus.search", "x.y"]), texts),
    st.builds(thought, st.sampled_from(["", THOUGHT]), model=st.sampled_from(["m", "n"])),
    st.builds(
        mark,
        st.sampled_from(["message", "function_call"]),
        st.just("id_1"),
        after=st.sampled_from(["rs_1", "rs_2"]),
    ),
)
conversations = st.lists(
    st.one_of(
        st.builds(system, texts),
        st.builds(lambda text, pictures: user(text, *pictures), texts, st.lists(images, max_size=2)),
        st.builds(lambda parts: Message("assistant", tuple(parts)), st.lists(reply_parts, max_size=5)),
        st.builds(
            lambda text, pictures: tool(ToolResult("c", text, images=tuple(pictures))),
            texts,
            st.lists(images, max_size=2),
        ),
    ),
    max_size=8,
)


def straightforward(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Encode a conversation as a whole, the simple way."""

    def content(text: str, pictures: Sequence[Image]) -> Any:
        shown = [
            {"type": "input_image", "image_url": f"data:image/png;base64,{one.data}", "detail": "auto"}
            for one in pictures
        ]
        return [*([{"type": "input_text", "text": text}] if text else []), *shown] if shown else text

    encoded: list[dict[str, Any]] = []
    for message in messages:
        if message.role == "tool":
            result = message.parts[0]
            assert isinstance(result, ToolResult)
            encoded.append(
                {
                    "type": "function_call_output",
                    "call_id": "c",
                    "output": content(result.text, result.images),
                }
            )
        elif message.role == "assistant":
            encoded += straightforward_reply(message)
        else:
            pictures = [part for part in message.parts if isinstance(part, Image)]
            encoded.append(
                {"type": "message", "role": message.role, "content": content(message.text, pictures)}
            )
    return encoded


def straightforward_reply(message: Message) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    marked: dict[str, Any] = {}
    for part in message.parts:
        item: dict[str, Any] = {}
        if isinstance(part, Reasoning) and part.payload and part.model == "m":
            payload = orjson.loads(part.payload)
            if payload["type"] == "reasoning":
                items.append(payload)
            else:
                marked = payload
        elif isinstance(part, Text) and part.text:
            item = {"type": "message", "role": "assistant", "content": part.text}
        elif isinstance(part, ToolCall):
            name = part.name.replace(".", "__")
            item = {"type": "function_call", "call_id": "c", "name": name, "arguments": part.arguments}
        if not item:
            continue
        known = any(one["type"] == "reasoning" and one["id"] == marked.get("after") for one in items)
        if known and marked["type"] == item["type"]:
            item["id"] = marked["id"]
            if item["type"] == "message":
                item["content"] = [{"type": "output_text", "text": item["content"], "annotations": []}]
        items.append(item)
        marked = {}
    while items and items[-1]["type"] == "reasoning":
        items.pop()
    return items


@settings(deadline=None, max_examples=60)
@given(conversation=conversations)
async def test_what_is_encoded_message_by_message_is_what_is_encoded_at_once(conversation: list[Message]):
    async with fault_server(answer(reply())) as server:
        await ask(server, *conversation, tools=[SEARCH])
    sent = server.requests[0].json
    told = conversation
    first = next(
        (at for at, one in enumerate(told) if one.role != "assistant" or straightforward([one])), None
    )
    if first is not None and told[first].role == "system":
        assert sent["instructions"] == told[first].text
        told = told[first + 1 :]
    assert sent["input"] == straightforward(told)


def work_of_a_turn(turns: int) -> int:
    """Return how many functions run for one more turn at the end of a window, encoded and ready to be sent."""
    model = OpenAIResponsesModel(Endpoint(model="m", base_url="http://127.0.0.1:9/v1"))

    def turn(at: int) -> list[Message]:
        call = ToolCall(f"c{at}", "corpus.search", "{}")
        led_to = Message("assistant", (thought(THOUGHT), mark("function_call", f"fc_{at}"), call))
        return [led_to, tool(ToolResult(call.id, "nothing"))]

    transcript = opened(model, [system("Look."), user("x")], [SEARCH])
    for at in range(turns):
        for message in turn(at):
            transcript.append(message)
    more = turn(turns)
    counted = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal counted
        counted += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        for message in more:
            transcript.append(message)
        transcript.digest()
        transcript.pieces()  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
        model.tail(transcript, CallOptions(), model.plan_thinking(Thinking("on")))  # pyright: ignore[reportArgumentType]
    finally:
        sys.setprofile(None)
    return counted


def test_a_turn_costs_the_same_however_long_the_window_is():
    assert work_of_a_turn(1) == work_of_a_turn(100) == work_of_a_turn(3_000)
