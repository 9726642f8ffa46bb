"""What whoever serves a team may decide."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
"""What a browser or a client on this machine may call us."""

ALL_AGENTS = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """How a team is served; the defaults are safe for a server on the loopback interface."""

    tokens: tuple[str, ...] = field(default=(), repr=False)
    """Bearer tokens that are let in; nobody needs one if there are none."""
    agents: tuple[str, ...] = ()
    """Agents that clients may start at, or `*` for all; only the entry agent if empty.

    A rule that denies a tool to the entry agent does not hold for a run that starts below it.
    """
    allowed_hosts: tuple[str, ...] | None = LOOPBACK
    """Names in `Host` and `Origin` that are let in, without the port; None lets all in.

    On the loopback interface this keeps web pages from reaching the server by DNS rebinding.
    """
    body_limit: int = 8 << 20
    """Bytes one request may have."""
    requests_per_minute: int = 600
    """Requests of one token, or of one address if there are no tokens; 0 for no limit."""
    max_runs: int = 100
    """Runs at the same time; whoever wants to start a further one is told to come back."""
    carry_on: bool = True
    """Whether runs that were cut off or interrupted are carried on when the server starts."""
    grace_seconds: float = 10.0
    """How long runs may go on when the server is told to stop; then they are interrupted."""
    keep_alive_seconds: float = 15.0
    """A stream that has nothing to tell says so this often."""
    extend_mcp: Callable[[MCPServer], None] | None = None
    """Called with the team's MCP server before it serves, to add tools, prompts and resources."""
