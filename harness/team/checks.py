"""What one part of a team file says about another: references, cycles, and shapes.

These checks read the tree rather than the validated specs, so that they find everything there
is to find even where something else is wrong, each at the very word that is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Mapping as AbstractMapping
from collections.abc import Set as AbstractSet
from dataclasses import replace

from harness.errors import Problem
from harness.team.context_checks import check_contexts
from harness.team.interpolation import URL
from harness.team.model_specs import NETWORK_APIS
from harness.team.nodes import Entry, Mapping, Node, Scalar, Sequence, mapping_at, plain, scalars_in, text_in
from harness.team.order_checks import check_order
from harness.team.providers import model_hint
from harness.team.rule_checks import check_rules
from harness.team.server_checks import check_servers
from harness.team.specs import NAME_PATTERN
from harness.team.spelling import did_you_mean, shortened

_TOOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(\.[^.\s]+)?")
_KINDS = {"agents": "agent", "models": "model", "mcpServers": "server"}


def check_team(root: Mapping, handed_in: AbstractSet[str] = frozenset()) -> Iterator[Problem]:
    """Yield every problem that concerns more than one value.

    `handed_in` are names of servers that are not in the file but may be used.
    """
    agents = mapping_at(root, "agents")
    servers = handed_in | mapping_at(root, "mcpServers").entries.keys()
    yield from _check_names(root)
    yield from _check_entry(root, agents)
    yield from _check_models(mapping_at(root, "models"))
    yield from _check_fallbacks(mapping_at(root, "models"))
    yield from check_servers(mapping_at(root, "mcpServers"))
    for name, agent in agents.items():
        yield from _check_model_of(name, agents.entries[name], root)
        yield from _check_tools(agent, servers)
        yield from _check_agents(mapping_at(agent).get("delegates"), agents)
        for part in ("report", "output"):
            yield from _check_schema(mapping_at(agent, part).get("schema"))
    yield from _check_cycles(agents)
    yield from check_rules(root, servers)
    yield from check_contexts(root)
    yield from check_order(root, servers)
    yield from _check_agents(mapping_at(root, "serve").get("expose"), agents)


def with_models_named(root: Mapping) -> Mapping:
    """Return the tree in which every agent names its model, where that follows from the file."""
    agents = root.entries.get("agents")
    name = default_model(root)
    if agents is None or not isinstance(agents.value, Mapping) or name is None:
        return root
    named = agents.value
    for entry in agents.value.entries.values():
        if isinstance(entry.value, Mapping) and "model" not in entry.value.entries:
            mark = entry.key.mark
            agent = entry.value.having(Scalar("model", "model", mark), Scalar(name, name, mark))
            named = named.having(entry.key, agent)
    return root.having(agents.key, replace(named, mark=agents.value.mark))


def default_model(root: Mapping) -> str | None:
    """Return the model of agents that name none: `default`, or the only one there is."""
    if "models" not in root.entries:
        return "default"
    models = mapping_at(root, "models")
    if "default" in models.entries:
        return "default"
    return next(iter(models.entries)) if len(models.entries) == 1 else None


def servers_named(root: Mapping) -> set[str]:
    """Return the names of all servers that agents and rules name, in the file or not."""
    tools = [tool for _, agent in mapping_at(root, "agents").items() for tool in _tools_of(agent)]
    rules = root.get("permissions")
    named = [mapping_at(rule).get("tool") for rule in (rules.items if isinstance(rules, Sequence) else ())]
    names = {text.partition(".")[0] for tool in (*tools, *named) if (text := text_in(tool))}
    return {name for name in names if re.match(NAME_PATTERN, name)}


def _check_names(root: Mapping) -> Iterator[Problem]:
    for section, kind in _KINDS.items():
        for name, entry in mapping_at(root, section).entries.items():
            if not re.match(NAME_PATTERN, name) or "\n" in name:
                better = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")
                hint = "a name has letters, digits, - and _ only" + (
                    f"; perhaps '{better}'" if better else ""
                )
                yield entry.key.mark.problem(f"'{shortened(name)}' cannot be the name of {_a(kind)}", hint)
            elif kind == "server" and "__" in name:
                yield entry.key.mark.problem(
                    f"the server name '{name}' has two underscores in a row",
                    "they separate server and tool on the wire; use one",
                )


def _check_entry(root: Mapping, agents: Mapping) -> Iterator[Problem]:
    entry = root.get("entry")
    name = text_in(entry)
    if entry is not None and name is not None and agents.entries and name not in agents.entries:
        hint = did_you_mean(name, agents.entries, what="agents")
        yield entry.mark.problem(f"the entry agent '{shortened(name)}' is not in 'agents'", hint)


def _check_models(models: Mapping) -> Iterator[Problem]:
    for name, entry in models.entries.items():
        if not isinstance(entry.value, Mapping):
            continue
        model, api = entry.value, text_in(entry.value.get("api"))
        if api in NETWORK_APIS and not text_in(model.get("model")) and _absent_or_text(model.get("model")):
            mark = model.entries["model"].value.mark if "model" in model.entries else entry.key.mark
            hint = "name the model as its server knows it, as in: model: Qwen/Qwen3-8B"
            yield mark.problem(f"models.{name} needs 'model'", hint)
        if api == "scripted" and "script" not in model.entries:
            yield entry.key.mark.problem(
                f"models.{name} needs 'script'", 'write it as in: script: [{say: "Done."}]'
            )
        if api not in ("scripted", None) and "script" in model.entries:
            hint = "write api: scripted, or delete the script"
            yield model.entries["script"].key.mark.problem(
                f"'script' belongs to api scripted, not to {api}", hint
            )
        url = model.get("base_url")
        if url and (text := text_in(url)) is not None and not URL.match(text):
            yield url.mark.problem(
                "a base_url begins with http:// or https://", "as in: http://127.0.0.1:8000/v1"
            )


def _absent_or_text(node: Node | None) -> bool:
    return node is None or (isinstance(node, Scalar) and (node.value is None or isinstance(node.value, str)))


def _check_model_of(name: str, entry: Entry, root: Mapping) -> Iterator[Problem]:
    if not isinstance(entry.value, Mapping):
        return
    models = mapping_at(root, "models").entries if "models" in root.entries else {"default": None}
    said = entry.value.get("model")
    chosen = text_in(said)
    if chosen is not None and said is not None and chosen not in models:
        hint = model_hint(chosen, models)
        yield said.mark.problem(f"there is no model '{shortened(chosen)}'", hint)
    elif (said is None or plain(said) is None) and default_model(root) is None:
        hint = f"name one of {', '.join(models)}, or call one of them 'default'" if models else "add a model"
        yield entry.key.mark.problem(f"agents.{name} names no model, and no model is called 'default'", hint)


def _check_tools(agent: Node, servers: AbstractSet[str]) -> Iterator[Problem]:
    for tool in _tools_of(agent):
        server = tool.text.partition(".")[0]
        if server in servers and (tool.text == server or _TOOL.fullmatch(tool.text)):
            continue
        if _TOOL.fullmatch(tool.text):
            hint = did_you_mean(server, servers, what="servers") or "add it under mcpServers"
            yield tool.mark.problem(f"there is no server '{server}'", hint)
        else:
            hint = "write server, server.tool or server.glob_*"
            yield tool.mark.problem(f"'{shortened(tool.text)}' does not name a tool", hint)


def _tools_of(agent: Node) -> tuple[Scalar, ...]:
    return scalars_in(mapping_at(agent).get("tools"))


def _check_agents(listed: Node | None, agents: Mapping) -> Iterator[Problem]:
    seen: set[str] = set()
    for item in scalars_in(listed):
        name = item.text
        if name not in agents.entries:
            hint = did_you_mean(name, agents.entries, what="agents")
            yield item.mark.problem(f"there is no agent '{shortened(name)}'", hint)
        elif name in seen:
            yield item.mark.problem(f"'{name}' is listed twice")
        seen.add(name)


def _check_fallbacks(models: Mapping) -> Iterator[Problem]:
    named = {name: scalars_in(mapping_at(models, name).get("fallback")) for name in models.entries}
    for name, listed in named.items():
        seen: set[str] = set()
        for item in listed:
            if item.text not in models.entries:
                hint = did_you_mean(item.text, models.entries, what="models")
                yield item.mark.problem(f"there is no model '{shortened(item.text)}'", hint)
            elif item.text in seen:
                yield item.mark.problem(f"'{item.text}' is listed twice as a fallback of {name}")
            seen.add(item.text)
    for following, circle in _circles(named):
        yield following.mark.problem(
            f"models fall back in a circle: {circle}", "let the last of them have no fallback"
        )


def _check_cycles(agents: Mapping) -> Iterator[Problem]:
    """Yield one problem for each delegation that leads back to an agent on the way to it."""
    delegates = {name: scalars_in(mapping_at(agents, name).get("delegates")) for name in agents.entries}
    for following, circle in _circles(delegates):
        hint = "let one of them report back instead of delegating"
        yield following.mark.problem(f"agents delegate in a circle: {circle}", hint)


def _circles(named: AbstractMapping[str, tuple[Scalar, ...]]) -> Iterator[tuple[Scalar, str]]:
    """Yield each name that leads back to one on the way to it, and the circle in words."""
    finished: set[str] = set()
    for start in named:
        path: list[str] = [start]
        pending = [iter(named[start] if start not in finished else ())]
        while pending:
            following = next(pending[-1], None)
            if following is None:
                pending.pop()
                finished.add(path.pop())
            elif following.text in path:
                circle = [*path[path.index(following.text) :], following.text]
                yield following, " -> ".join(circle)
            elif following.text in named and following.text not in finished:
                path.append(following.text)
                pending.append(iter(named[following.text]))


def _check_schema(schema: Node | None) -> Iterator[Problem]:
    if not isinstance(schema, Mapping):
        return
    # Costs 90 ms, and few teams have one.
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(plain(schema))
    except SchemaError as error:
        node: Node = schema
        for part in error.absolute_path:
            node = node.entries[str(part)].value if isinstance(node, Mapping) else _item(node, part)
        message = f"this is not a valid JSON Schema: {shortened(error.message, 120)}"
        yield node.mark.problem(message, "see https://json-schema.org/understanding-json-schema")


def _item(node: Node, index: str | int) -> Node:
    return node.items[index] if isinstance(node, Sequence) and isinstance(index, int) else node


def _a(kind: str) -> str:
    return f"an {kind}" if kind == "agent" else f"a {kind}"
