"""The law of the transcript: encoded message by message is encoded at once, and what is old costs nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.messages import Image, Message, Reasoning, Text, ToolCall, ToolResult, assistant, tool, user
from harness.models.endpoint import Endpoint
from harness.models.gemini import UNSIGNED, GeminiModel, GeminiTranscript
from harness.models.profiles import profile_of
from tests.models.test_gemini import FLASH, SEARCH, sent

pytestmark = pytest.mark.anyio

ROUTE = "gcp.gemini@127.0.0.1"
texts = st.text(max_size=20)
said = st.text(min_size=1, max_size=20)
images = st.builds(Image, st.sampled_from(["QQ==", "QUJD"]))
signatures = st.sampled_from(["YQ==", "Yg=="]).map(lambda one: f'{{"thoughtSignature":"{one}"}}')
models = st.sampled_from([FLASH, "gemini-3-pro-preview"])


@st.composite
def turns(draw: st.DrawFn) -> list[Message]:
    """Return a reply with calls and signatures on some of its parts, and the results of the calls."""
    parts: list[Any] = []
    count = draw(st.integers(0, 3))
    wanted = [Text(draw(said)), *(ToolCall(f"c{n}", "corpus.search", draw(texts)) for n in range(count))]
    for part in wanted:
        if draw(st.booleans()):
            parts.append(Reasoning("", "gcp.gemini", draw(models), draw(signatures), ROUTE))
        parts.append(part)
    results = [
        tool(ToolResult(f"c{n}", draw(texts), draw(st.booleans()), tuple(draw(st.lists(images, max_size=2)))))
        for n in range(count)
    ]
    return [Message("assistant", tuple(parts)), *results]


@st.composite
def questions(draw: st.DrawFn) -> list[Message]:
    """Return what a person says."""
    return [user(draw(texts), *draw(st.lists(images, max_size=2)))]


@st.composite
def conversations(draw: st.DrawFn) -> list[Message]:
    """Return questions and turns in any order."""
    return [message for part in draw(st.lists(questions() | turns(), max_size=6)) for message in part]


def picture(image: Image) -> dict[str, Any]:
    return {"inlineData": {"mimeType": image.media_type, "data": image.data}}


def result_part(result: ToolResult) -> dict[str, Any]:
    response: dict[str, Any] = {
        "id": result.call_id,
        "name": "corpus__search",
        "response": {"error" if result.is_error else "output": result.text},
    }
    if result.images:
        response["parts"] = [picture(image) for image in result.images]
    return {"functionResponse": response}


def arguments(text: str) -> dict[str, Any]:
    try:
        value: Any = orjson.loads(text or "{}")
    except orjson.JSONDecodeError:
        value = text
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {"arguments": value}


def reply_parts(message: Message) -> list[dict[str, Any]]:
    encoded: list[dict[str, Any]] = []
    for before, part in zip([None, *message.parts], message.parts, strict=False):
        if isinstance(part, Reasoning):
            continue
        own = isinstance(before, Reasoning) and before.model == FLASH
        one: dict[str, Any] = orjson.loads(before.payload) if own and isinstance(before, Reasoning) else {}
        if isinstance(part, Text):
            one["text"] = part.text
        elif isinstance(part, ToolCall):
            one["functionCall"] = {"id": part.id, "name": "corpus__search", "args": arguments(part.arguments)}
            if part is message.tool_calls[0]:
                one.setdefault("thoughtSignature", UNSIGNED)
        encoded.append(one)
    return encoded


def straightforward(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Encode a conversation as a whole, the simple way."""
    contents: list[dict[str, Any]] = []
    before = ""
    for message in messages:
        if message.role == "assistant":
            contents.append({"role": "model", "parts": reply_parts(message)})
        elif message.role == "user":
            pictures = [picture(part) for part in message.parts if isinstance(part, Image)]
            contents.append({"role": "user", "parts": [{"text": message.text}, *pictures]})
        else:
            if before != "tool":
                contents.append({"role": "user", "parts": []})
            contents[-1]["parts"] += [
                result_part(part) for part in message.parts if isinstance(part, ToolResult)
            ]
        before = message.role
    return contents


@settings(deadline=None, max_examples=60)
@given(conversation=conversations())
async def test_what_is_encoded_message_by_message_is_what_is_encoded_at_once(conversation: list[Message]):
    assert (await sent(*conversation, tools=[SEARCH]))["contents"] == straightforward(conversation)


def opened() -> GeminiTranscript:
    transcript = GeminiModel(Endpoint(model=FLASH, profile=profile_of(FLASH))).open([SEARCH])
    assert isinstance(transcript, GeminiTranscript)
    return transcript


def take_turn(transcript: GeminiTranscript) -> None:
    transcript.append(assistant("", ToolCall("c", "corpus.search", "{}")))
    transcript.append(tool(ToolResult("c", "found " * 20)))


@pytest.mark.parametrize("turns", [3, 3000])
def test_all_that_a_request_encodes_is_the_results_since_the_last_reply(turns: int):
    transcript = opened()
    transcript.append(user("Go."))
    for _ in range(turns):
        take_turn(transcript)
        transcript.digest()
    old = bytes(transcript.pieces()[1])
    take_turn(transcript)

    _, buffer, fresh = transcript.pieces()

    assert buffer.startswith(old)
    assert len(buffer) - len(old) + len(fresh) < 600


def test_a_conversation_that_is_opened_again_is_the_same():
    messages = [
        user("Go."),
        assistant("", ToolCall("c", "corpus.search", "{}")),
        tool(ToolResult("c", "found")),
        assistant("Done."),
    ]
    transcript = opened()
    for message in messages:
        transcript.append(message)

    again = transcript.reopened(messages)

    assert again.pieces() == transcript.pieces()
    assert again.digest() == transcript.digest()
    assert again.reopened(messages[:1]).digest() != transcript.digest()
