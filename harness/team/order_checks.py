"""Whether the contracts of `order:` can be read, and speak of tools that are there."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from fnmatch import fnmatchcase

from harness.contracts import Contract, ContractError, parse_contract
from harness.errors import Problem
from harness.team.nodes import Mapping, Mark, Node, Scalar, Sequence, mapping_at, scalars_in, text_in
from harness.team.spelling import did_you_mean, shortened

OWN_TOOLS = frozenset({"answer", "delegate", "plan", "read_result", "report"})
"""The tools of the harness itself that contracts may name."""


def check_order(root: Mapping, servers: AbstractSet[str]) -> Iterator[Problem]:
    """Yield what is wrong with each contract of the team and of its agents."""
    agents = mapping_at(root, "agents")
    for rule in _rules(root):
        yield from _check_rule(rule, servers, agents.entries.keys(), None)
    for agent in (value for _, value in agents.items()):
        granted = [item.text for item in scalars_in(mapping_at(agent).get("tools"))]
        for rule in _rules(mapping_at(agent)):
            yield from _check_rule(rule, servers, agents.entries.keys(), granted)


def _rules(node: Mapping) -> Iterator[Scalar]:
    listed = node.get("order")
    for item in listed.items if isinstance(listed, Sequence) else ():
        rule: Node | None = item.get("rule") if isinstance(item, Mapping) else item
        if isinstance(rule, Scalar) and text_in(rule):
            yield rule


def _check_rule(
    rule: Scalar, servers: AbstractSet[str], agents: AbstractSet[str], granted: list[str] | None
) -> Iterator[Problem]:
    try:
        contract = parse_contract(rule.text)
    except ContractError as error:
        yield _at(rule, error.at).problem(error.message, error.hint)
        return
    for tool in dict.fromkeys(_tools(contract)):
        found = _wrong_tool(tool, servers, granted)
        if found is not None:
            yield _at(rule, rule.text.find(tool)).problem(*found)
    for pattern in (contract.first, contract.second):
        for one in pattern.alternatives if pattern else ():
            if one.by and not any(fnmatchcase(name, one.by) for name in agents):
                hint = did_you_mean(one.by, agents, what="agents")
                message = f"there is no agent '{shortened(one.by)}'"
                yield _at(rule, rule.text.find(f"by {one.by}") + 3).problem(message, hint)


def _tools(contract: Contract) -> Iterator[str]:
    for pattern in (contract.first, contract.second):
        yield from pattern.tools if pattern else ()


def _wrong_tool(tool: str, servers: AbstractSet[str], granted: list[str] | None) -> tuple[str, str] | None:
    """Return what is wrong with the name of a tool, and how to mend it."""
    server, dot, _ = tool.partition(".")
    if not dot:
        if tool in OWN_TOOLS or any(char in tool for char in "*?["):
            return None
        known = {*OWN_TOOLS, *(f"{name}.*" for name in servers)}
        return f"there is no tool '{shortened(tool)}'", did_you_mean(tool, known, what="tools")
    if not any(char in server for char in "*?[") and server not in servers:
        hint = did_you_mean(server, servers, what="servers") or "add it under mcpServers"
        return f"there is no server '{shortened(server)}'", hint
    if granted is None or any(char in tool for char in "*?["):
        return None
    if not any(fnmatchcase(tool, one if "." in one else f"{one}.*") for one in granted):
        hint = did_you_mean(tool, granted, what="its tools") or "grant it under 'tools'"
        return f"this agent has no tool '{shortened(tool)}'", hint
    return None


def _at(rule: Scalar, offset: int) -> Mark:
    """Return the place of a character of a rule, where the rule stands on one line as it is written."""
    mark = rule.mark
    for quote in (0, 1):
        start = mark.column - 1 + quote
        if mark.column and mark.source[start : start + len(rule.text)] == rule.text:
            return Mark(mark.file, mark.line, mark.column + quote + offset, mark.source)
    return mark
