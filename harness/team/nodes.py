"""The parsed file as frozen values, each of which knows the place it was written.

A tree of `Mapping`, `Sequence` and `Scalar` is what every step of loading works on, from the
parser to the cross-checks, so that whatever turns out wrong can be shown to the person who
wrote it. Plain Python values leave the tree only at the end, through `plain`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Mapping as AbstractMapping
from dataclasses import dataclass, field, replace
from typing import Any

from harness.errors import Problem

_SHOWN = 250
"""How much of a long line is shown; past four times as many characters, a place says more than the line."""


@dataclass(frozen=True, slots=True)
class Mark:
    """The place of one key or value."""

    file: str
    """The file as the user named it, or the `--set` option that gave the value."""
    line: int = 0
    """Counted from 1; 0 when the place is not a line of a file."""
    column: int = 0
    """Counted from 1, in characters."""
    source: str = field(default="", compare=False)
    """The whole line, ready to be shown."""

    def problem(self, message: str, hint: str = "") -> Problem:
        """Return the problem that stands at this place."""
        source = (
            self.source if len(self.source) <= _SHOWN else f"{self.source[: max(_SHOWN, self.column + 40)]}…"
        )
        if self.column > 4 * _SHOWN:
            source = ""
        return Problem(message, self.file, self.line, self.column, source, hint)

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Scalar:
    """One text, number, truth value or nothing."""

    value: str | int | float | bool | None
    text: str
    """As written, without quotes; numbers keep their spelling."""
    mark: Mark
    interpolated: bool = False
    """True if `${…}` gave part of the text, which may then stand for a number or truth value."""


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    items: tuple[Node, ...]
    mark: Mark


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of a mapping and its value."""

    key: Scalar
    value: Node


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys and values in the order they were written."""

    entries: dict[str, Entry]
    mark: Mark

    def get(self, key: str) -> Node | None:
        """Return the value under `key`, or None."""
        entry = self.entries.get(key)
        return entry.value if entry else None

    def items(self) -> Iterator[tuple[str, Node]]:
        """Yield every key with its value."""
        return ((name, entry.value) for name, entry in self.entries.items())

    def having(self, key: Scalar, value: Node) -> Mapping:
        """Return this mapping with `key` set; a key that exists keeps its position in the order."""
        return replace(self, entries={**self.entries, key.text: Entry(key, value)})

    def without(self, *keys: str) -> Mapping:
        """Return this mapping with `keys` left out."""
        return replace(self, entries={name: e for name, e in self.entries.items() if name not in keys})


Node = Scalar | Sequence | Mapping
Place = tuple[str | int, ...]
"""The way from the root to a node: keys and list indexes."""


def plain(node: Node) -> Any:
    """Return the node as dicts, lists and scalars."""
    match node:
        case Scalar():
            return node.value
        case Sequence():
            return [plain(item) for item in node.items]
        case Mapping():
            return {name: plain(value) for name, value in node.items()}


def from_plain(value: Any, mark: Mark) -> Node:
    """Return plain values, as `plain` gives them, as a node; all of it stands at `mark`."""
    if isinstance(value, AbstractMapping):
        pairs: AbstractMapping[Any, Any] = value  # pyright: ignore[reportUnknownVariableType]
        entries = {
            str(key): Entry(Scalar(str(key), str(key), mark), from_plain(pairs[key], mark)) for key in pairs
        }
        return Mapping(entries, mark)
    if isinstance(value, list):
        items: list[Any] = value  # pyright: ignore[reportUnknownVariableType]
        return Sequence(tuple(from_plain(item, mark) for item in items), mark)
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return Scalar(value, text, mark)


def walk(node: Node, place: Place) -> tuple[Node, Scalar | None, Place]:
    """Follow `place` as far as it exists; return the node reached, its key, and what was left over.

    An item of a list has no key.
    """
    key: Scalar | None = None
    for index, part in enumerate(place):
        if isinstance(node, Mapping) and (entry := node.entries.get(str(part))):
            node, key = entry.value, entry.key
        elif isinstance(node, Sequence) and isinstance(part, int) and 0 <= part < len(node.items):
            node, key = node.items[part], None
        else:
            return node, key, place[index:]
    return node, key, ()


def rewritten(node: Node, change: Callable[[Scalar, Place], Scalar], place: Place = ()) -> Node:
    """Return the tree with every scalar value, but no key, replaced by what `change` makes of it."""
    match node:
        case Scalar():
            return change(node, place)
        case Sequence():
            items = (rewritten(item, change, (*place, index)) for index, item in enumerate(node.items))
            return replace(node, items=tuple(items))
        case Mapping():
            entries = {
                name: Entry(entry.key, rewritten(entry.value, change, (*place, name)))
                for name, entry in node.entries.items()
            }
            return replace(node, entries=entries)


def without(node: Node, places: set[Place], place: Place = ()) -> Node:
    """Return the tree with the keys and items at `places` left out."""
    match node:
        case Scalar():
            return node
        case Sequence():
            items = (
                without(item, places, (*place, index))
                for index, item in enumerate(node.items)
                if (*place, index) not in places
            )
            return replace(node, items=tuple(items))
        case Mapping():
            entries = {
                name: Entry(entry.key, without(entry.value, places, (*place, name)))
                for name, entry in node.entries.items()
                if (*place, name) not in places
            }
            return replace(node, entries=entries)


def mapping_at(node: Node | None, *place: str) -> Mapping:
    """Return the mapping at `place`, or an empty one where there is none."""
    for part in place:
        node = node.get(part) if isinstance(node, Mapping) else None
    return node if isinstance(node, Mapping) else Mapping({}, Mark(""))


def scalars_in(node: Node | None) -> tuple[Scalar, ...]:
    """Return the text items of a list; nothing where there is no list."""
    items = node.items if isinstance(node, Sequence) else ()
    return tuple(item for item in items if isinstance(item, Scalar) and isinstance(item.value, str))


def text_in(node: Node | None) -> str | None:
    """Return the text of a scalar that holds text, or None."""
    return node.value if isinstance(node, Scalar) and isinstance(node.value, str) else None
