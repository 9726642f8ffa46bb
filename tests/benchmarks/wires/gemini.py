"""Gemini's generateContent: https://ai.google.dev/api/generate-content."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from tests.benchmarks.script import Call, Reply

FIELD = "contents"
ANSWERS = b'"functionResponse":{"id":"'


def functions(request: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """See `Wire`."""
    declared = [one for tool in request.get("tools") or () for one in tool.get("functionDeclarations") or ()]
    return [{"name": one.get("name"), "parameters": one.get("parametersJsonSchema")} for one in declared]


def messages(item: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    """See `Wire`."""
    parts = item.get("parts") or ()
    said = [{"text": part["text"]} for part in parts if "text" in part]
    if item.get("role") == "model":
        calls = [_chat_call(part["functionCall"]) for part in parts if "functionCall" in part]
        yield {"role": "assistant", "content": said, "tool_calls": calls}
        return
    results = [part["functionResponse"] for part in parts if "functionResponse" in part]
    for result in results:
        content = (result.get("response") or {}).get("output")
        yield {"role": "tool", "tool_call_id": result.get("id"), "content": content}
    if said or not results:
        yield {"role": item.get("role"), "content": said}


def plain(reply: Reply, *, number: int, request_bytes: int) -> bytes:
    """See `Wire`."""
    parts = [_part(call) for call in reply.calls]
    if reply.text is not None:
        parts.append({"text": reply.text})
    return orjson.dumps(_document(reply, parts, number=number, request_bytes=request_bytes, ends=True))


def streamed(reply: Reply, *, number: int, request_bytes: int) -> bytes:
    """See `Wire`; a call comes whole."""
    parts = [*map(_part, reply.calls), *({"text": word} for word in reply.words)]
    chunks = [
        _document(reply, [part], number=number, request_bytes=request_bytes, ends=at == len(parts) - 1)
        for at, part in enumerate(parts)
    ]
    return b"".join(b"data: " + orjson.dumps(chunk) + b"\r\n\r\n" for chunk in chunks)


def _document(
    reply: Reply, parts: list[dict[str, Any]], *, number: int, request_bytes: int, ends: bool
) -> dict[str, Any]:
    read, written = reply.tokens(request_bytes)
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
    if ends:
        candidate["finishReason"] = "STOP"
    return {
        "candidates": [candidate],
        "usageMetadata": {"promptTokenCount": read, "candidatesTokenCount": written},
        "modelVersion": reply.model,
        "responseId": f"response-{number}",
    }


def _part(call: Call) -> dict[str, Any]:
    return {"functionCall": {"id": call.id, "name": call.name, "args": orjson.loads(call.arguments)}}


def _chat_call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = {"name": call.get("name"), "arguments": orjson.dumps(call.get("args")).decode()}
    return {"id": call.get("id"), "type": "function", "function": function}
