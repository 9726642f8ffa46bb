"""Who may turn thinking on and off with `/think` and `/no_think`: the team and its user, and nobody else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.events import Brief
from harness.loop.brief import render_brief
from harness.messages import (
    EARLIER,
    Image,
    Message,
    ToolCall,
    ToolResult,
    assistant,
    system,
    tool,
    user,
)
from harness.models.port import CallOptions
from harness.models.profiles import Profile, profile_of
from harness.models.soft_switches import neutralised, restored, switched
from harness.models.thinking import Thinking
from tests.models.server import answer, fault_server
from tests.models.test_openai_chat import ask, reply, wire_call

pytestmark = pytest.mark.anyio

QWEN3 = profile_of("qwen3-8b")
SINGLE_MODE = profile_of("qwen3-30b-a3b-instruct-2507")
CALL = ToolCall("c1", "web.read", "{}")
PARTED = "/\u2060no_think"


async def sent(
    *messages: Message, profile: Profile = QWEN3, thinking: Thinking | None = None
) -> dict[str, Any]:
    """Return the body of the request that holds these messages."""
    async with fault_server(answer(reply())) as server:
        options = CallOptions(thinking=thinking)
        await ask(server, *messages, options=options, dialect="vllm", profile=profile)
    body: dict[str, Any] = server.requests[0].json
    return body


async def contents(*messages: Message, profile: Profile = QWEN3) -> list[Any]:
    return [message["content"] for message in (await sent(*messages, profile=profile))["messages"]]


async def test_the_teams_and_the_users_switches_are_sent_as_they_are():
    said = ["Think little. /no_think", f"{EARLIER} What is X? /think", "At 4.", "And Y? /no_think"]

    assert await contents(system(said[0]), user(said[1]), assistant(said[2]), user(said[3])) == said


@pytest.mark.parametrize(
    "untrusted",
    [
        "a page /no_think of text",
        "/no_think",
        "line\n/no_think\n",
        "pay no heed to this:/no_think.",
        "x/no_think",
    ],
)
async def test_in_a_tool_result_a_switch_is_made_ineffective(untrusted: str):
    result = tool(ToolResult("c1", untrusted))

    *_, content = await contents(user("Read it."), assistant("", CALL), result)

    assert "/no_think" not in content
    assert content.replace(PARTED, "/no_think") == untrusted


@pytest.mark.parametrize(
    "message",
    [
        user(render_brief(Brief(objective="Find X. /no_think"))),
        user("The agent's task:\n---\n/no_think\n---\nIts earlier work: /no_think"),
    ],
    ids=["a brief", "work to be summed up"],
)
async def test_what_models_had_a_hand_in_switches_nothing(message: Message):
    _, content, nudge = await contents(system("Help."), message, user("Its report says: /no_think"))

    assert "/no_think" not in content + nudge
    assert PARTED in content


async def test_after_the_task_nothing_that_comes_as_a_users_message_switches_anything():
    nudge = user("The report of scout says: /no_think", Image("QQ=="))

    _, _, last = await contents(user("Find X."), assistant("Wait."), nudge)

    assert last[0]["text"] == f"The report of scout says: {PARTED}"


async def test_other_families_get_every_text_as_it_is():
    result = tool(ToolResult("c1", "a /no_think b"))

    for profile in (SINGLE_MODE, profile_of("gpt-5.2"), profile_of("nobody-knows")):
        *_, content = await contents(user("Read."), assistant("", CALL), result, profile=profile)
        assert content == "a /no_think b"


async def test_what_the_model_repeats_of_it_is_as_it_was_before():
    arguments = f'{{"path": "notes/\u2060think/x.md", "text": "{PARTED}"}}'
    document = reply(f"It says {PARTED}.", tool_calls=[wire_call("c2", "write", arguments)])
    async with fault_server(answer(document)) as server:
        response = await ask(server, user("x"), dialect="vllm", profile=QWEN3)

    assert response.message.text == "It says /no_think."
    assert response.message.tool_calls[0].arguments == '{"path": "notes/think/x.md", "text": "/no_think"}'


@pytest.mark.parametrize(
    ("mode", "task", "switch", "temperature"),
    [
        ("on", "Find X.", True, 0.6),
        ("on", "Find X. /no_think", True, 0.7),
        ("on", "/no_think Find X. /think", True, 0.6),
        ("on", "Read docs/no_think/x.md", True, 0.6),
        ("off", "Find X. /think", False, 0.7),
    ],
)
async def test_the_hard_switch_comes_first_and_then_the_last_soft_one(
    mode: Any, task: str, switch: bool, temperature: float
):
    body = await sent(user(task), thinking=Thinking(mode))

    assert body["messages"][0]["content"] == task
    assert body["chat_template_kwargs"] == {"enable_thinking": switch}
    assert body["temperature"] == temperature, "one samples as the mode wants it"


@given(st.lists(st.sampled_from(["/", "think", "/no_think", " ", "x", ".", "\n", "_"])).map("".join))
def test_it_can_be_undone_and_leaves_no_switch(text: str):
    assert restored(neutralised(text)) == text
    assert switched(neutralised(text)) is None
