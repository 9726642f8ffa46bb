"""`/mcp`: the team's MCP server over streamable HTTP, in both eras of the protocol."""

from __future__ import annotations

import anyio
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from harness.serve.serving import Serving


class McpEndpoint:
    """Hands requests to the SDK; ends what is still open when the server stops."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        serving: Serving = scope["state"]["serving"]
        failure: Exception | None = None
        unfinished = False

        async def watched(message: Message) -> None:
            nonlocal unfinished
            unfinished = message["type"] == "http.response.start" or message.get("more_body", False)
            await send(message)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_leave, serving.closing, tasks.cancel_scope)
            try:
                await serving.mcp.session_manager.handle_request(scope, receive, watched)
            except Exception as error:
                # Raised again outside the task group, which would wrap it in an ExceptionGroup.
                failure = error
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure
        if unfinished:
            await send({"type": "http.response.body", "body": b""})


async def _leave(closing: anyio.Event, scope: anyio.CancelScope) -> None:
    await closing.wait()
    scope.cancel()


ROUTES = [Route("/mcp", McpEndpoint())]
