"""Schemas of arguments as Gemini takes them: JSON Schema, but references are its weak point.

A node with a `$ref` may say hardly anything else, only `$defs` is known as their place, and `$schema` is not
known at all. So what is referred to is put where it is referred to, except where it refers to itself
(https://ai.google.dev/api/caching#FunctionDeclaration, `parametersJsonSchema`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

_PLACES = ("$defs", "definitions")
_MOST_NODES = 5_000
"""A few references to references can stand for a schema that fits nowhere."""


def inlined(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema in which references are replaced by what they refer to, where that has an end."""
    plain = {name: value for name, value in schema.items() if name != "$schema"}
    inliner = _Inliner(plain)
    try:
        result: dict[str, Any] = inliner.node(
            {name: value for name, value in plain.items() if name not in _PLACES}, ()
        )
    except (_TooLargeError, RecursionError):
        return plain
    if inliner.left_some:
        result.update({name: plain[name] for name in _PLACES if name in plain})
    return result


class _TooLargeError(Exception):
    """The schema would grow beyond all measure."""


class _Inliner:
    """Copies nodes of one schema."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._nodes = 0
        self.left_some = False
        """Whether a reference stayed one."""

    def node(self, node: Any, within: tuple[str, ...]) -> Any:
        """Return a node without references; `within` are those that led to it."""
        self._nodes += 1
        if self._nodes > _MOST_NODES:
            raise _TooLargeError
        if isinstance(node, list):
            return [self.node(item, within) for item in cast("list[Any]", node)]
        if not isinstance(node, dict):
            return node
        fields = cast("dict[str, Any]", node)
        reference = fields.get("$ref")
        if isinstance(reference, str):
            target = None if reference in within else self._target(reference)
            if target is not None:
                more = {name: value for name, value in fields.items() if name != "$ref"}
                return self.node({**target, **more}, (*within, reference))
            self.left_some = True
        return {name: self.node(value, within) for name, value in fields.items()}

    def _target(self, reference: str) -> dict[str, Any] | None:
        found: Any = self._root
        start, *names = reference.split("/")
        for name in names:
            if not isinstance(found, dict):
                return None
            known = cast("dict[str, Any]", found)
            found = known.get(name.replace("~1", "/").replace("~0", "~"))
        return cast("dict[str, Any]", found) if start == "#" and names and isinstance(found, dict) else None
