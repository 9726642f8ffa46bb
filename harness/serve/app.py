"""The ASGI application: its routes, what guards them, and how long the team behind them is open."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from mcp.server.transport_security import TransportSecuritySettings
from opentelemetry.trace import Tracer
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from harness.errors import HarnessError
from harness.harness import Harness
from harness.journal import Journal
from harness.opening import open_harness
from harness.serve import chat, mcp_endpoint, runs
from harness.serve.following import Following
from harness.serve.guard import Guard
from harness.serve.mcp_tools import team_server
from harness.serve.options import ServeOptions
from harness.serve.problems import answer_problem
from harness.serve.reception import Reception
from harness.serve.serving import Serving
from harness.serve.spans import ServerSpans
from harness.team import Team, load_team

_ANY_SIZE = 1 << 40
_CHECKED_BY_GUARD = TransportSecuritySettings(enable_dns_rebinding_protection=False)


def create_app(
    team: Harness | Team | str | Path,
    *,
    options: ServeOptions | None = None,
    store: str | Path | Journal | None = None,
    overrides: Sequence[str] = (),
    trace: Path | None = None,
    tracer: Tracer | None = None,
) -> Starlette:
    """Return an application that serves a team: runs, an OpenAI-compatible endpoint and `/mcp`.

    The team is opened when the application starts and closed when it ends, after its runs were
    given `options.grace_seconds`. A `Harness` that is handed in is open already, and closed by whoever
    opened it; it is drained all the same, and takes no more runs after that. An application that is
    mounted in another one needs its lifespan entered: `app.router.lifespan_context(app)`.

    Args:
        team: A harness, a team, or the path of a team file.
        store: Where runs are kept, as in `harness.open`.
        overrides: `a.b.c=value` settings over the team file.
        trace: A file to which spans are written as OTLP JSON lines.
        tracer: Makes the span of each request; the global OpenTelemetry one by default.

    Raises:
        TeamError: The team file is wrong.
    """
    given = load_team(team, overrides=overrides) if isinstance(team, str | Path) else team
    spec = given.team.spec if isinstance(given, Harness) else given.spec
    chosen = (options or ServeOptions()).settled(spec)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[dict[str, Any]]:
        async with AsyncExitStack() as stack:
            harness = given
            if not isinstance(harness, Harness):
                harness = await stack.enter_async_context(open_harness(harness, store=store, trace=trace))
            served = await stack.enter_async_context(opened(harness, chosen))
            app.state.serving = served
            yield {"serving": served}

    problems = (HarnessError, HTTPException, ValidationError, Exception)
    return Starlette(
        routes=[*runs.ROUTES, *chat.ROUTES, *mcp_endpoint.ROUTES],
        middleware=[Middleware(ServerSpans, tracer), Middleware(Guard, chosen)],
        exception_handlers=dict.fromkeys(problems, answer_problem),
        lifespan=lifespan,
    )


@asynccontextmanager
async def opened(harness: Harness, options: ServeOptions) -> AsyncGenerator[Serving]:
    """Serve the runs of `harness` for as long as the context lasts."""
    options = options.settled(harness.team.spec)
    reception = Reception(harness, options)
    if options.carry_on:
        await reception.look_back()
    following = Following(harness, reception.expected)
    async with following.opened(), anyio.create_task_group() as tasks:
        tasks.start_soon(reception.carry_on)
        mcp = team_server(reception, following)
        # Makes the session manager, which our own endpoint hands requests to.
        mcp.streamable_http_app(
            max_request_body_size=options.body_limit or _ANY_SIZE, transport_security=_CHECKED_BY_GUARD
        )
        serving = Serving(reception, following, options, mcp, anyio.Event())
        async with mcp.session_manager.run():
            try:
                yield serving
            finally:
                await serving.stop()
        tasks.cancel_scope.cancel()
