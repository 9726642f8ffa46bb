"""A Responses endpoint that refuses what the real one refuses, and answers with reasoning and tool calls.

It keeps nothing between requests but what it issued: like the real one with `store: false`, it reads each
conversation anew, and answers 400 where a reasoning item is altered, out of place, orphaned, missing before
what it led to, or another model's; where calls and outputs do not pair; and where a field or value is none of
the API's. The wording of the errors is the real one's. It is stricter in two things: a reasoning item must come back
byte for byte, and a call without an id is known again by its call id.

    async with strict_responses(turns=20) as server:
        ...  # ask server.base_url
    assert not server.refusals
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

MODELS = {"gpt-a": ("none", "low", "medium", "high"), "gpt-b": ("low", "medium", "high", "xhigh")}
"""The models, and the efforts each knows."""

FIELDS = frozenset(
    [
        "background",
        "include",
        "input",
        "instructions",
        "max_output_tokens",
        "max_tool_calls",
        "metadata",
        "model",
        "parallel_tool_calls",
        "previous_response_id",
        "prompt",
        "prompt_cache_key",
        "prompt_cache_options",
        "reasoning",
        "safety_identifier",
        "service_tier",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "text",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "truncation",
        "user",
    ]
)
REASONING_FIELDS = {
    "effort": None,
    "summary": ("auto", "concise", "detailed"),
    "context": ("auto", "current_turn", "all_turns"),
    "mode": ("standard", "pro"),
}
ITEM_FIELDS = {
    "message": frozenset(["type", "id", "role", "content", "status", "phase"]),
    "reasoning": frozenset(["type", "id", "summary", "content", "encrypted_content", "status"]),
    "function_call": frozenset(["type", "id", "call_id", "name", "arguments", "status"]),
    "function_call_output": frozenset(["type", "id", "call_id", "output", "status"]),
}
REQUIRED = {
    "message": ("role", "content"),
    "reasoning": ("id", "summary"),
    "function_call": ("call_id", "name", "arguments"),
    "function_call_output": ("call_id", "output"),
}
INPUT_PARTS = {"input_text": {"type", "text"}, "input_image": {"type", "image_url", "detail", "file_id"}}
OUTPUT_PARTS = {"output_text": {"type", "text", "annotations", "logprobs"}, "refusal": {"type", "refusal"}}
IDS = {"message": "msg_", "reasoning": "rs_", "function_call": "fc_"}


class Refused(Exception):
    """What the real server answers with 400."""


@dataclass(frozen=True)
class Issued:
    """An item that a reply held."""

    fields: dict[str, Any]
    raw: bytes
    model: str
    needs: tuple[str, ...]
    """The reasoning items directly before it; a request must have the same ones there."""
    leads_to: list[str] = field(default_factory=list[str])
    """The item behind the run of reasoning that it belongs to."""


@dataclass
class StrictResponses:
    """The server: what it issued, was asked, and refused."""

    turns: int
    base_url: str = ""
    requests: list[bytes] = field(default_factory=list[bytes])
    refusals: list[str] = field(default_factory=list[str])
    issued: dict[str, Issued] = field(default_factory=dict[str, Issued])
    by_call: dict[str, Issued] = field(default_factory=dict[str, Issued])
    count: int = 0

    @property
    def reasoning(self) -> list[bytes]:
        """The reasoning items it issued, as they went over the wire."""
        return [item.raw for item in self.issued.values() if item.fields["type"] == "reasoning"]

    def check(self, body: bytes) -> dict[str, Any]:
        """Return the request, or raise `Refused`."""
        request: dict[str, Any] = orjson.loads(body)
        for name in request:
            if name not in FIELDS:
                raise Refused(f"Unknown parameter: '{name}'.")
        if request.get("model") not in MODELS:
            raise Refused(f"The requested model '{request.get('model')}' does not exist.")
        _check_settings(request)
        items: list[dict[str, Any]] = request["input"]
        for at, item in enumerate(items):
            _check_item(at, item)
        _check_pairs(items)
        self._check_reasoning(items, request, body)
        return request

    def _check_reasoning(self, items: Sequence[dict[str, Any]], request: dict[str, Any], body: bytes) -> None:
        before: list[str] = []
        seen: set[str] = set()
        for item in items:
            identity = item.get("id")
            if identity in seen:
                raise Refused(
                    f"Duplicate item found with id {identity}. Remove duplicate items and try again."
                )
            seen |= {identity} if identity else set()
            if item.get("type") == "reasoning":
                self._check_readable(item, request, body)
                before.append(item["id"])
                continue
            known = self.issued.get(identity or "") or self.by_call.get(item.get("call_id", ""))
            if item.get("type") == "function_call_output":
                known = None
            for name in before:
                if known is None or identity not in self.issued[name].leads_to:
                    raise Refused(
                        f"Item '{name}' of type 'reasoning' was provided without its required following item."
                    )
            if known is not None and known.needs and known.model == request["model"]:
                missing = [name for name in known.needs if name not in before]
                if missing or list(known.needs) != before:
                    raise Refused(
                        f"Item '{known.fields['id']}' of type '{item['type']}' was provided without its required"
                        f" 'reasoning' item: '{(missing or known.needs)[0]}'."
                    )
            elif identity and known is not None and known.model != request["model"]:
                raise Refused(f"Item with id '{identity}' not found.")
            before = []
        if before:
            raise Refused(
                f"Item '{before[0]}' of type 'reasoning' was provided without its required following item."
            )

    def _check_readable(self, item: dict[str, Any], request: dict[str, Any], body: bytes) -> None:
        known = self.issued.get(item["id"])
        if not item.get("encrypted_content") or known is None:
            raise Refused(
                f"Item with id '{item['id']}' not found. Items are not persisted when `store` is set to false."
            )
        if known.model != request["model"] or known.fields != item or known.raw not in body:
            raise Refused(f"The encrypted content for item {item['id']} could not be verified.")

    def reply(self, request: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        """Return a response and the JSON of its items."""
        done = sum(item.get("type") == "function_call" for item in request["input"])
        kinds = [item.get("type") for item in request["input"]]
        turn = 1 + sum(kind == "function_call_output" != before for before, kind in itertools.pairwise(kinds))
        raws: list[bytes] = []
        needs: list[str] = []
        for kind in _shape(turn, last=turn > self.turns):
            self.count += 1
            raws.append(self._issue(kind, request["model"], needs, done))
        response = {
            "id": f"resp_{self.count}",
            "object": "response",
            "status": "completed",
            "model": f"{request['model']}-2026",
            "error": None,
            "incomplete_details": None,
            "output": [orjson.loads(raw) for raw in raws],
            "usage": {
                "input_tokens": len(request["input"]) * 10,
                "input_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 2},
                "output_tokens": 40,
                "output_tokens_details": {"reasoning_tokens": 30},
                "total_tokens": len(request["input"]) * 10 + 40,
            },
        }
        return response, raws

    def _issue(self, kind: str, model: str, needs: list[str], done: int) -> bytes:
        number = self.count
        identity = f"{IDS[kind]}{number}"
        if kind == "reasoning":
            # Not as orjson writes JSON, so that an item that was read and written anew shows.
            text = (
                f'{{"id": "{identity}", "type":"reasoning",\n "summary":[{{"type":"summary_text",'
                f'"text":"**Step {number}** \\u00fcber"}}], "encrypted_content":"gAAA\\/{model}=={number}"}}'
            )
            raw = text.encode()
        elif kind == "function_call":
            arguments = orjson.dumps({"place": f"place {number}"}).decode()
            raw = orjson.dumps(
                {
                    "id": identity,
                    "type": kind,
                    "status": "completed",
                    "call_id": f"call_{number}",
                    "name": "desk__look",
                    "arguments": arguments,
                }
            )
        else:
            content = {"type": "output_text", "text": f"Now {number}, after {done}.", "annotations": []}
            raw = orjson.dumps(
                {
                    "id": identity,
                    "type": kind,
                    "status": "completed",
                    "role": "assistant",
                    "content": [content],
                    "phase": "commentary",
                }
            )
        item = Issued(orjson.loads(raw), raw, model, () if kind == "reasoning" else tuple(needs))
        self.issued[identity] = item
        if kind == "reasoning":
            needs.append(identity)
            return raw
        if kind == "function_call":
            self.by_call[f"call_{number}"] = item
        for name in needs:
            self.issued[name].leads_to.append(identity)
        needs.clear()
        return raw


@asynccontextmanager
async def strict_responses(*, turns: int = 20) -> AsyncIterator[StrictResponses]:
    """Serve a model that calls `desk__look` in `turns` turns and then answers."""
    state = StrictResponses(turns)

    async def respond(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        state.requests.append(body)
        try:
            asked = state.check(body)
        except Refused as refused:
            state.refusals.append(str(refused))
            error = {"message": str(refused), "type": "invalid_request_error", "param": "input", "code": None}
            return web.json_response({"error": error}, status=400)
        response, raws = state.reply(asked)
        if not asked.get("stream"):
            output = b",\n".join(raws)
            whole = orjson.dumps({**response, "output": []}).replace(
                b'"output":[]', b'"output": [' + output + b"]"
            )
            return web.Response(body=whole, content_type="application/json")
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await stream.prepare(request)
        await stream.write(b"".join(events_of(response, raws)))
        return stream

    app = web.Application(client_max_size=2**26)
    app.router.add_post("/v1/responses", respond)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    state.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield state
    finally:
        await runner.cleanup()


def events_of(response: dict[str, Any], raws: Sequence[bytes]) -> Iterator[bytes]:
    """Give the events of a stream, as the real server sends them."""
    begun = {**response, "status": "in_progress", "output": [], "usage": None}
    yield event("response.created", response=begun)
    for index, raw in enumerate(raws):
        item = orjson.loads(raw)
        begin: dict[str, Any] = {**item, "status": "in_progress"}
        if item["type"] == "reasoning":
            begin |= {"encrypted_content": "incomplete", "summary": []}
        yield event("response.output_item.added", output_index=index, item=begin)
        place = {"item_id": item["id"], "output_index": index}
        match item["type"]:
            case "reasoning":
                for part in item["summary"]:
                    yield event("response.reasoning_summary_text.delta", delta=part["text"], **place)
            case "function_call":
                for letter in item["arguments"]:
                    yield event("response.function_call_arguments.delta", delta=letter, **place)
            case _:
                yield event("response.output_text.delta", delta=item["content"][0]["text"], **place)
        done = b'{"type":"response.output_item.done","output_index":%d,"item": ' % index
        data = (done + raw + b"}").replace(b"\n", b"\ndata: ")
        yield b"event: response.output_item.done\ndata: " + data + b"\n\n"
    yield event("response.completed", response=response)


def event(kind: str, **fields: Any) -> bytes:
    """Return one event of a stream."""
    return f"event: {kind}\ndata: ".encode() + orjson.dumps({"type": kind, **fields}) + b"\n\n"


def _shape(turn: int, *, last: bool) -> list[str]:
    """Return what a reply is made of: the forms that replies with reasoning have, in turns."""
    if last:
        return ["reasoning", "message"]
    forms = [
        ["reasoning", "function_call"],
        ["reasoning", "message", "function_call"],
        ["reasoning", "function_call", "function_call"],
        ["reasoning", "reasoning", "function_call"],
        ["function_call"],
        ["reasoning", "function_call", "reasoning", "function_call"],
    ]
    return forms[turn % len(forms)]


def _check_settings(request: dict[str, Any]) -> None:
    names = [tool["name"] for tool in request.get("tools", ())]
    for at, tool in enumerate(request.get("tools", ())):
        for name in ("type", "name", "parameters", "strict"):
            if name not in tool:
                raise Refused(f"Missing required parameter: 'tools[{at}].{name}'.")
    choice = request.get("tool_choice", "auto")
    named = isinstance(choice, dict) and choice.get("type") == "function" and choice.get("name") in names
    if choice not in ("auto", "none", "required") and not named:
        raise Refused(f"Invalid value: '{choice}'. Supported values are: 'none', 'auto', and 'required'.")
    if choice == "required" and not names:
        raise Refused("Tool choice 'required' must be specified with 'tools' parameter.")
    if request.get("max_output_tokens", 16) < 16:
        raise Refused("Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16.")
    for name, value in request.get("reasoning", {}).items():
        if name not in REASONING_FIELDS:
            raise Refused(f"Unknown parameter: 'reasoning.{name}'.")
        allowed = REASONING_FIELDS[name] or MODELS[request["model"]]
        if value not in allowed:
            raise Refused(
                f"Unsupported value: 'reasoning.{name}' does not support '{value}' with this model."
                f" Supported values are: {', '.join(allowed)}."
            )
    if request.get("store") is not False or request.get("include") != ["reasoning.encrypted_content"]:
        raise Refused("this server keeps nothing and is asked for what it would have to")


def _check_item(at: int, item: dict[str, Any]) -> None:
    kind = item.get("type", "message")
    if kind not in ITEM_FIELDS:
        raise Refused(f"Invalid value: '{kind}'.")
    for name in item:
        if name not in ITEM_FIELDS[kind]:
            raise Refused(f"Unknown parameter: 'input[{at}].{name}'.")
    for name in REQUIRED[kind]:
        if name not in item:
            raise Refused(f"Missing required parameter: 'input[{at}].{name}'.")
    if "id" in item and kind in IDS and not item["id"].startswith(IDS[kind]):
        raise Refused(
            f"Invalid 'input[{at}].id': '{item['id']}'. Expected an ID that begins with '{IDS[kind]}'."
        )
    content = item.get("output") if kind == "function_call_output" else item.get("content")
    if kind == "reasoning" or isinstance(content, str | None):
        return
    parts = OUTPUT_PARTS if item.get("role") == "assistant" else INPUT_PARTS
    for part in content:
        if part.get("type") not in parts:
            raise Refused(f"Invalid value: '{part.get('type')}'. Supported values are: {', '.join(parts)}.")
        if unknown := part.keys() - parts[part["type"]]:
            raise Refused(f"Unknown parameter: 'input[{at}].content.{min(unknown)}'.")


def _check_pairs(items: Sequence[dict[str, Any]]) -> None:
    calls: set[str] = set()
    outputs: set[str] = set()
    for item in items:
        if item.get("type") == "function_call":
            calls.add(item["call_id"])
        elif item.get("type") == "function_call_output":
            if item["call_id"] not in calls:
                raise Refused(f"No tool call found for function call output with call_id {item['call_id']}.")
            outputs.add(item["call_id"])
    if missing := calls - outputs:
        raise Refused(f"No tool output found for function call {min(missing)}.")
