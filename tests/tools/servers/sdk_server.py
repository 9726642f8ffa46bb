"""An MCP server made with the SDK: in-process through `create`, over HTTP as `python sdk_server.py PORT`."""

import os
import sys
from typing import Annotated

import anyio
from mcp.server.mcpserver import Context, MCPServer
from mcp_types import ToolAnnotations
from pydantic import Field

created = 0
"""How many servers this process has made."""


def create(*, base=None, greeting="hello", fail=""):
    global created
    created += 1
    if fail == "exit":
        sys.exit(7)
    if fail:
        raise ValueError(fail)
    server = MCPServer("sdk", log_level="ERROR")
    calls = []

    @server.tool(annotations=ToolAnnotations(read_only_hint=True))
    async def greet(name: str) -> str:
        """Greet somebody."""
        calls.append(name)
        return f"{greeting} {name}"

    @server.tool()
    async def count() -> int:
        """How often this instance greeted."""
        return len(calls)

    @server.tool(annotations=ToolAnnotations(read_only_hint=True))
    async def pid() -> int:
        """The id of the process."""
        return os.getpid()

    @server.tool()
    async def header(name: str, context: Context) -> str:
        """A header of the request."""
        return context.headers.get(name, "none") if context.headers else "no headers"

    @server.tool(annotations=ToolAnnotations(read_only_hint=True))
    async def hold(context: Context) -> str:
        """Report progress once and never return."""
        await context.report_progress(1, 2, "held")
        await anyio.sleep_forever()
        return "released"

    @server.tool()
    async def crash(context: Context) -> str:
        """End the process."""
        await context.report_progress(1, 2, "crashing")
        os._exit(3)

    @server.tool()
    async def big(size: int) -> str:
        """Many characters."""
        return "x" * size

    travelling(server)
    return server


def travelling(server):
    """A tool that changes which headers it wants."""

    @server.tool()
    async def travel(to: str) -> str:
        """Go somewhere."""
        return f"in {to}"

    @server.tool()
    async def want_header() -> str:
        """From now on `travel` wants its argument in a header as well."""

        async def travel(to: Annotated[str, Field(json_schema_extra={"x-mcp-header": "To"})]) -> str:
            return f"sent to {to}"

        server.remove_tool("travel")
        server.add_tool(travel)
        return "done"


if __name__ == "__main__":
    create().run(
        "streamable-http",
        port=int(sys.argv[1]),
        **({"stateless_http": True} if "stateless" in sys.argv else {}),
    )
