"""A Chat Completions server for a gateway to stand before: it thinks, calls a tool, and answers once it has the result."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

THOUGHT = "The tower first."
ARGUMENTS = '{"place": "the tower"}'
ANSWER = "It is 324 m high."
USAGE = {"prompt_tokens": 40, "completion_tokens": 15, "total_tokens": 55}


@contextmanager
def upstream(asked: list[dict[str, Any]]) -> Iterator[str]:
    """Serve for as long as the context lasts; yield the address and note in `asked` what is asked."""

    class Answering(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append(body)
            said = _said(answered=body["messages"][-1]["role"] == "tool")
            sent = _streamed(said) if body.get("stream") else json.dumps(_whole(said)).encode()
            self.send_response(200)
            self.send_header(
                "Content-Type", "text/event-stream" if body.get("stream") else "application/json"
            )
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _said(*, answered: bool) -> dict[str, Any]:
    if answered:
        return {"role": "assistant", "content": ANSWER}
    call = {"id": "call_7", "type": "function", "function": {"name": "desk__look", "arguments": ARGUMENTS}}
    return {"role": "assistant", "content": None, "reasoning_content": THOUGHT, "tool_calls": [call]}


def _whole(message: Mapping[str, Any]) -> dict[str, Any]:
    reason = "tool_calls" if "tool_calls" in message else "stop"
    choice = {"index": 0, "message": message, "finish_reason": reason}
    return {
        "id": "up-1",
        "object": "chat.completion",
        "created": 1,
        "model": "thinker",
        "choices": [choice],
        "usage": USAGE,
    }


def _streamed(message: Mapping[str, Any]) -> bytes:
    deltas: list[dict[str, Any]] = [{"role": "assistant"}]
    for name in ("reasoning_content", "content"):
        text = message.get(name) or ""
        deltas += [{name: text[start : start + 6]} for start in range(0, len(text), 6)]
    for call in message.get("tool_calls", ()):
        first = {**call, "index": 0, "function": {"name": call["function"]["name"], "arguments": ""}}
        deltas.append({"tool_calls": [first]})
        for start in range(0, len(ARGUMENTS), 6):
            piece = {"arguments": ARGUMENTS[start : start + 6]}
            deltas.append({"tool_calls": [{"index": 0, "function": piece}]})
    same = {"id": "up-1", "object": "chat.completion.chunk", "created": 1, "model": "thinker"}
    reason = "tool_calls" if "tool_calls" in message else "stop"
    chunks: list[dict[str, Any]] = [
        *({**same, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas),
        {**same, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]},
        {**same, "choices": [], "usage": USAGE},
    ]
    return (
        b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"
    )
