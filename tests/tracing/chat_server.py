"""A Chat Completions endpoint in this process that says what it is told to, fails and streams."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = str | tuple[int, str] | list[tuple[str, dict[str, Any]]]
"""A text, an error with its body, or calls of tools with their arguments."""


class ChatServer:
    """Answers the requests for each model in the order of its replies."""

    def __init__(self, replies: Mapping[str, list[Reply]], *, signature: str = "") -> None:
        """`signature` goes into names and ids that the server makes up."""
        self.left = {model: list(said) for model, said in replies.items()}
        server = self

        class Answering(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                reply = server.left[request["model"]].pop(0)
                if isinstance(reply, tuple):
                    self._send(reply[0], "application/json", json.dumps({"error": {"message": reply[1]}}))
                    return
                message = _message(reply, request)
                facts = {"id": f"resp-{signature}", "model": f"{request['model']}-{signature}"}
                finish = "tool_calls" if "tool_calls" in message else "stop"
                usage = {
                    "prompt_tokens": 200,
                    "completion_tokens": 20,
                    "prompt_tokens_details": {"cached_tokens": 50},
                    "completion_tokens_details": {"reasoning_tokens": 5},
                }
                if request.get("stream"):
                    pieces = [
                        {"choices": [{"index": 0, "delta": {"role": "assistant", **message}}]},
                        {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]},
                        {"choices": [], "usage": usage},
                    ]
                    lines = [f"data: {json.dumps({**facts, **piece})}\n\n" for piece in pieces]
                    self._send(200, "text/event-stream", "".join([*lines, "data: [DONE]\n\n"]))
                else:
                    choice = {
                        "index": 0,
                        "message": {"role": "assistant", **message},
                        "finish_reason": finish,
                    }
                    self._send(
                        200, "application/json", json.dumps({**facts, "choices": [choice], "usage": usage})
                    )

            def _send(self, status: int, kind: str, text: str) -> None:
                body = text.encode()
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Retry-After", "0")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def _message(reply: str | list[tuple[str, dict[str, Any]]], request: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(reply, str):
        return {"content": reply}
    number = len(request["messages"])
    return {
        "content": "",
        "tool_calls": [
            {
                "index": index,
                "id": f"call_{number}_{index}",
                "type": "function",
                "function": {"name": name, "arguments": json.dumps(arguments)},
            }
            for index, (name, arguments) in enumerate(reply)
        ],
    }
