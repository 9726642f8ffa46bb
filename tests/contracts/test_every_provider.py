"""A call that breaks a contract is refused before it runs, whichever API the model speaks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

import harness
from harness import FunctionToolset, MemoryJournal
from harness.events import ToolCallFinished
from harness.team import parse_team
from tests.models.server import answer, fault_server

pytestmark = pytest.mark.anyio

Document = dict[str, Any]


def chat(call: str = "", text: str = "") -> Document:
    function = {"name": call, "arguments": "{}"}
    message: Document = {"content": text or None}
    if call:
        message["tool_calls"] = [{"id": "c1", "type": "function", "function": function}]
    usage = {"prompt_tokens": 9, "completion_tokens": 3}
    return {
        "choices": [{"message": message, "finish_reason": "tool_calls" if call else "stop"}],
        "usage": usage,
    }


def responses(call: str = "", text: str = "") -> Document:
    item: Document = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": call, "arguments": "{}"}
    if text:
        content = [{"type": "output_text", "text": text, "annotations": []}]
        item = {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": content,
        }
    usage = {"input_tokens": 9, "output_tokens": 3}
    return {"id": "resp_1", "object": "response", "status": "completed", "output": [item], "usage": usage}


def anthropic(call: str = "", text: str = "") -> Document:
    block: Document = {"type": "tool_use", "id": "toolu_1", "name": call, "input": {}}
    if text:
        block = {"type": "text", "text": text}
    usage = {"input_tokens": 9, "output_tokens": 3}
    said = {"role": "assistant", "content": [block], "stop_reason": "tool_use" if call else "end_turn"}
    return {"id": "msg_1", "type": "message", "model": "m", "usage": usage, **said}


def gemini(call: str = "", text: str = "") -> Document:
    part: Document = {"text": text} if text else {"functionCall": {"name": call, "args": {}}}
    candidate = {"content": {"role": "model", "parts": [part]}, "finishReason": "STOP"}
    return {"candidates": [candidate], "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 3}}


@pytest.mark.parametrize(
    ("api", "says"),
    [("openai-chat", chat), ("openai-responses", responses), ("anthropic", anthropic), ("gemini", gemini)],
)
async def test_the_wrong_call_is_refused_with_what_it_lacks_and_has_no_effect(
    tmp_path: Path, api: str, says: Any
):
    paid: list[str] = []

    def pay() -> str:
        """Pay."""
        paid.append("paid")
        return "paid"

    def check() -> str:
        """Check."""
        return "fine"

    replies = [says("desk__pay"), says("desk__check"), says("desk__pay"), says(text="Done.")]
    journal = MemoryJournal()
    async with fault_server(*map(answer, replies)) as server:
        text = f"""
harness: 1
name: careful
entry: lead
models: {{main: {{api: {api}, base_url: '{server.base_url}', model: m, api_key: none, retries: 0}}}}
order: [desk.check before desk.pay]
agents: {{lead: {{instructions: Pay., tools: [desk]}}}}
"""
        team = parse_team(text, base=tmp_path, environment={}, servers=["desk"])
        with anyio.fail_after(10):
            async with harness.open(
                team, store=journal, toolsets=[FunctionToolset("desk", pay, check)]
            ) as opened:
                result = await opened.run("Pay the bill.")

    calls = [item.event for item in journal.read(result.run_id) if isinstance(item.event, ToolCallFinished)]
    assert [(call.tool, call.error_type) for call in calls] == [
        ("desk.pay", "order"),
        ("desk.check", ""),
        ("desk.pay", ""),
    ]
    assert "desk.check" in calls[0].shown
    assert b"desk.check" in server.requests[1].body
    assert (paid, result.output) == (["paid"], "Done.")
