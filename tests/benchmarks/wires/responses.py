"""The Responses API: https://platform.openai.com/docs/api-reference/responses and `responses-streaming`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from tests.benchmarks.script import Call, Reply

FIELD = "input"
ANSWERS = b'"call_id":"'


def functions(request: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """See `Wire`."""
    return list(request.get("tools") or ())


def messages(item: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    """See `Wire`; each item is a message, so calls made at once become as many, which this server never asks."""
    match item.get("type", "message"):
        case "function_call":
            function = {"name": item.get("name"), "arguments": item.get("arguments")}
            call = {"id": item.get("call_id"), "type": "function", "function": function}
            yield {"role": "assistant", "tool_calls": [call]}
        case "function_call_output":
            yield {"role": "tool", "tool_call_id": item.get("call_id"), "content": item.get("output")}
        case _:
            yield item


def plain(reply: Reply, *, number: int, request_bytes: int) -> bytes:
    """See `Wire`."""
    return orjson.dumps(_response(reply, number=number, request_bytes=request_bytes))


def streamed(reply: Reply, *, number: int, request_bytes: int) -> bytes:
    """See `Wire`."""
    whole = _response(reply, number=number, request_bytes=request_bytes)
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    events: list[dict[str, Any]] = [{"type": "response.created", "response": begun}]
    for index, item in enumerate(whole["output"]):
        place = {"item_id": item["id"], "output_index": index}
        if item["type"] == "function_call":
            call = reply.calls[index]
            started, kind = (
                {**item, "arguments": "", "status": "in_progress"},
                "response.function_call_arguments",
            )
            pieces = [{"type": f"{kind}.delta", **place, "delta": fragment} for fragment in call.fragments]
            pieces.append({"type": f"{kind}.done", **place, "arguments": call.arguments})
        else:
            started, kind = {**item, "content": [], "status": "in_progress"}, "response.output_text"
            place["content_index"] = 0
            pieces = [{"type": f"{kind}.delta", **place, "delta": word} for word in reply.words]
            pieces.append({"type": f"{kind}.done", **place, "text": reply.text})
        events.append({"type": "response.output_item.added", "output_index": index, "item": started})
        events += pieces
        events.append({"type": "response.output_item.done", "output_index": index, "item": item})
    events.append({"type": "response.completed", "response": whole})
    return b"".join(
        b"event: %s\ndata: %s\n\n" % (event["type"].encode(), orjson.dumps({**event, "sequence_number": at}))
        for at, event in enumerate(events)
    )


def _response(reply: Reply, *, number: int, request_bytes: int) -> dict[str, Any]:
    read, written = reply.tokens(request_bytes)
    output = [_call(call) for call in reply.calls]
    if reply.text is not None:
        content = [{"type": "output_text", "text": reply.text, "annotations": []}]
        output.append(
            {
                "type": "message",
                "id": f"msg_{number}",
                "role": "assistant",
                "status": "completed",
                "content": content,
            }
        )
    return {
        "id": f"resp_{number}",
        "object": "response",
        "status": "completed",
        "model": reply.model,
        "output": output,
        "usage": {"input_tokens": read, "output_tokens": written, "total_tokens": read + written},
    }


def _call(call: Call) -> dict[str, Any]:
    return {
        "type": "function_call",
        "id": f"fc_{call.id}",
        "call_id": call.id,
        "name": call.name,
        "arguments": call.arguments,
        "status": "completed",
    }
