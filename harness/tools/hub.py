"""The servers of a team as one toolset: lazy, parallel, each failing alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio
import orjson
from mcp_types import (
    CallToolResult,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
)
from mcp_types import Tool as ListedTool

from harness.errors import RequiredServerFailed, ToolError, ToolServerError
from harness.events import EffectClass, Event, ToolServerFailed, ToolServerStarted
from harness.messages import Image, ToolDefinition
from harness.team import ServerSpec
from harness.tools.connection import Connection
from harness.tools.names import matches
from harness.tools.port import CallContext, Tool, ToolOutput

PAUSE_SECONDS = 30.0
"""How long a server that is not required, and did not start, is left alone before it is tried again."""

IDEMPOTENCY_KEY = "harness/idempotency-key"
"""The key of `_meta` under which calls of `keyed` tools carry what makes them the same call."""


class ToolHub:
    """Owns the connections of one scope: of the whole process, of one run, or of one agent run.

    A context manager: leaving it ends every server that was started.
    """

    def __init__(self, servers: Mapping[str, ServerSpec], base: Path) -> None:
        self._servers = {name: spec for name, spec in servers.items() if not spec.disabled}
        self._base = base
        self._stack = AsyncExitStack()
        self._connections: dict[str, Connection] = {}
        self._known: dict[str, list[Tool]] = {}
        self._failed: dict[str, tuple[float, ToolServerError]] = {}

    async def __aenter__(self) -> Self:
        tasks = await self._stack.enter_async_context(anyio.create_task_group())
        self._connections = {
            name: Connection(name, spec, self._base, tasks) for name, spec in self._servers.items()
        }
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            async with anyio.create_task_group() as closing:
                for connection in self._connections.values():
                    closing.start_soon(connection.close)
        await self._stack.aclose()

    async def tools(
        self, patterns: Sequence[str], *, emit: Callable[[Event], None] | None = None
    ) -> list[Tool]:
        """Return the granted tools, starting the servers they need all at once.

        Raises:
            RequiredServerFailed: A required server could not be started.
        """
        needed = [name for name in self._connections if _may_grant(name, patterns)]
        failures: dict[str, ToolServerError] = {}

        async def start(name: str) -> None:
            try:
                await self._start(name, emit)
            except ToolServerError as error:
                failures[name] = error

        if any(name not in self._known for name in needed):
            async with anyio.create_task_group() as starting:
                for name in needed:
                    starting.start_soon(start, name)
        for name in needed:
            if name in failures:
                self._record_failure(name, failures[name], emit)
        return [
            tool
            for name in needed
            for tool in self._known.get(name, ())
            if matches(tool.definition.name, patterns)
        ]

    def _record_failure(
        self, name: str, error: ToolServerError, emit: Callable[[Event], None] | None
    ) -> None:
        required = self._servers[name].required
        if emit:
            emit(ToolServerFailed(server=name, error=str(error), required=required))
        if required:
            raise RequiredServerFailed(str(error)) from error

    async def _start(self, name: str, emit: Callable[[Event], None] | None) -> None:
        if name in self._known:
            return
        began = anyio.current_time()
        failed_at, error = self._failed.get(name, (-float("inf"), None))
        if error is not None and began - failed_at < PAUSE_SECONDS:
            raise error
        connection = self._connections[name]
        try:
            listed = await connection.tools()
        except ToolServerError as error:
            if not self._servers[name].required:
                self._failed[name] = (anyio.current_time(), error)
            raise
        if name in self._known:
            return
        spec = self._servers[name]
        offered = [
            tool
            for tool in listed
            if spec.tools is None or any(fnmatchcase(tool.name, p) for p in spec.tools)
        ]
        self._known[name] = [_bind(connection, tool) for tool in offered]
        if emit:
            emit(
                ToolServerStarted(
                    server=name,
                    transport=connection.transport,
                    tools=tuple(tool.name for tool in offered),
                    seconds=round(anyio.current_time() - began, 4),
                )
            )


def _may_grant(server: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(server, pattern.partition(".")[0]) for pattern in patterns)


def _bind(connection: Connection, listed: ListedTool) -> Tool:
    """Return the listed tool as one the loop can run."""
    effect = _effect(connection.spec, listed)
    repeatable = effect in ("read", "idempotent")

    async def invoke(arguments: Mapping[str, Any], context: CallContext) -> ToolOutput:
        # Without its run a key would make another run's call look like this one.
        keyed = effect == "keyed" and bool(context.run_id)
        meta = {"traceparent": context.traceparent} if context.traceparent else {}
        if keyed:
            meta[IDEMPOTENCY_KEY] = f"{context.run_id}/{context.key}"
        served: dict[str, str] = {}
        try:
            result = await connection.call(
                listed.name, arguments, context, retry=repeatable or keyed, meta=meta or None, served=served
            )
        except ToolError as error:
            error.served = served
            raise
        return replace(_output(result), served=served)

    schema: dict[str, Any] = dict(listed.input_schema)
    definition = ToolDefinition(f"{connection.name}.{listed.name}", listed.description or "", schema)
    return Tool(definition, invoke, effect)


def _effect(spec: ServerSpec, listed: ListedTool) -> EffectClass:
    """Return what the team file grants; a server's own word counts only if the server is trusted."""
    for pattern, effect in spec.effects.items():
        if fnmatchcase(listed.name, pattern):
            return effect
    trusted = spec.trust == "trusted" or (spec.trust is None and spec.module is not None)
    if trusted and listed.annotations is not None:
        if listed.annotations.read_only_hint:
            return "read"
        if listed.annotations.idempotent_hint:
            return "idempotent"
    return "once"


def _output(result: CallToolResult) -> ToolOutput:
    texts: list[str] = []
    images: list[Image] = []
    for block in result.content:
        if isinstance(block, TextContent):
            texts.append(block.text)
        elif isinstance(block, ImageContent):
            images.append(Image(block.data, block.mime_type))
        elif isinstance(block, EmbeddedResource) and isinstance(block.resource, TextResourceContents):
            texts.append(block.resource.text)
        elif isinstance(block, ResourceLink):
            texts.append(f"{block.name}: {block.uri}")
        else:
            texts.append(f"[{block.type} content that cannot be shown as text]")
    if not texts and result.structured_content is not None:
        texts.append(orjson.dumps(result.structured_content).decode())
    failed = bool(result.is_error)
    return ToolOutput("\n".join(texts), failed, "tool" if failed else "", tuple(images))
