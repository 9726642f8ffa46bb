"""Servers for tests: specs of the scripts in `servers/`, and what runs on this machine because of them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio

from harness.team import ServerSpec
from harness.tools.hub import ToolHub
from harness.tools.port import CallContext, Inquiry, InquiryAnswer, Tool, ToolOutput

SERVERS = Path(__file__).parent / "servers"
MARK = "HARNESS_TEST_MARK"
"""An environment variable by which the processes that tests start, and theirs, are found again."""

CONTEXT = CallContext("lead", 1, "call-1", "lead/turn-1/0")


def plain(options: Mapping[str, Any] | None = None, **spec: Any) -> ServerSpec:
    """A server of `plain_server.py` with its options, and whatever else the team file says of it."""
    arguments = [str(SERVERS / "plain_server.py"), json.dumps(options or {})]
    spec["env"] = {MARK: str(os.getpid())} | spec.get("env", {})
    return ServerSpec(command=sys.executable, args=arguments, **spec)


def asking(way: str, **options: Any) -> ServerSpec:
    """A server of `asking_server.py` with its options: in-process or over pipes."""
    if way == "module":
        return ServerSpec(module="asking_server", args=options)
    arguments = [str(SERVERS / "asking_server.py"), "stdio", json.dumps(options)]
    return ServerSpec(command=sys.executable, args=arguments, env={MARK: str(os.getpid())})


def in_process(**spec: Any) -> ServerSpec:
    return ServerSpec(module="sdk_server", **spec)


def hub(**servers: ServerSpec) -> ToolHub:
    return ToolHub(servers, SERVERS)


async def tool(hub: ToolHub, name: str) -> Tool:
    [found] = await hub.tools([name])
    return found


async def call(hub: ToolHub, name: str, /, **arguments: Any) -> ToolOutput:
    """Call the tool of that name, as the loop would."""
    return await (await tool(hub, name)).invoke(arguments, CONTEXT)


class Arrival:
    """A place to call from that knows when the server reported progress: that the call is under way."""

    def __init__(self) -> None:
        self.event = anyio.Event()
        self.reports: list[tuple[float, float | None, str]] = []
        self.context = CallContext("lead", 1, "call-1", "lead/turn-1/0", self._report)

    def _report(self, done: float, total: float | None, message: str) -> None:
        self.reports.append((done, total, message))
        self.event.set()


class Person:
    """A place to call from where questions are noted and answered."""

    def __init__(self, content: Mapping[str, Any] | None = None) -> None:
        self.asked: list[Inquiry] = []
        self.content = content
        self.may_answer = anyio.Event()
        """To be set before an answer is given."""
        self.is_asked = anyio.Event()
        self.context = CallContext("lead", 1, "call-1", "lead/turn-1/0", ask=self._ask)

    def answering(self, inquiry: Inquiry, content: Mapping[str, Any] | None) -> CallContext:
        """The place to call from again once an inquiry is answered."""
        return replace(self.context, answer=InquiryAnswer(inquiry, content))

    async def _ask(self, inquiry: Inquiry) -> InquiryAnswer:
        self.asked.append(inquiry)
        self.is_asked.set()
        await self.may_answer.wait()
        return InquiryAnswer(inquiry, self.content)


class HttpServer:
    """A server over HTTP, in a process of its own that can be killed and started again."""

    def __init__(self, script: str = "sdk_server.py", **options: Any) -> None:
        self.script = script
        self.options = options
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.process: subprocess.Popen[str] | None = None

    def spec(self, **more: Any) -> ServerSpec:
        return ServerSpec(url=f"http://127.0.0.1:{self.port}/mcp", **more)

    def start(self) -> None:
        """Returns when it listens."""
        self.process = subprocess.Popen(
            [
                sys.executable,
                str(SERVERS / self.script),
                str(self.port),
                *([json.dumps(self.options)] if self.options else []),
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                assert self.process.poll() is None, self.process.communicate()
                threading.Event().wait(0.05)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()


class HandWritten:
    """An MCP server over HTTP in a thread, written by hand so that it can misbehave."""

    def __init__(self, tools: list[Any] | None = None, *, status: int = 0, body: bytes = b"") -> None:
        self.tools = tools or [{"name": "echo", "inputSchema": {"type": "object"}}]
        self.status = status
        """Answer everything with this status, unless it is 0."""
        self.body = body
        self.session = ""
        """The id of the session; a request with another id gets a 404."""
        self.calls = 0
        self.fetches = 0
        """How often something was asked for with GET."""

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Yield its address."""
        owner = self

        class Answers(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                posted = self.rfile.read(int(self.headers["content-length"] or 0))
                status, body = owner.answer(posted, self.headers.get("mcp-session-id"))
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                if owner.session:
                    self.send_header("mcp-session-id", owner.session)
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self) -> None:
                owner.fetches += 1
                self.send_error(405)

            do_DELETE = do_GET

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
            thread.start()
            try:
                yield f"http://127.0.0.1:{server.server_address[1]}/mcp"
            finally:
                server.shutdown()
                thread.join()

    def answer(self, posted: bytes, session: str | None) -> tuple[int, bytes]:
        if self.status:
            return self.status, self.body
        message = json.loads(posted)
        if message["method"] != "initialize" and self.session and session not in (None, self.session):
            return 404, b"no such session"
        if "id" not in message:
            return 202, b""
        return 200, json.dumps({"jsonrpc": "2.0", "id": message["id"]} | self._outcome(message)).encode()

    def _outcome(self, message: Mapping[str, Any]) -> dict[str, Any]:
        match message["method"]:
            case "initialize":
                info = {"name": "hand", "version": "1"}
                version = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}}
                return {"result": version | {"serverInfo": info}}
            case "tools/list":
                return {"result": {"tools": self.tools}}
            case "tools/call":
                self.calls += 1
                return {"result": {"content": [{"type": "text", "text": f"call {self.calls}"}]}}
            case _:
                return {"error": {"code": -32601, "message": "Method not found"}}


def is_running(process: int) -> bool:
    """Whether a process is there and is not merely waiting to be reaped."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


async def gone(process: int) -> None:
    """Returns when a process has ended."""
    try:
        handle = os.pidfd_open(process)
    except ProcessLookupError:
        return
    try:
        await anyio.wait_readable(handle)
    finally:
        os.close(handle)


def descendants() -> set[int]:
    """The running processes of servers that this one started, and of whatever they started."""
    mark = f"{MARK}={os.getpid()}".encode()
    found: set[int] = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid() and is_running(int(entry.name)):
            try:
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.add(int(entry.name))
            except OSError:
                continue
    return found
