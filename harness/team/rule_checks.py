"""Whether permission rules can do what they say: known names, conditions that can hold, an order in which each counts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from fnmatch import fnmatchcase

from harness.errors import Problem
from harness.team.nodes import Mapping, Node, Scalar, Sequence, mapping_at, text_in
from harness.team.spelling import did_you_mean, shortened

_GLOB = re.compile(r"[*?\[]")
_WORDS = ("is", "not", "above", "below")


def check_rules(root: Mapping, servers: AbstractSet[str]) -> Iterator[Problem]:
    """Yield what is wrong with each rule of `permissions`."""
    agents = mapping_at(root, "agents").entries.keys()
    found = root.get("permissions")
    rules = [
        rule for rule in (found.items if isinstance(found, Sequence) else ()) if isinstance(rule, Mapping)
    ]
    for index, rule in enumerate(rules):
        yield from _check_names(rule, servers, agents)
        yield from _check_expiry(rule)
        yield from _check_conditions(rule)
        yield from _check_reach(rule, rules[:index])


def _check_names(rule: Mapping, servers: AbstractSet[str], agents: AbstractSet[str]) -> Iterator[Problem]:
    tool, agent = rule.get("tool"), rule.get("agent")
    server, dot, _ = (text_in(tool) or "").partition(".")
    if tool and dot and not _GLOB.search(server) and server not in servers:
        hint = did_you_mean(server, servers, what="servers") or "add it under mcpServers"
        yield tool.mark.problem(f"there is no server '{shortened(server)}'", hint)
    name = text_in(agent)
    if agent and name and not any(fnmatchcase(known, name) for known in agents):
        hint = did_you_mean(name, agents, what="agents")
        what = "no agent fits" if _GLOB.search(name) else "there is no agent"
        yield agent.mark.problem(f"{what} '{shortened(name)}'", hint)


def _check_expiry(rule: Mapping) -> Iterator[Problem]:
    allow = text_in(rule.get("allow"))
    if "expires" in rule.entries and allow in ("yes", "no"):
        message = f"'expires' is how long a question waits, and allow: {allow} asks nobody"
        yield rule.entries["expires"].key.mark.problem(message, "write allow: ask, or delete 'expires'")


def _check_conditions(rule: Mapping) -> Iterator[Problem]:
    for path, entry in mapping_at(rule, "when").entries.items():
        if not all(part and part == part.strip() for part in path.split(".")):
            hint = "write the names on the way to it, as in: path, to.address or items.0.amount"
            yield entry.key.mark.problem(f"'{shortened(path)}' is not the path of an argument", hint)
        elif _GLOB.search(path):
            hint = "a list on the way stands for all its items, as in: items.amount"
            yield entry.key.mark.problem(f"the path '{shortened(path)}' cannot be a glob", hint)
        if isinstance(entry.value, Mapping):
            yield from _check_condition(entry.value)


def _check_condition(condition: Mapping) -> Iterator[Problem]:
    if all(isinstance(value, Scalar) and value.value is None for _, value in condition.items()):
        yield condition.mark.problem("this condition says nothing", f"write one of: {', '.join(_WORDS)}")
    above, below = _number_in(condition.get("above")), _number_in(condition.get("below"))
    if above is not None and below is not None and above >= below:
        mark = condition.entries["below"].value.mark
        yield mark.problem(f"nothing is above {above:g} and below {below:g}", "swap them, or write two rules")


def _check_reach(rule: Mapping, before: list[Mapping]) -> Iterator[Problem]:
    for index, earlier in enumerate(before):
        conditional = "when" in earlier.entries or "effect" in earlier.entries
        if not conditional and all(_covers(earlier.get(key), rule.get(key)) for key in ("tool", "agent")):
            hint = "the first rule that matches decides: move the wider rule down, or delete one"
            yield rule.mark.problem(
                f"this rule is never reached: permissions[{index}] matches all it does", hint
            )
            return


def _covers(wider: Node | None, narrower: Node | None) -> bool:
    """Whether one glob surely matches all that another does; no glob at all is `*`."""
    glob, other = (text_in(node) if node else "*" for node in (wider, narrower))
    if glob is None or other is None:
        return False
    return glob == other or (not re.search(r"[?\[]", glob + other) and fnmatchcase(other, glob))


def _number_in(node: Node | None) -> float | None:
    value = node.value if isinstance(node, Scalar) else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
