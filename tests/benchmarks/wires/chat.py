"""Chat Completions: a request as it is, and a reply as one JSON body or as server-sent events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from tests.benchmarks.script import Call, Reply

_CREATED = 1_700_000_000
FIELD = "messages"
ANSWERS = b'"tool_call_id":"'


def functions(request: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """See `Wire`."""
    return [tool.get("function", {}) for tool in request.get("tools") or ()]


def messages(item: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    """See `Wire`."""
    return (item,)


def plain(reply: Reply, *, number: int, request_bytes: int) -> bytes:
    """See `Wire`."""
    message: dict[str, Any] = {"role": "assistant", "content": reply.text}
    if reply.calls:
        message["tool_calls"] = [_call(call) for call in reply.calls]
    choice = {"index": 0, "message": message, "finish_reason": _finish_reason(reply)}
    head = _head(reply, number=number, kind="chat.completion")
    return orjson.dumps(head | {"choices": [choice], "usage": _usage(reply, request_bytes)})


def streamed(reply: Reply, *, number: int, request_bytes: int) -> bytes:
    """See `Wire`."""
    head = _head(reply, number=number, kind="chat.completion.chunk")
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": None if reply.calls else ""}]
    for index, call in enumerate(reply.calls):
        opening = _call(call) | {"index": index, "function": {"name": call.name, "arguments": ""}}
        deltas.append({"tool_calls": [opening]})
        deltas += [
            {"tool_calls": [{"index": index, "function": {"arguments": fragment}}]}
            for fragment in call.fragments
        ]
    deltas += [{"content": word} for word in reply.words]
    choices = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": _finish_reason(reply)})
    chunks = [head | {"choices": [choice]} for choice in choices]
    if reply.include_usage:
        chunks.append(head | {"choices": [], "usage": _usage(reply, request_bytes)})
    return b"".join(b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"


def _head(reply: Reply, *, number: int, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{number}", "object": kind, "created": _CREATED, "model": reply.model}


def _call(call: Call) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _finish_reason(reply: Reply) -> str:
    return "tool_calls" if reply.calls else "stop"


def _usage(reply: Reply, request_bytes: int) -> dict[str, Any]:
    prompt, completion = reply.tokens(request_bytes)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
