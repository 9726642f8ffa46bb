"""`harness serve`: a team over HTTP, or as an MCP server on standard input and output."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import anyio

from harness.errors import UsageError
from harness.serve import ServeOptions, create_app, serve
from harness.serve.exporting import request_tracer
from harness.serve.options import ALL_AGENTS, LOOPBACK
from harness.serve.process import is_loopback
from harness.team import Team, load_team

TOKEN_VARIABLE = "HARNESS_TOKEN"


@dataclass(frozen=True)
class ServeRequest:
    """What was asked for on the command line."""

    team: str
    overrides: tuple[str, ...]
    store: str | None
    host: str
    port: int
    tokens: tuple[str, ...]
    allowed_hosts: tuple[str, ...]
    options: ServeOptions
    stdio: bool
    trace: Path | None


def serve_team(request: ServeRequest) -> int:
    """Serve the team until the process is told to stop; return the exit code."""
    team = load_team(request.team, overrides=request.overrides)
    options = _options(request, team)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(message)s")
    logging.getLogger("harness.serve").setLevel(logging.INFO)
    if request.stdio:
        from harness.serve.stdio import serve_stdio

        anyio.run(serve_stdio, team, options, request.store, request.trace)
        return 0
    with request_tracer(request.trace) as tracer:
        app = create_app(team, options=options, store=request.store, trace=request.trace, tracer=tracer)

        async def main() -> None:
            await serve(app, host=request.host, port=request.port, on_listening=_announce(team, options))

        anyio.run(main)
    return 0


def _options(request: ServeRequest, team: Team) -> ServeOptions:
    """Return the options, refusing what would let in everybody.

    Raises:
        UsageError: The address can be reached from elsewhere and no token is asked for, or an agent
            is unknown.
    """
    unknown = [name for name in request.options.agents if name not in (*team.spec.agents, ALL_AGENTS)]
    if unknown:
        raise UsageError(
            f"--agent {unknown[0]}: the team has no such agent; it has {', '.join(team.spec.agents)}"
        )
    tokens = request.tokens or tuple(filter(None, re.split(r"[\s,]+", os.environ.get(TOKEN_VARIABLE, ""))))
    local = is_loopback(request.host)
    if not local and not tokens and not request.stdio:
        raise UsageError(
            f"{request.host} can be reached from other machines; set {TOKEN_VARIABLE} or pass --token, "
            "or leave --host at 127.0.0.1"
        )
    hosts = (*LOOPBACK, *request.allowed_hosts) if local or request.allowed_hosts else None
    return replace(request.options, tokens=tokens, allowed_hosts=hosts)


def _announce(team: Team, options: ServeOptions) -> Callable[[str], None]:
    def announce(address: str) -> None:
        wants = "a token is asked for" if options.tokens else "no token is asked for"
        print(
            f"{team.spec.name} is served at {address} ({wants}); Ctrl-C stops it", file=sys.stderr, flush=True
        )

    return announce
