"""Thinking that comes as tags in the content: whole, in pieces, and where no tag is to be believed."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.messages import Reasoning, ToolCall, user
from harness.models.chat_replies import Speaker, StreamedReply, read_reply
from harness.models.dialects import dialect
from harness.models.port import CallOptions, ModelResponse, TextDelta
from harness.models.profiles import UNKNOWN, Profile
from harness.models.replies import Reply
from harness.models.thinking import Thinking, ThinkingOptions
from tests.models.server import answer, event_stream, fault_server
from tests.models.test_openai_chat import ask, reply, wire_call

pytestmark = pytest.mark.anyio

ALWAYS = Profile("thinker", thinking=ThinkingOptions(always=True))
NEVER = Profile("talker", thinking=ThinkingOptions(never=True))

JSON_CALL = '<tool_call>\n{"name": "write", "arguments": {"text": "a </think> b"}}\n</tool_call>'

CASES: dict[str, tuple[str, Profile, str, tuple[str, str]]] = {
    # what comes out, of which family, why it ended, and the thinking and the text that are in it
    "a block and an answer": ("<think>\nHm.\n</think>\n\nYes.", UNKNOWN, "stop", ("Hm.", "Yes.")),
    "the tag was opened in the prompt": ("Hm.\n</think>\n\nYes.", UNKNOWN, "stop", ("Hm.", "Yes.")),
    "opened in the prompt, within a line": ("Hm.</think>Yes.", ALWAYS, "stop", ("Hm.", "Yes.")),
    "cut within a block": ("<think>\nHm, well", UNKNOWN, "length", ("Hm, well", "")),
    "cut within a tag": ("<think>\nHm.\n</thi", UNKNOWN, "length", ("Hm.\n</thi", "")),
    "cut within a block of the prompt's": ("Hm, well", ALWAYS, "length", ("Hm, well", "")),
    "not cut, and no tag": ("Yes.", ALWAYS, "stop", ("", "Yes.")),
    "an empty block": ("<think>\n\n</think>\n\nYes.", UNKNOWN, "stop", ("", "Yes.")),
    "an empty block of the prompt's": ("\n</think>\n\nYes.", UNKNOWN, "stop", ("", "Yes.")),
    "two blocks": ("<think>\nA\n</think>\n<think>\nB\n</think>\nYes.", UNKNOWN, "stop", ("A\nB", "Yes.")),
    "a call in a block that nobody closed": (
        f"<think>\nHm.\n{JSON_CALL}",
        UNKNOWN,
        "stop",
        ("Hm.", JSON_CALL),
    ),
    "a tag in a call's argument": (JSON_CALL, UNKNOWN, "stop", ("", JSON_CALL)),
    "a call that is only thought of": (
        "<think>\nI need <tool_call> here.\n</think>\nYes.",
        UNKNOWN,
        "stop",
        ("I need <tool_call> here.", "Yes."),
    ),
    "tags that are spoken of": (
        "Put `<think>` before and `</think>` after it.",
        UNKNOWN,
        "stop",
        ("", "Put `<think>` before and `</think>` after it."),
    ),
    "a block that is quoted": (
        "It wrote:\n<think>\nHm.\n</think>\nand no more.",
        UNKNOWN,
        "stop",
        ("", "It wrote:\n<think>\nHm.\n</think>\nand no more."),
    ),
    "a family that never thinks": ("<think>x</think>", NEVER, "stop", ("", "<think>x</think>")),
    "spaces before an answer": ("  Yes.", UNKNOWN, "stop", ("", "  Yes.")),
}


def speaker(profile: Profile, name: str = "llama.cpp") -> Speaker:
    return Speaker(dialect=dialect(name), profile=profile, provider="p", model="m", route="r", place="here")


def said(spoken: Reply) -> tuple[str, str]:
    """Return the thinking and the text of a reply."""
    thinking = "".join(part.text for part in spoken.parts if isinstance(part, Reasoning))
    return thinking, "".join(
        getattr(part, "text", "") for part in spoken.parts if not isinstance(part, Reasoning)
    )


def streamed(chunks: list[str], profile: Profile, finish: str) -> tuple[Reply, str]:
    """Return the reply made of these pieces, and the text that was shown meanwhile."""
    reader = StreamedReply(speaker(profile))
    shown = ""
    for chunk in chunks:
        delta = reader.take(orjson.dumps({"choices": [{"delta": {"content": chunk}}]}))
        if isinstance(delta, TextDelta):
            shown += delta.text
    reader.take(orjson.dumps({"choices": [{"delta": {}, "finish_reason": finish}]}))
    return reader.finish(), shown


@pytest.mark.parametrize("case", CASES)
def test_thinking_and_text_are_told_apart(case: str):
    content, profile, finish, parts = CASES[case]

    assert said(read_reply(orjson.dumps(reply(content, finish=finish)), speaker(profile))) == parts


@given(case=st.sampled_from(sorted(CASES)), cuts=st.lists(st.integers(0, 80), max_size=12))
@settings(max_examples=400, deadline=None)
def test_any_chunking_gives_the_same_reply(case: str, cuts: list[int]):
    content, profile, finish, parts = CASES[case]
    places = [0, *sorted(min(cut, len(content)) for cut in cuts), len(content)]
    chunks = [content[start:end] for start, end in zip(places, places[1:], strict=False)]

    spoken, shown = streamed(chunks, profile, finish)

    assert said(spoken) == parts
    if content.startswith("<think>") and profile is not NEVER:
        assert shown.strip() == parts[1].strip(), "nothing of a block is shown as text"


async def test_a_call_within_a_block_closes_it_and_keeps_a_tag_in_its_argument():
    call = wire_call("c1", "write", '{"text": "a </think> b"}')
    document = reply("<think>\nI write it", finish="tool_calls", tool_calls=[call])
    async with fault_server(answer(document)) as server:
        response = await ask(server, user("x"), dialect="vllm")

    thought, made = response.message.parts
    assert isinstance(thought, Reasoning)
    assert thought.text == "I write it"
    assert made == ToolCall("c1", "write", '{"text": "a </think> b"}')


async def test_where_the_server_parsed_the_thinking_a_tag_in_the_content_is_the_models_own():
    document = reply("The tag\n</think>\nends it.", reasoning="They ask for the tag.")
    async with fault_server(answer(document)) as server:
        response = await ask(server, user("x"), dialect="vllm")

    assert response.message.text == "The tag\n</think>\nends it."


async def test_a_service_that_has_a_field_for_thinking_says_tags_only_as_text():
    async with fault_server(answer(reply("<think>x</think>"))) as server:
        response = await ask(server, user("x"), dialect="deepseek")

    assert response.message.text == "<think>x</think>"


async def test_a_streamed_block_goes_back_as_reasoning():
    def chunk(content: str) -> bytes:
        document: dict[str, Any] = {"choices": [{"delta": {"content": content}, "finish_reason": None}]}
        return b"data: " + orjson.dumps(document) + b"\n\n"

    script = event_stream(chunk("<thi"), chunk("nk>Hm.</th"), chunk("ink>Yes."), b"data: [DONE]\n\n")
    async with fault_server(script, answer(reply())) as server:
        response: ModelResponse = await ask(server, user("x"), dialect="sglang", stream=True)
        await ask(server, user("x"), response.message, user("y"), dialect="sglang")

    assert server.requests[1].json["messages"][1] == {
        "role": "assistant",
        "content": "Yes.",
        "reasoning_content": "Hm.",
    }


async def test_a_reply_that_goes_on_after_its_thinking_was_ended_is_no_thinking():
    """The template opened the block, the server has no parser: the thinking comes as content, and so does the answer."""

    def content(text: str) -> bytes:
        return b"data: " + orjson.dumps({"choices": [{"delta": {"content": text}}]}) + b"\n\n"

    long = [content(f"word {number}, ") for number in range(400)]
    said = [content(f"fact {number}, ") for number in range(400)]
    end = b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
    options = CallOptions(thinking=Thinking("on", budget=100))
    async with fault_server(event_stream(*long, end), event_stream(*said, end)) as server:
        response = await ask(server, user("x"), dialect="vllm", profile=ALWAYS, options=options, stream=True)

    assert server.requests[1].json["messages"][-1]["content"].startswith("<think>\nword 0, word 1, ")
    assert response.message.text.startswith("fact 0, ")
    assert response.message.text.endswith("fact 399, ")
