"""The law of the transcript: encoded message by message is encoded at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.messages import Image, Message, ToolCall, ToolResult, assistant, system, tool, user
from tests.models.server import answer, fault_server
from tests.models.test_openai_chat import SEARCH, ask, reply, wire_call

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


texts = st.text(max_size=20)
images = st.builds(Image, st.sampled_from(["QQ==", "QUJD"]))
conversations = st.lists(
    st.one_of(
        st.builds(system, texts),
        st.builds(lambda text, pictures: user(text, *pictures), texts, st.lists(images, max_size=2)),
        st.builds(
            lambda text, calls: assistant(text, *calls),
            texts,
            st.lists(
                st.builds(ToolCall, st.just("c"), st.sampled_from(["corpus.search", "x.y"]), texts),
                max_size=3,
            ),
        ),
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

    def text(value: str) -> dict[str, Any]:
        return {"type": "text", "text": value}

    def picture(image: Image) -> dict[str, Any]:
        return {"type": "image_url", "image_url": {"url": f"data:{image.media_type};base64,{image.data}"}}

    encoded: list[dict[str, Any]] = []
    waiting: list[dict[str, Any]] = []
    for message in [*messages, None]:
        if waiting and (message is None or message.role != "tool"):
            encoded.append({"role": "user", "content": waiting})
            waiting = []
        if message is None:
            continue
        pictures = [part for part in message.parts if isinstance(part, Image)]
        if message.role == "tool":
            result = message.parts[0]
            assert isinstance(result, ToolResult)
            encoded.append({"role": "tool", "tool_call_id": result.call_id, "content": result.text})
            if result.images:
                waiting += [
                    text(f"Images of the tool result {result.call_id}:"),
                    *map(picture, result.images),
                ]
        elif message.tool_calls:
            calls = [
                wire_call(call.id, call.name.replace(".", "__"), call.arguments)
                for call in message.tool_calls
            ]
            encoded.append({"role": "assistant", "content": message.text or None, "tool_calls": calls})
        elif pictures:
            encoded.append({"role": "user", "content": [text(message.text), *map(picture, pictures)]})
        else:
            encoded.append({"role": message.role, "content": message.text})
    return encoded


@settings(deadline=None, max_examples=40)
@given(conversation=conversations)
async def test_what_is_encoded_message_by_message_is_what_is_encoded_at_once(conversation: list[Message]):
    async with fault_server(answer(reply())) as server:
        await ask(server, *conversation, tools=[SEARCH])
    assert server.requests[0].json["messages"] == straightforward(conversation)
