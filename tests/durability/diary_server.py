"""An MCP server that writes lines into a diary, for teams that the command line runs."""

from __future__ import annotations

import sys
from pathlib import Path

import anyio
from diary import Diary
from mcp.server.mcpserver import MCPServer


def create(*, base=None, diary, wait_at=-1):
    """Return the server.

    Args:
        diary: The file of the diary.
        wait_at: The line that is not written before there is a file `go` beside the diary.
    """
    server = MCPServer("diary", log_level="ERROR")
    told = Diary(Path(diary))

    @server.tool()
    async def write(writer: int, line: int, padding: str = "") -> str:
        """Write a line down."""
        if line == wait_at:
            print("waits", file=sys.stderr, flush=True)
            with anyio.CancelScope(shield=True):
                while not Path(diary).with_name("go").exists():  # noqa: ASYNC110
                    await anyio.sleep(0.02)
        told.tell("line", writer, line)
        return f"line {line} is written {padding}"

    return server
