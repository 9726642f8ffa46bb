"""The team's MCP server on standard input and output, for a client that starts it itself."""

from __future__ import annotations

from pathlib import Path

from harness.opening import open_harness
from harness.serve.app import opened
from harness.serve.options import ServeOptions
from harness.team import Team


async def serve_stdio(team: Team, options: ServeOptions, store: str | None, trace: Path | None) -> None:
    """Serve until standard input ends; runs are then given their time and the rest is interrupted."""
    async with open_harness(team, store=store, trace=trace) as harness, opened(harness, options) as serving:
        await serving.mcp.run_stdio_async()
