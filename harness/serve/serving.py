"""What the endpoints of one server share."""

from __future__ import annotations

from dataclasses import dataclass

import anyio
from mcp.server.mcpserver import MCPServer
from starlette.requests import Request

from harness.serve.following import Following
from harness.serve.options import ServeOptions
from harness.serve.reception import Reception


@dataclass(frozen=True, slots=True)
class Serving:
    """A team that is open, and who takes care of its clients."""

    reception: Reception
    following: Following
    options: ServeOptions
    mcp: MCPServer
    closing: anyio.Event
    """Set when every run has ended and streams are to end too."""

    async def stop(self) -> None:
        """Take nothing in any more, let runs end for a while, interrupt the rest, and end all streams."""
        await self.reception.drain()
        self.following.close()
        self.closing.set()


def serving(request: Request) -> Serving:
    """Return what serves this request."""
    return request.state.serving
