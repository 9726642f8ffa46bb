"""The Messages API: https://platform.claude.com/docs/en/api/messages and `messages-streaming`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from tests.benchmarks.script import Call, Reply

FIELD = "messages"
ANSWERS = b'"tool_use_id":"'


def functions(request: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """See `Wire`."""
    return [
        {"name": tool.get("name"), "parameters": tool.get("input_schema")}
        for tool in request.get("tools") or ()
    ]


def messages(item: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    """See `Wire`; markers for the cache say nothing."""
    content = item.get("content")
    blocks = content if isinstance(content, list) else [{"type": "text", "text": content}]
    said = [block for block in blocks if block.get("type") == "text"]
    if item.get("role") == "assistant":
        calls = [_chat_call(block) for block in blocks if block.get("type") == "tool_use"]
        yield {"role": "assistant", "content": said, "tool_calls": calls}
        return
    results = [block for block in blocks if block.get("type") == "tool_result"]
    for result in results:
        yield {"role": "tool", "tool_call_id": result.get("tool_use_id"), "content": result.get("content")}
    if said or not results:
        yield {"role": item.get("role"), "content": said}


def plain(reply: Reply, *, number: int, request_bytes: int) -> bytes:
    """See `Wire`."""
    blocks = [_block(call, orjson.loads(call.arguments)) for call in reply.calls]
    if reply.text is not None:
        blocks.append({"type": "text", "text": reply.text})
    read, written = reply.tokens(request_bytes)
    return orjson.dumps(
        {
            **_head(reply, number=number),
            "content": blocks,
            "stop_reason": _stop_reason(reply),
            "usage": {"input_tokens": read, "output_tokens": written},
        }
    )


def streamed(reply: Reply, *, number: int, request_bytes: int) -> bytes:
    """See `Wire`."""
    read, written = reply.tokens(request_bytes)
    usage = {"input_tokens": read, "output_tokens": 1}
    begun = {**_head(reply, number=number), "content": [], "stop_reason": None, "usage": usage}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": begun}]
    blocks: list[tuple[dict[str, Any], list[dict[str, Any]]]] = [
        (_block(call, {}), [{"type": "input_json_delta", "partial_json": piece} for piece in call.fragments])
        for call in reply.calls
    ]
    if reply.text is not None:
        words = [{"type": "text_delta", "text": word} for word in reply.words]
        blocks.append(({"type": "text", "text": ""}, words))
    for index, (block, deltas) in enumerate(blocks):
        events.append({"type": "content_block_start", "index": index, "content_block": block})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    end = {"stop_reason": _stop_reason(reply), "stop_sequence": None}
    events.append({"type": "message_delta", "delta": end, "usage": {"output_tokens": written}})
    events.append({"type": "message_stop"})
    return b"".join(
        b"event: %s\ndata: %s\n\n" % (event["type"].encode(), orjson.dumps(event)) for event in events
    )


def _head(reply: Reply, *, number: int) -> dict[str, Any]:
    return {"id": f"msg_{number}", "type": "message", "role": "assistant", "model": reply.model}


def _block(call: Call, arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "tool_use", "id": call.id, "name": call.name, "input": arguments}


def _chat_call(block: Mapping[str, Any]) -> dict[str, Any]:
    function = {"name": block.get("name"), "arguments": orjson.dumps(block.get("input")).decode()}
    return {"id": block.get("id"), "type": "function", "function": function}


def _stop_reason(reply: Reply) -> str:
    return "tool_use" if reply.calls else "end_turn"
