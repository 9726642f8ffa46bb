"""An MCP server with two tools that do nothing, so that only the way to them is measured.

Run as a script it speaks MCP over stdio; `create` returns the same server for use in-process.
Imports nothing of this project, so that it starts the same from anywhere.
"""

from __future__ import annotations

import logging
from pathlib import Path

from mcp.server.mcpserver import MCPServer
from mcp_types import ToolAnnotations

BLOB = "0123456789abcdef" * 64
"""One KiB."""


def create(*, base: Path | None = None, **options: object) -> MCPServer:
    """Return a new server with `echo` and `blob`; it uses neither `base` nor `options`."""
    del base, options
    server = MCPServer("bench", log_level="WARNING")

    @server.tool(annotations=ToolAnnotations(read_only_hint=True))
    async def echo(text: str) -> str:
        """Return the text as it is."""
        return text

    @server.tool(annotations=ToolAnnotations(read_only_hint=True))
    async def blob(kb: int, turn: int = 0) -> str:
        """Return kb KiB of text, the same for every turn."""
        return BLOB * kb

    return server


if __name__ == "__main__":
    logging.disable(logging.INFO)
    create().run("stdio")
