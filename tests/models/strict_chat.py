"""A Chat Completions server that is as strict about reasoning as DeepSeek, Kimi and OpenRouter are.

It calls `desk.look` turn by turn and remembers what it thought before each call. A request in which a turn with a
call comes back otherwise than the provider wants it is refused with 400, and nothing is forgiven later.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson
from aiohttp import web

Rule = Literal["reasoning_content", "reasoning_details"]

THOUGHTS = ("Let me look.\n\n", "", 'It says "a\\b" – naïve, 思考 <think>…', "  \tindented </think> twice ")
"""What is thought, in turn; one of them is empty."""


@dataclass(slots=True)
class StrictChat:
    """What the server holds against requests, and what it saw."""

    rule: Rule
    turns: int
    """How many calls it makes before it answers."""
    base_url: str = ""
    requests: list[Any] = field(default_factory=list[Any])
    refusals: list[str] = field(default_factory=list[str])
    hold_at: int = -1
    """The turn that it does not answer, as if it took forever."""
    holds: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once a request waits for the turn `hold_at`."""
    thought: dict[str, tuple[str, Any]] = field(default_factory=dict[str, tuple[str, Any]])
    """By the id of a turn's call: the model that made it, and its reasoning."""

    def refusal(self, body: Any) -> str:
        """Return what is wrong with a request; nothing if it is as the provider wants it."""
        for message in body["messages"]:
            if message["role"] != "assistant" or not message.get("tool_calls"):
                continue
            model, thought = self.thought[message["tool_calls"][0]["id"]]
            own = model == body["model"]
            if self.rule == "reasoning_content":
                if "reasoning_content" not in message:
                    return "The reasoning_content in the thinking mode must be passed back to the API."
                if message["reasoning_content"] != (thought if own else ""):
                    return f"reasoning_content was {'altered' if own else 'made by another model'}"
            elif not own:
                if {"reasoning", "reasoning_details"} & message.keys():
                    return "reasoning was made by another model"
            elif orjson.dumps(message.get("reasoning_details")) != orjson.dumps(thought):
                return "reasoning_details were altered, reordered or left out"
        return ""

    def reply(self, body: Any) -> dict[str, Any]:
        """Return the message that answers a request, and remember it."""
        done = sum(message["role"] == "tool" for message in body["messages"])
        said = THOUGHTS[done % len(THOUGHTS)]
        if done >= self.turns:
            return {"role": "assistant", "content": f"done after {done}", "reasoning_content": said}
        identity = f"{body['model']}-{done}"
        call = {"name": "desk__look", "arguments": f'{{"step": {done}}}'}
        message: dict[str, Any] = {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": identity, "type": "function", "function": call}],
        }
        if self.rule == "reasoning_content":
            message["reasoning_content"] = said
            self.thought[identity] = body["model"], said
        else:
            message["reasoning"] = said
            message["reasoning_details"] = _details(said, done)
            self.thought[identity] = body["model"], message["reasoning_details"]
        return message


def _details(said: str, turn: int) -> list[dict[str, Any]]:
    """Return reasoning as several providers would have it at once, with keys in an order of their own."""
    sealed = {"type": "reasoning.encrypted", "id": f"rs-{turn}", "data": f"c2VhbGVk{turn}==", "index": 1}
    text = {
        "index": 0,
        "type": "reasoning.text",
        "text": said or " ",
        "signature": f"sig/{turn}+",
        "format": "x",
    }
    return [
        text,
        {**sealed, "extra": {"b": 1.5, "a": None}},
        {"type": "reasoning.summary", "summary": "ok", "index": 2},
    ]


@asynccontextmanager
async def strict_chat(rule: Rule, *, turns: int = 20) -> AsyncIterator[StrictChat]:
    """Serve the API until the context ends."""
    state, over = StrictChat(rule, turns), asyncio.Event()

    async def serve(request: web.Request) -> web.StreamResponse:
        body = orjson.loads(await request.read())
        state.requests.append(body)
        if refusal := state.refusal(body):
            state.refusals.append(refusal)
            return web.json_response({"error": {"message": refusal}}, status=400)
        if sum(message["role"] == "tool" for message in body["messages"]) == state.hold_at:
            state.holds.set()
            await over.wait()
        message = state.reply(body)
        finish = "tool_calls" if message.get("tool_calls") else "stop"
        if not body["stream"]:
            choice = {"index": 0, "message": message, "finish_reason": finish}
            return web.json_response({"id": "r", "model": body["model"], "choices": [choice]})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for delta in [*_pieces(message), {}]:
            choice = {"index": 0, "delta": delta, "finish_reason": None if delta else finish}
            await response.write(b"data: " + orjson.dumps({"choices": [choice]}) + b"\n\n")
        await response.write(b"data: [DONE]\n\n")
        return response

    application = web.Application()
    application.router.add_post("/v1/chat/completions", serve)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    state.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield state
    finally:
        over.set()
        await runner.cleanup()


def _pieces(message: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a message in the pieces in which a stream brings it."""
    thought = message.get("reasoning_content") or ""
    pieces: list[dict[str, Any]] = [{"reasoning_content": letter} for letter in thought]
    for detail in message.get("reasoning_details", ()):
        if detail["type"] != "reasoning.text":
            pieces.append({"reasoning_details": [detail]})
            continue
        first = {**detail, "text": detail["text"][:3], "signature": ""}
        pieces.append({"reasoning": first["text"], "reasoning_details": [first]})
        rest = {"index": 0, "type": "reasoning.text", "text": detail["text"][3:]}
        pieces.append({"reasoning": rest["text"], "reasoning_details": [rest]})
        seal = {"index": 0, "type": "reasoning.text", "text": "", "signature": detail["signature"]}
        pieces.append({"reasoning_details": [seal]})
    for index, call in enumerate(message.get("tool_calls", ())):
        pieces.append({"tool_calls": [{**call, "index": index}]})
    return pieces if message["content"] is None else [*pieces, {"content": message["content"]}]
