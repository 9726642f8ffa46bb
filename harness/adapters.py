"""Builds models and opens tool servers from a team's specs; imports an adapter only where it is used.

Imports stand inside functions here because they are dear: `aiohttp` costs 0.25 s and `mcp` 0.9 s,
which a team that uses neither should not pay.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from harness.errors import UsageError
from harness.events import Event
from harness.loop.room import BY_NAME
from harness.messages import Message, Text, ToolCall
from harness.models.port import Model, Price
from harness.models.profiles import Profile, family, family_names, profile_of
from harness.models.thinking import ThinkingOptions
from harness.team import ModelSpec, ServerSpec, Team, TeamSpec
from harness.team.model_specs import PriceSpec, TokenPrices
from harness.team.places import SENSITIVE
from harness.team.providers import PROVIDERS
from harness.team.spelling import did_you_mean
from harness.tools.environment import read_environment
from harness.tools.port import Tool, Toolset

if TYPE_CHECKING:
    from harness.tools.hub import ToolHub


def build_model(spec: ModelSpec, *, key_from: str = "") -> Model:
    """Return the model that `spec` describes; `key_from` names the variable that its key came from."""
    match spec.api:
        case "offline":
            from harness.models.offline import OfflineModel

            return OfflineModel()
        case "scripted":
            return _scripted(spec)
        case _:
            return _over_the_network(spec, key_from)


def build_models(team: Team, given: Mapping[str, Model]) -> dict[str, Model]:
    """Return a model for every agent, by agent name, and those that sum up windows or stand in as `model:NAME`.

    All that name the same entry of `models:` share one model and its connections.

    Args:
        given: Models to use instead, by the name of an agent or of an entry of `models:`.
    """
    spec = team.spec
    built: dict[str, Model] = dict(given)

    def model(name: str) -> Model:
        if name not in built:
            built[name] = build_model(spec.models[name], key_from=_key_from(team, name))
        return built[name]

    by_agent = {
        agent: given[agent] if agent in given else model(spec.model_of(agent)) for agent in spec.agents
    }
    fallbacks = {name for agent in spec.agents for name in spec.fallbacks_of(agent)}
    by_name = {f"{BY_NAME}{name}": model(name) for name in sorted(_summarisers(spec) | fallbacks)}
    return by_agent | by_name


def _summarisers(spec: TeamSpec) -> set[str]:
    contexts = [context for agent in spec.agents if (context := spec.context_of(agent)) is not None]
    strategies = [strategy for context in contexts for strategy in context.strategies]
    return {one.summarise.model for one in strategies if one.summarise and one.summarise.model}


def _key_from(team: Team, name: str) -> str:
    """Return where a model's key came from, in words: the variable, or the place in the team file."""
    written: Mapping[str, Any] = team.source.get("models", {}).get(name, {})
    texts = [written.get("api_key"), *written.get("headers", {}).values()]
    variables = [found[1] for text in texts if (found := _VARIABLE.search(str(text or "")))]
    if not variables and not any(texts):
        spec = team.spec.models[name]
        usual = " or ".join(PROVIDERS[spec.served_by].keys) if spec.served_by in PROVIDERS else ""
        if spec.api_key is not None and usual:
            return f"its key came from the variable {usual}"
        return f"no models.{name}.api_key is given" + (f"; {usual} would hold it" if usual else "")
    if not variables:
        return ""
    # A key that is written out in the file is stored as a variable that is named after its place.
    if variables[0] == re.sub(r"[^A-Za-z0-9]", "_", f"models_{name}_api_key").upper():
        return f"its key stands at models.{name}.api_key"
    return f"its key came from the variable {variables[0]}"


def _scripted(spec: ModelSpec) -> Model:
    import orjson

    from harness.models.scripted import ScriptedModel

    replies: list[Message] = []
    for turn in spec.script or ():
        calls = [ToolCall("", call.tool, orjson.dumps(call.arguments).decode()) for call in turn.calls]
        replies.append(Message("assistant", (*((Text(turn.say),) if turn.say else ()), *calls)))
    return ScriptedModel(*replies)


_VARIABLE = re.compile(r"\$\{(?:env:)?([A-Za-z_]\w*)")

_WIRE_MODELS = {
    "openai-chat": "harness.models.openai_chat:OpenAIChatModel",
    "openai-responses": "harness.models.openai_responses:OpenAIResponsesModel",
    "anthropic": "harness.models.anthropic:AnthropicModel",
    "gemini": "harness.models.gemini:GeminiModel",
}
"""Wire APIs, and the class that speaks each."""


def profile_for(spec: ModelSpec) -> Profile:
    """Return what is known of a model, and what the team file says of it instead.

    Raises:
        UsageError: It is said to be like a family that nobody knows.
    """
    said = spec.profile
    profile = profile_of(spec.model or "", spec.served_by)
    if said.like is not None:
        like = family(said.like)
        if like is None:
            hint = did_you_mean(said.like, family_names(), what="families")
            raise UsageError(f"there is no family of models '{said.like}'; {hint}")
        profile = replace(like, price=profile.price)
    changed: dict[str, Any] = {
        name: getattr(said, name)
        for name in ("max_output", "reasoning_field", "reasoning_required")
        if getattr(said, name) is not None
    }
    if said.thinking is not None:
        told: dict[str, Any] = said.thinking.model_dump(exclude_unset=True)
        told["efforts"] = tuple(told.get("efforts", ()))
        changed["thinking"] = ThinkingOptions(**told)
    return replace(profile, **changed, family=profile.family or (spec.model or "" if changed else ""))


def _price(spec: PriceSpec) -> Price:
    above = None if spec.above is None else (spec.above.tokens, _price_of(spec.above))
    return replace(_price_of(spec), above=above)


def _price_of(spec: TokenPrices) -> Price:
    return Price(spec.input, spec.output, spec.cached, spec.cache_write)


def _over_the_network(spec: ModelSpec, key_from: str) -> Model:
    from harness.models.endpoint import Endpoint
    from harness.models.limiter import Limits

    module, _, name = _WIRE_MODELS[spec.api].partition(":")
    served_by = PROVIDERS.get(spec.served_by)
    model: Model = getattr(import_module(module), name)(
        Endpoint(
            model=spec.model or "",
            base_url=spec.base_url,
            api_key=spec.api_key.get_secret_value() if spec.api_key else "",
            dialect=spec.dialect,
            provider=served_by.known_as if served_by else "",
            headers={name: value.get_secret_value() for name, value in spec.headers.items()},
            extra=spec.extra,
            stream=spec.stream,
            max_tokens=spec.max_tokens,
            temperature=spec.temperature,
            timeout_seconds=spec.timeout_seconds,
            idle_seconds=spec.idle_seconds,
            retries=spec.retries,
            context_window=spec.context_window,
            price=_price(spec.price) if spec.price is not None else None,
            limits=Limits(
                requests_per_minute=spec.requests_per_minute,
                tokens_per_minute=spec.tokens_per_minute,
                parallel=spec.parallel,
            ),
            key_from=key_from,
            profile=profile_for(spec),
        )
    )
    return model


class ToolServers:
    """The tool servers of a team, each living as long as its scope says.

    Servers shared by all runs live as long as this object, a context manager. `run_tools` opens
    those of one run.
    """

    def __init__(
        self, servers: Mapping[str, ServerSpec], base: Path, toolsets: Sequence[Toolset] = ()
    ) -> None:
        self._servers = servers
        self._base = base
        self._toolsets = tuple(toolsets)

    def secrets(self) -> frozenset[str]:
        """Return the keys that stand in files of variables, of which the team file knows nothing."""
        found: set[str] = set()
        for spec in self._servers.values():
            if spec.envFile and not spec.disabled:
                try:
                    environment = read_environment(self._base / Path(spec.envFile).expanduser())
                except (OSError, ValueError):
                    continue
                found.update(value for name, value in environment.items() if SENSITIVE.search(name))
        return frozenset(found)

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[None]:
        """Keep the shared servers for as long as the context lasts."""
        async with self._hub("shared") as self._shared:
            yield

    @asynccontextmanager
    async def run_tools(self) -> AsyncGenerator[RunTools]:
        """Yield the source of tools of one run, with servers of its own where the team file says so."""
        async with self._hub("run") as own:
            hubs = [hub for hub in (self._shared, own) if hub is not None]
            yield RunTools(hubs, self._toolsets, lambda: self._hub("agent"))

    @asynccontextmanager
    async def _hub(self, scope: str) -> AsyncGenerator[ToolHub | None]:
        servers = {
            name: spec
            for name, spec in self._servers.items()
            if spec.scope == scope and not spec.disabled  # one that is disabled need not cost the import
        }
        if not servers:
            yield None
            return
        from harness.tools.hub import ToolHub

        async with ToolHub(servers, self._base) as hub:
            yield hub


class RunTools:
    """Hands out tools to the agent runs of one run; see `harness.loop.team_run.ScopedTools`."""

    def __init__(
        self,
        hubs: Sequence[ToolHub],
        toolsets: Sequence[Toolset],
        agent_hub: Callable[[], AbstractAsyncContextManager[ToolHub | None]],
    ) -> None:
        self._hubs = hubs
        self._toolsets = toolsets
        self._agent_hub = agent_hub

    @asynccontextmanager
    async def __call__(
        self, patterns: Sequence[str], *, agent: str, emit: Callable[[Event], None]
    ) -> AsyncGenerator[list[Tool]]:
        """Yield the tools of the agent run at path `agent`."""
        if not patterns:
            yield []
            return
        async with AsyncExitStack() as stack:
            tools = [tool for toolset in self._toolsets for tool in await toolset.tools(patterns)]
            own = await stack.enter_async_context(self._agent_hub())
            for hub in (*self._hubs, *((own,) if own else ())):
                tools += await hub.tools(patterns, emit=emit)
            yield tools


async def close_models(models: Mapping[str, Model], given: Mapping[str, Model]) -> None:
    """Close every model that was built here; models that were handed in stay open."""
    with anyio.CancelScope(shield=True):
        for model in {id(model): model for model in models.values()}.values():
            if not any(model is other for other in given.values()):
                await model.close()
