"""What whoever serves a team may decide."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from harness.team import TeamSpec

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
"""What a browser or a client on this machine may call us."""

ALL_AGENTS = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """How a team is served; the defaults are safe for a server on the loopback interface.

    What is left open is as `serve:` in the team file says.
    """

    tokens: tuple[str, ...] = field(default=(), repr=False)
    """Bearer tokens that are let in; nobody needs one if there are none."""
    agents: tuple[str, ...] = ()
    """Agents that clients may start at, or `*` for all.

    A rule that denies a tool to the entry agent does not hold for a run that starts below it.
    """
    allowed_hosts: tuple[str, ...] | None = LOOPBACK
    """Names in `Host` and `Origin` that are let in, without the port; None lets all in.

    On the loopback interface this keeps web pages from reaching the server by DNS rebinding.
    """
    body_limit: int | None = None
    """Bytes one request may have."""
    requests_per_minute: int | None = None
    """Requests of one token, or of one address if there are no tokens."""
    max_runs: int | None = None
    """Runs at the same time; whoever wants to start a further one is told to come back."""
    carry_on: bool = True
    """Whether runs that were cut off or interrupted are carried on when the server starts."""
    grace_seconds: float = 10.0
    """How long runs may go on when the server is told to stop; then they are interrupted."""
    keep_alive_seconds: float = 15.0
    """A stream that has nothing to tell says so this often."""
    extend_mcp: Callable[[MCPServer], None] | None = None
    """Called with the team's MCP server before it serves, to add tools, prompts and resources."""

    def settled(self, spec: TeamSpec) -> ServeOptions:
        """Return the options with what was left open taken from the team file, the entry agent first."""
        named = self.agents or tuple(spec.exposed)
        agents = tuple(spec.agents) if ALL_AGENTS in named else named
        return replace(
            self,
            agents=tuple(sorted(agents, key=lambda name: name != spec.entry)),
            body_limit=self.body_limit or spec.serve.max_body,
            requests_per_minute=self.requests_per_minute or spec.serve.requests_per_minute,
            max_runs=self.max_runs or spec.serve.max_concurrent,
        )
