"""`--set a.b.c=value`: one value of the team file, given on the command line.

`model=…`, which no team file has, is the model of every agent; `--model` is short for it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence as AbstractSequence
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path

from harness.errors import Problem, TeamError
from harness.team.library import TWO_WAYS
from harness.team.nodes import Mapping, Mark, Node, Scalar, Sequence
from harness.team.strict_yaml import MAX_DEPTH, parse_yaml

_HERE = (".", "..", "~")


class Stage(IntEnum):
    """The order in which overrides are applied."""

    MODELS = 0
    CHOICE = 1
    REST = 2


@dataclass(frozen=True)
class Override:
    """One `a.b.c=value`, read."""

    path: tuple[str, ...]
    value: Node
    mark: Mark

    @property
    def shapes_agents(self) -> bool:
        """Whether it decides which ready agents are used, and so must come before they are read."""
        return self.path[0] == "agents" and (len(self.path) < 3 or self.path[2:] == ("use",))

    @property
    def stage(self) -> Stage:
        """When it is applied: models first, then the choice among them, then what changes the chosen one."""
        if self.path == ("model",):
            return Stage.CHOICE
        return Stage.MODELS if self.path[0] == "models" and len(self.path) == 2 else Stage.REST


def parse_overrides(texts: AbstractSequence[str]) -> list[Override]:
    """Read every override. Raises `TeamError` with all that are malformed."""
    overrides: list[Override] = []
    problems: list[Problem] = []
    for text in texts:
        try:
            overrides.append(_parsed(text))
        except TeamError as error:
            problems.extend(error.problems)
    if problems:
        raise TeamError(problems)
    return overrides


def applied(root: Node, override: Override) -> Node:
    """Return the tree with the override applied; raises `TeamError` where it does not fit the tree."""
    return _set(root, override, 0)


def _parsed(text: str) -> Override:
    mark = Mark(f"--model {text[6:]}" if text.startswith("model=") else f"--set {text}")
    name, equals, written = text.partition("=")
    path = tuple(part.strip() for part in name.split("."))
    if not equals or not all(path):
        raise TeamError([mark.problem("this is not KEY=VALUE", "write it as in: --set limits.tokens=200k")])
    if len(path) > MAX_DEPTH:
        raise TeamError([mark.problem(f"the key has more than {MAX_DEPTH} parts")])
    if not written.strip():
        hint = f"write {name}='\"\"' for empty text, or {name}=null for nothing"
        raise TeamError([mark.problem("there is no value after '='", hint)])
    value = parse_yaml(written, file=mark.file, at=mark)
    if path[0] == "servers":
        path = ("mcpServers", *path[1:])
    return Override(path, _absolute(value), mark)


def _absolute(value: Node) -> Node:
    """Make a path absolute: it means the directory of the person who types it, not the file's."""
    if not isinstance(value, Scalar) or not isinstance(value.value, str):
        return value
    text = value.value
    if text not in _HERE and not text.startswith(("./", "../", "~/")):
        return value
    absolute = os.path.normpath(Path.cwd() / os.path.expanduser(text))
    return replace(value, value=absolute, text=absolute)


def _set(node: Node | None, override: Override, depth: int) -> Node:
    if depth == len(override.path):
        return override.value
    part = override.path[depth]
    place = ".".join(override.path[:depth])
    if isinstance(node, Sequence):
        return _set_item(node, override, depth)
    if node is None or (isinstance(node, Scalar) and node.value is None):
        node = Mapping({}, override.mark)
    if isinstance(node, Scalar):
        hint = "set the whole value instead"
        raise TeamError([override.mark.problem(f"'{place}' is a single value and has no '{part}'", hint)])
    value = _set(node.get(part), override, depth + 1)
    key = node.entries[part].key if part in node.entries else Scalar(part, part, override.mark)
    if depth == 2 and override.path[0] == "agents" and part in TWO_WAYS:
        node = node.without(*TWO_WAYS)
    return node.having(key, value)


def _set_item(node: Sequence, override: Override, depth: int) -> Sequence:
    part = override.path[depth]
    size = len(node.items)
    if not part.isascii() or not part.isdigit() or len(part) > 9 or int(part) > size:
        place = ".".join(override.path[:depth])
        hint = f"give an index from 0 to {size}" + (f"; {size} adds one" if size else " (0 adds one)")
        raise TeamError([override.mark.problem(f"'{place}' is a list of {size} and has no '{part}'", hint)])
    index = int(part)
    value = _set(node.items[index] if index < size else None, override, depth + 1)
    return replace(node, items=(*node.items[:index], value, *node.items[index + 1 :]))
