"""An MCP server for the files of one folder: list, read, search and, where it is granted, write and edit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer

__all__ = ["create"]


def create(*, base: Path | None = None, root: str = ".", write: bool = False) -> MCPServer:
    """Makes the server for the folder `root`, relative to `base` or else to the working directory.

    Without `write` there are no tools that change anything.

    Raises: ValueError for options that cannot be used.
    """
    # Importing the SDK takes most of a second, and naming this package should not.
    from toolservers.files.server import make_server

    return make_server(base=base, root=root, write=write)
