"""An MCP server that searches a folder of text and source: BM25, passages with locators, no network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer

__all__ = ["create"]


def create(
    *,
    base: Path | None = None,
    root: str = ".",
    include: str | Sequence[str] = (),
    exclude: str | Sequence[str] = (),
    max_file_bytes: int = 2_000_000,
    cache: str | None = None,
    refresh_seconds: float = 2.0,
    terminal_progress: bool = False,
) -> MCPServer:
    """Makes the server for the folder `root`, relative to `base` or else to the working directory.

    `include` and `exclude` are globs over relative paths. `cache` is the file of the index, `:memory:`, or None for
    a file in the user's cache folder. The folder is looked at again at most every `refresh_seconds`.
    `terminal_progress` draws a bar on standard error when indexing takes long and a person is watching.

    Raises: ValueError for options that cannot be used.
    """
    # Importing the SDK takes most of a second, and naming this package should not.
    from toolservers.corpus.server import make_server, options

    return make_server(
        options(
            base=base,
            root=root,
            include=include,
            exclude=exclude,
            max_file_bytes=max_file_bytes,
            cache=cache,
            refresh_seconds=refresh_seconds,
            terminal_progress=terminal_progress,
        )
    )
