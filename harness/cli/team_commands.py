"""`harness check`, `schema`, `init` and `tools`: everything about a team file short of running it."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
import orjson

from harness.adapters import RunTools, ToolServers, build_model, build_models
from harness.cli.models import describe, sentence
from harness.cli.terminal import count, one_line, plain
from harness.errors import TeamError, ToolError, UsageError
from harness.events import Event, ToolServerFailed
from harness.models.thinking import ThinkingPlan
from harness.team import NETWORK_APIS, Team, ThinkingSpec, load_team, starter_team, team_schema
from harness.thinking_plans import thinking_plans
from harness.tools.port import CallContext, Tool
from harness.views import json_line

SCHEMA_NAME = "harness.schema.json"


def check_team(path: str, overrides: Sequence[str], *, as_json: bool) -> int:
    """Print what is wrong with a team file, or that nothing is; return the exit code."""
    try:
        team = load_team(path, overrides=overrides)
        plans = _thinking(team)
    except TeamError as error:
        if not as_json:
            raise
        fields = ("message", "file", "line", "column", "source", "hint")
        print(
            json_line({"problems": [{name: getattr(one, name) for name in fields} for one in error.problems]})
        )
        return 2
    spec = team.spec
    told = {
        name: describe(build_model(model)) for name, model in spec.models.items() if model.api in NETWORK_APIS
    }
    if as_json:
        thinking = {
            name: {"enforcement": plan.enforcement, "why": plan.reason} for name, plan in plans.items()
        }
        fine = {"problems": [], "name": spec.name, "digest": team.digest, "agents": list(spec.agents)}
        print(json_line({**fine, "thinking": thinking, "models": told}))
        return 0
    print(
        f"{plain(path)}: the team {spec.name} is fine: {count(len(spec.agents), 'agent')}, entry {spec.entry}"
    )
    for name, agent in spec.agents.items():
        delegates = f" -> {', '.join(agent.delegates)}" if agent.delegates else ""
        tools = f"  tools: {', '.join(agent.tools)}" if agent.tools else ""
        print(f"  {name}{delegates}{tools}")
        if name in plans:
            print(f"    thinking: {plain(_told(spec.thinking_of(name), plans[name]))}")
        for rule in agent.order:
            print(f"    order: {plain(rule.contract.meaning)}")
    for rule in spec.order:
        print(f"  order: {plain(rule.contract.meaning)}")
    for name, model in told.items():
        print(f"  model {name}: {plain(sentence(model))}")
    return 0


def _thinking(team: Team) -> dict[str, ThinkingPlan]:
    """Return what each endpoint will do about thinking; builds models only where something is said of it."""
    if not team.thinking_marks:
        return {}
    return thinking_plans(team, build_models(team, {}))


def _told(asked: ThinkingSpec | None, plan: ThinkingPlan) -> str:
    assert asked is not None
    words = [asked.mode, *([asked.effort] if asked.effort and asked.mode == "on" else [])]
    words += [f"at most {asked.budget:,} tokens"] if asked.budget is not None else []
    return f"{', '.join(words)}: {plan.enforcement}, {plan.reason}"


def print_schema() -> None:
    """Print the JSON Schema of team files."""
    sys.stdout.write(orjson.dumps(team_schema(), option=orjson.OPT_INDENT_2).decode() + "\n")


def write_starter(directory: Path, *, force: bool) -> None:
    """Write `team.yaml` and its schema into `directory`.

    Raises:
        UsageError: One of them is there already, or the directory cannot be written.
    """
    files = {
        directory / "team.yaml": starter_team(),
        directory / SCHEMA_NAME: orjson.dumps(team_schema(), option=orjson.OPT_INDENT_2).decode() + "\n",
    }
    there = [str(path) for path in files if path.exists()]
    if there and not force:
        raise UsageError(f"{', '.join(there)} already there; nothing was written (--force overwrites)")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for path, text in files.items():
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{directory}: cannot be written: {error.strerror}") from error
    print(f"wrote {', '.join(map(str, files))}")
    print(f'try: harness run {directory / "team.yaml"} "What is this folder about?"')


def list_tools(path: str, overrides: Sequence[str], *, as_json: bool) -> int:
    """Print every tool of the team's servers."""
    tools, failures = anyio.run(_with_tools, load_team(path, overrides=overrides), _all)
    if as_json:
        definitions = [tool.definition for tool in tools]
        print(
            json_line(
                {
                    "tools": [
                        {
                            "name": each.name,
                            "description": each.description,
                            "parameters": dict(each.parameters),
                            "effect": tool.effect,
                        }
                        for each, tool in zip(definitions, tools, strict=True)
                    ],
                    "failed": failures,
                }
            )
        )
    else:
        for tool in tools:
            print(
                f"{plain(tool.definition.name)} ({tool.effect})  {one_line(tool.definition.description, 90)}"
            )
        if not tools:
            print("this team has no tool servers", file=sys.stderr)
    for server, error in failures.items():
        print(f"server {server} failed: {plain(error)}", file=sys.stderr)
    return 1 if failures else 0


def call_tool(path: str, overrides: Sequence[str], name: str, arguments: str, *, as_json: bool) -> int:
    """Call one tool and print its result; return 1 if it reported an error."""
    try:
        values = orjson.loads(arguments)
    except orjson.JSONDecodeError as error:
        raise UsageError(f"the arguments are not valid JSON: {error}") from error

    async def call(tools: list[Tool]) -> tuple[str, bool]:
        tool = next((tool for tool in tools if tool.definition.name == name), None)
        if tool is None:
            known = ", ".join(each.definition.name for each in tools) or "none"
            raise UsageError(f"there is no tool {name}; there are: {known}")
        faults = tool.faults(values)
        if faults:
            raise UsageError(f"the arguments do not fit {name}: " + "; ".join(faults))
        try:
            output = await tool.invoke(values, CallContext("cli", 0, "cli", "cli"))
        except ToolError as error:
            return str(error), True
        return output.text, output.is_error

    (text, failed), failures = anyio.run(_with_tools, load_team(path, overrides=overrides), call)
    for server, error in failures.items():
        print(f"server {server} failed: {plain(error)}", file=sys.stderr)
    print(json_line({"tool": name, "text": text, "is_error": failed}) if as_json else plain(text))
    return 1 if failed else 0


async def _all(tools: list[Tool]) -> list[Tool]:
    return tools


async def _with_tools(team: Team, use: Callable[[list[Tool]], Awaitable[Any]]) -> tuple[Any, dict[str, str]]:
    """Return what `use` makes of all tools, and which servers failed."""
    failures: dict[str, str] = {}

    def emit(event: Event) -> None:
        if isinstance(event, ToolServerFailed):
            failures[event.server] = event.error

    servers = {
        name: spec.model_copy(update={"required": False}) for name, spec in team.spec.mcpServers.items()
    }
    async with AsyncExitStack() as stack:
        source = ToolServers(servers, team.base)
        await stack.enter_async_context(source.opened())
        run_tools: RunTools = await stack.enter_async_context(source.run_tools())
        tools = await stack.enter_async_context(run_tools(["*"], agent="cli", emit=emit))
        return await use(tools), failures
