"""The tools of an agent run as they were when it began, so that its requests stay what they were."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from harness.errors import ToolError
from harness.events import AgentRunStarted, EffectClass
from harness.messages import ToolDefinition
from harness.tools.names import matches
from harness.tools.port import CallContext, Tool


def recorded_tools(
    began: AgentRunStarted, effects: Mapping[str, EffectClass], live: Iterable[Tool]
) -> list[Tool]:
    """Return the tools of servers that the record names, each run by its live namesake if there is one.

    Args:
        effects: Effect class by tool; a tool that is not in it does no more than `once` allows.
    """
    today = {tool.definition.name: tool for tool in live}
    tools: list[Tool] = []
    for definition in began.tools:
        if "." in definition.name:
            now = today.get(definition.name)
            effect = effects.get(definition.name, "once")
            if now and now.definition == definition and now.effect == effect:
                # As it was, and its schema has been checked already, which takes a millisecond.
                tools.append(now)
            else:
                invoke = now.invoke if now else _is_gone
                tools.append(Tool(definition, invoke, effect, today=now.definition if now else None))
    return tools


def changed_tools(
    tools: Sequence[Tool], *, before: Sequence[str], now: Sequence[str], known: Iterable[ToolDefinition]
) -> list[Tool]:
    """Return the tools an agent has that is granted other ones `now` than `before`, as far as anybody knows.

    Args:
        tools: What it had from servers.
        known: All tools of servers on record; a pattern that names none of them stands for a tool itself.
    """
    if set(before) == set(now):
        return list(tools)
    kept = [tool for tool in tools if matches(tool.definition.name, now)]
    had = {tool.definition.name for tool in tools}
    others = {one.name: one for one in known if one.name not in had and matches(one.name, now)}
    for pattern in now:
        if pattern not in before and not any(matches(one.name, [pattern]) for one in known):
            others[pattern] = ToolDefinition(pattern, "What this tool is was not recorded.")
    return [*kept, *(Tool(definition, _is_gone) for definition in others.values())]


async def _is_gone(arguments: Mapping[str, Any], context: CallContext) -> NoReturn:
    raise ToolError("its server does not offer this tool any more")
