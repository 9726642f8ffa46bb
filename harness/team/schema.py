"""The JSON Schema of a team file, made from the specs plus what loading takes away.

`use`, `instructions_file`, `servers` and the keys of other programs never reach the specs, but
a person may write them, so the schema knows them.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from harness.team.foreign import IGNORED_SERVER_KEYS, INPUTS, SERVERS
from harness.team.nodes import Place
from harness.team.specs import TeamSpec

SCHEMA_ID = "urn:harness-agents:team:1"
_FILLED_IN = {"type": "string", "pattern": r"\$\{", "description": "A variable: ${NAME} or ${NAME:-default}."}
_USE = {
    "type": "string",
    "description": "A ready agent to start from; what else stands here overrides it.",
}
_LINE = {
    "type": "string",
    "description": "A model of a provider in one line, such as `anthropic/claude-sonnet-4-5` or `ollama/qwen3:8b`.",
}
_FILE = {
    "type": "string",
    "description": "A text file with the instructions, relative to this file; instead of `instructions`.",
}


def team_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a team file; every property has a description."""
    schema = _without_titles(_with_variables(TeamSpec.model_json_schema(by_alias=True)))
    definitions: dict[str, Any] = schema["$defs"]
    agent, server = definitions["AgentSpec"], definitions["ServerSpec"]
    agent["properties"] = {"use": _USE, **agent["properties"], "instructions_file": _FILE}
    agent["required"] = [name for name in agent.get("required", ()) if name != "instructions"]
    agent["anyOf"] = [{"required": [way]} for way in ("use", "instructions", "instructions_file")]
    server["properties"] |= {name: {"description": text} for name, text in IGNORED_SERVER_KEYS.items()}
    server["oneOf"] = [{"required": [way]} for way in ("module", "command", "url")]
    model = definitions["ModelSpec"]
    model["required"] = [name for name in model.get("required", ()) if name != "api"]
    model["anyOf"] = [{"required": [way]} for way in ("api", "provider")]
    properties: dict[str, Any] = schema["properties"]
    properties["models"]["additionalProperties"] = {"anyOf": [_LINE, {"$ref": "#/$defs/ModelSpec"}]}
    properties["servers"] = {**properties["mcpServers"], "description": SERVERS}
    properties["inputs"] = {"description": INPUTS}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": "A team of agents for harness",
        **{name: value for name, value in schema.items() if name != "title"},
    }


def keys_at(place: Place) -> tuple[str, ...]:
    """Return the keys that mean something in the mapping at `place`; empty where any key may stand."""
    root = _whole_schema()
    here = [root]
    for part in place:
        here = [below for schema in here for below in _below(_alternatives(schema, root), part)]
    options = [option for schema in here for option in _alternatives(schema, root)]
    known = [item for option in options for item in option.get("properties", {}).items()]
    return tuple(dict.fromkeys(name for name, about in known if not _is_ignored(about)))


def _is_ignored(about: dict[str, Any]) -> bool:
    return about.get("description", "").startswith("Ignored:")


@cache
def _whole_schema() -> dict[str, Any]:
    return team_schema()


def _alternatives(schema: dict[str, Any], root: dict[str, Any]) -> list[dict[str, Any]]:
    if "$ref" in schema:
        return [root["$defs"][schema["$ref"].rsplit("/", 1)[1]]]
    options = [*schema.get("anyOf", ()), *schema.get("oneOf", ())] if "properties" not in schema else []
    return [found for option in options for found in _alternatives(option, root)] or [schema]


def _below(options: list[dict[str, Any]], part: str | int) -> list[dict[str, Any]]:
    found: list[Any] = []
    for option in options:
        if isinstance(part, int):
            found.append(option.get("items"))
        else:
            found.append(option.get("properties", {}).get(part, option.get("additionalProperties")))
    return [schema for schema in found if isinstance(schema, dict)]


def _with_variables(schema: Any) -> Any:
    """Let `${NAME}` stand wherever a number, a truth value or a fixed word is wanted."""
    if isinstance(schema, list):
        return [_with_variables(item) for item in schema]  # pyright: ignore[reportUnknownVariableType]
    if not isinstance(schema, dict):
        return schema
    node: dict[str, Any] = {key: _with_variables(value) for key, value in schema.items()}  # pyright: ignore[reportUnknownVariableType]
    wants = node.get("type") in ("integer", "number", "boolean") or "enum" in node
    if not wants or str(node.get("description", "")).startswith("A number of tokens."):
        return node
    about = {key: node.pop(key) for key in ("description", "default", "title") if key in node}
    return {**about, "anyOf": [node, _FILLED_IN]}


def _without_titles(schema: Any, *, names: bool = False) -> Any:
    """Drop the titles pydantic derives from names: editors would show them instead of descriptions."""
    if isinstance(schema, list):
        return [_without_titles(item) for item in schema]  # pyright: ignore[reportUnknownVariableType]
    if not isinstance(schema, dict):
        return schema
    kept: dict[str, Any] = schema  # pyright: ignore[reportUnknownVariableType]
    return {
        key: _without_titles(value, names=key in ("properties", "$defs"))
        for key, value in kept.items()
        if names or key != "title"
    }
