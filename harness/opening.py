"""Opening a team: what a `Harness` needs, in the order it is needed, and closed in the reverse."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from harness.adapters import ToolServers, build_models, close_models, profile_for
from harness.errors import UsageError
from harness.garbage import spare_the_collector
from harness.harness import Crew, Harness, Wiring, server_names
from harness.journal import Journal, open_journal
from harness.messages import Message
from harness.models.port import Model
from harness.run import RunResult
from harness.team import NETWORK_APIS, Team, TeamSpec, load_team
from harness.thinking_plans import thinking_plans
from harness.tools.port import Toolset

if TYPE_CHECKING:
    from harness.tracing import Tracing

DEFAULT_STORE = ".harness"

_OTLP_VARIABLES = tuple(f"OTEL_EXPORTER_OTLP_{signal}ENDPOINT" for signal in ("", "TRACES_", "METRICS_"))


@asynccontextmanager
async def open_harness(
    team: str | Path | Team,
    *,
    store: str | Path | Journal | None = None,
    overrides: Sequence[str] = (),
    model: str = "",
    models: Mapping[str, Model] | None = None,
    toolsets: Sequence[Toolset] = (),
    trace: Path | None = None,
    clock: Callable[[], float] = time.time,
) -> AsyncGenerator[Harness]:
    """Open a team for many runs; servers, connections and the store are shared and closed at the end.

    Args:
        team: Path of a team file, or a team already loaded.
        store: Where runs are kept: a directory, a `.db` file, `:memory:` or a journal. Default:
            `$HARNESS_STORE`, or `.harness` in the working directory.
        overrides: `a.b.c=value` settings over the team file.
        model: The model of every agent instead of the team file's: `provider/model`, or an entry of `models`.
        models: Models to use instead of the team file's, by agent or by model name.
        toolsets: Tools besides those of the team's servers.
        trace: A file to which spans are written as OTLP JSON lines.
        clock: Seconds since 1970; for what is displayed, and for when questions expire.

    Raises:
        TeamError: The team file is wrong.
        UsageError: `model` is given for a team that is loaded already.
        StoreError: The store cannot be opened.
    """
    if isinstance(team, Team):
        if model:
            raise UsageError("the team is loaded already: load it with overrides=['model=…']")
        loaded = team
    else:
        chosen = (*overrides, *((f"model={model}",) if model else ()))
        loaded = load_team(team, overrides=chosen, servers=server_names(toolsets))
    _check_prices(loaded.spec)
    given = models or {}
    by_agent = build_models(loaded, given)
    thinking_plans(loaded, by_agent)
    failure: Exception | None = None
    async with AsyncExitStack() as stack:
        journal = _journal(store)
        if journal is not store:
            stack.push_async_callback(journal.close)
        stack.push_async_callback(close_models, by_agent, given)
        tool_servers = ToolServers(loaded.spec.mcpServers, loaded.base, toolsets)
        tracing = _tracing(trace)
        if tracing is not None:
            stack.callback(_close_tracing, tracing)
        await stack.enter_async_context(tool_servers.opened())
        tasks = await stack.enter_async_context(anyio.create_task_group())
        spare_the_collector()
        try:
            crew = Crew(loaded, by_agent, tool_servers)
            yield Harness(Wiring(journal, crew, given, toolsets, tasks, tracing, clock))
        except Exception as error:
            # Raised again outside the task group, which would wrap it in an ExceptionGroup.
            failure = error
        finally:
            tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure


def _check_prices(spec: TeamSpec) -> None:
    """Refuse a limit in USD over a model whose price nobody knows.

    Raises:
        UsageError: There is one.
    """
    limited = spec.limits.usd is not None or any(
        agent.limits.usd is not None for agent in spec.agents.values()
    )
    unpriced = [
        name
        for name, model in spec.models.items()
        if model.api in NETWORK_APIS and model.price is None and profile_for(model).price is None
    ]
    if limited and unpriced:
        raise UsageError(
            f"a limit in usd cannot be kept: the price of the model {unpriced[0]} is unknown; "
            f"add models.{unpriced[0]}.price with input and output in USD per million tokens"
        )


def _tracing(trace: Path | None) -> Tracing | None:
    """Return where spans go, if they go anywhere; the OTel SDK is imported only then."""
    if trace is None and not any(os.environ.get(name) for name in _OTLP_VARIABLES):
        return None
    from harness.tracing import Tracing

    return Tracing.from_environment(trace)


def _close_tracing(tracing: Tracing) -> None:
    for problem in tracing.close().problems:
        warnings.warn(f"traces: {problem}", RuntimeWarning, stacklevel=2)


def run_sync(
    team: str | Path | Team,
    task: str | Message,
    *,
    store: str | Path | Journal | None = None,
    overrides: Sequence[str] = (),
    model: str = "",
    models: Mapping[str, Model] | None = None,
) -> RunResult:
    """Run a team on a task from code that is not async, and return the result. See `open_harness`."""

    async def main() -> RunResult:
        async with open_harness(
            team, store=store, overrides=overrides, model=model, models=models
        ) as harness:
            return await harness.run(task)

    return anyio.run(main)


def _journal(store: str | Path | Journal | None) -> Journal:
    if store is None:
        store = os.environ.get("HARNESS_STORE") or DEFAULT_STORE
    return open_journal(store, write=True) if isinstance(store, str | Path) else store
