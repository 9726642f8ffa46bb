"""The tools on offer, sorted by what they can be used for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.messages import ToolDefinition
from harness.models.offline.conversation import mapping, sequence, string

_QUERY_NAMES = ("query", "q", "pattern")
_LOCATOR_NAMES = ("locator", "path", "uri", "handle")
_CHANGING = re.compile(
    r"(?:^|[._-])(?:add|append|apply|create|delete|drop|edit|exec|execute|insert|kill|move|patch|post|publish|put|remove"
    r"|rename|replace|run|send|set|submit|update|upload|write)(?:$|[._-])"
)
_OWN = frozenset({"plan", "delegate", "report", "answer", "read_result"})
_AGENT_LINE = re.compile(r"^\s*[-*] +`?([\w./-]+)`?: *(.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class LookupTool:
    """A tool that finds or reads text and takes one string that matters."""

    name: str
    parameter: str
    properties: frozenset[str]
    fixed: tuple[tuple[str, Any], ...] = ()
    """Values for the other arguments it requires."""


@dataclass(frozen=True, slots=True)
class Delegate:
    """A sub-agent on offer."""

    name: str
    description: str


@dataclass(frozen=True)
class Offers:
    """What the offered tools are good for."""

    plan: ToolDefinition | None
    delegate: ToolDefinition | None
    report: ToolDefinition | None
    answer: ToolDefinition | None
    searches: tuple[LookupTool, ...]
    readers: tuple[LookupTool, ...]

    @property
    def delegates(self) -> tuple[Delegate, ...]:
        """The sub-agents that `plan` or `delegate` can start."""
        definition = self.plan or self.delegate
        return _delegates(definition) if definition else ()


def read_offers(tools: Sequence[ToolDefinition]) -> Offers:
    """Return the offered tools by their use; tools that change things are left out."""
    own = {tool.name: tool for tool in tools if tool.name in _OWN}
    others = [tool for tool in tools if tool.name not in _OWN and not _changes(tool.name)]
    searches = _lookups(others, _QUERY_NAMES)
    if any(lookup.parameter == "query" for lookup in searches):
        searches = tuple(lookup for lookup in searches if lookup.parameter != "pattern")
    names = {lookup.name for lookup in searches}
    readers = _lookups([tool for tool in others if tool.name not in names], _LOCATOR_NAMES)
    return Offers(
        plan=own.get("plan"),
        delegate=own.get("delegate"),
        report=own.get("report"),
        answer=own.get("answer"),
        searches=searches,
        readers=tuple(
            reader for reader in readers if re.search(r"read|get|fetch|open|view|show|load|cat", reader.name)
        ),
    )


def _changes(name: str) -> bool:
    last = name.rsplit(".", 1)[-1]
    return bool(_CHANGING.search(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", last).lower()))


def _lookups(tools: Sequence[ToolDefinition], names: Sequence[str]) -> tuple[LookupTool, ...]:
    found: list[LookupTool] = []
    for tool in tools:
        properties = mapping(tool.parameters.get("properties"))
        required = [name for name in sequence(tool.parameters.get("required")) if isinstance(name, str)]
        parameter = next((name for name in names if _is_string(properties.get(name))), None)
        if parameter is None:
            continue
        others = {
            name: _plain_value(name, mapping(properties.get(name))) for name in required if name != parameter
        }
        if None not in others.values():
            found.append(LookupTool(tool.name, parameter, frozenset(properties), tuple(others.items())))
    return tuple(found)


def _is_string(schema: Any) -> bool:
    kind = mapping(schema).get("type")
    return kind == "string" or (isinstance(kind, list) and "string" in kind)


def _plain_value(name: str, schema: dict[str, Any]) -> Any:
    """Return a harmless value for a required argument, or None if there is none."""
    if "default" in schema:
        return schema["default"]
    if choices := sequence(schema.get("enum")):
        return choices[0]
    if schema.get("type") in ("integer", "number"):
        return max(0 if name == "offset" else 8, schema.get("minimum", 0))
    if schema.get("type") == "boolean":
        return False
    return "." if name in ("path", "root", "directory", "folder") and schema.get("type") == "string" else None


def _delegates(definition: ToolDefinition) -> tuple[Delegate, ...]:
    described = dict(_AGENT_LINE.findall(definition.description))
    names = [string(name) for name in _agent_enum(definition.parameters)] or list(described)
    return tuple(Delegate(name, described.get(name, "")) for name in names if name)


def _agent_enum(schema: Any) -> list[Any]:
    """Return the first list of agent names anywhere in a schema."""
    found = mapping(schema)
    agent = mapping(mapping(found.get("properties")).get("agent"))
    if "enum" in agent or "const" in agent:
        return sequence(agent.get("enum")) or [agent.get("const")]
    for value in found.values():
        nested: list[Any] = sequence(value) or [value]
        for entry in nested:
            if names := _agent_enum(entry):
                return names
    return []
