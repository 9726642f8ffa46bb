"""What a server lists: all pages, each tool once, the malformed ones left out."""

from __future__ import annotations

import logging

from mcp import Client
from mcp.client.caching import CacheMode
from mcp_types import Tool as ListedTool
from pydantic import ValidationError

from harness.tools.sieve import ToolSieve

MAX_PAGES = 100
"""Pages of a tool listing that are read before a server is taken to be broken."""

_log = logging.getLogger(__name__)


async def list_tools(client: Client, sieve: ToolSieve, *, anew: bool = False) -> list[ListedTool]:
    """Return the tools of all pages, the first of those that share a name.

    Args:
        sieve: The one in the client's transport; switched on if the listing does not pass as it is.
        anew: Whether to ask the server even if it said that its last answer still holds.
    """
    mode: CacheMode = "refresh" if anew else "use"
    try:
        return await _read_pages(client, mode)
    except ValidationError:
        sieve.version = client.protocol_version
    tools = await _read_pages(client, mode)
    if sieve.dropped:
        _log.warning("left out malformed tools: %s", ", ".join(sieve.dropped))
    return tools


async def _read_pages(client: Client, mode: CacheMode) -> list[ListedTool]:
    tools: dict[str, ListedTool] = {}
    cursor: str | None = None
    seen: set[str] = set()
    for _ in range(MAX_PAGES):
        page = await client.list_tools(cursor=cursor, cache_mode=mode)
        for tool in page.tools:
            tools.setdefault(tool.name, tool)
        cursor = page.next_cursor
        if cursor is None or cursor in seen:
            break
        seen.add(cursor)
    return list(tools.values())
