"""Events as bytes and back: the one place that knows how a journal spells them.

An event is its JSON. Each field named in its class's `CONTENT` is cut out and replaced by
`{"$content": HASH}`; its JSON is handed out beside the event, to be stored once however many
events share it. Content shorter than `INLINE_BELOW` bytes stays where it is: a row of its own
would be larger than what it saves.

orjson writes nearly everything. What it refuses (integers beyond 64 bits, half surrogate pairs,
keys that are not text) is written by the standard library, marked by one leading space, so that
the reader knows which parser keeps it exact.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from hashlib import blake2b
from operator import attrgetter
from types import NoneType
from typing import TYPE_CHECKING, Any, cast, get_args, get_type_hints

import orjson

from harness.errors import StoreError
from harness.events import FORMAT, Event
from harness.messages import ToolDefinition

if TYPE_CHECKING:
    from pydantic import TypeAdapter

INLINE_BELOW = 256
"""Content whose JSON is shorter than this many bytes stays inside its event."""

CACHED_CONTENTS = 1024
"""How many decoded contents a `Decoder` keeps; large ones are seldom shared and not kept."""

_LARGE_CONTENT = 1 << 16

_REFERENCE = "$content"
_BEYOND_ORJSON = b" "
_LIKE_A_REFERENCE = (b'{"$content"', b' {"$content"')
_REFERENCES = re.compile(rb'\{"\$content":"([0-9a-f]{32})"\}')

_CLASSES: dict[str, type[Event]] = {
    cast(str, kind.__dataclass_fields__["type"].default): kind for kind in get_args(Event)
}


class _Layout:
    """How one class of events with content is taken apart."""

    __slots__ = ("content", "names", "values")

    def __init__(self, kind: type[Event]) -> None:
        self.names = tuple(field.name for field in fields(kind))
        self.values = attrgetter(*self.names)
        self.content = _content_fields(kind)


def _content_fields(kind: type[Event]) -> tuple[str, ...]:
    return getattr(kind, "CONTENT", ())


_LAYOUTS: dict[type[Event], _Layout] = {
    kind: _Layout(kind) for kind in _CLASSES.values() if _content_fields(kind)
}


def encode(event: Event) -> tuple[bytes, list[tuple[str, bytes]]]:
    """Return the event as JSON, and the content it refers to as pairs of hash and JSON.

    Values below `Any` and `Mapping` must be JSON values, or they come back as what JSON makes of
    them: tuples as lists, keys as text, NaN and infinities as None.

    Raises:
        TypeError: The event holds something that has no JSON form.
    """
    layout = _LAYOUTS.get(type(event))
    if layout is None:
        return to_json(event), []
    values = dict(zip(layout.names, layout.values(event), strict=True))
    contents: list[tuple[str, bytes]] = []
    for name in layout.content:
        value = values[name]
        if value is None:
            continue
        body = _tools(value) if name == "tools" else to_json(value)
        # What looks like a reference must not be taken for one when it is read.
        if len(body) < INLINE_BELOW and not body.startswith(_LIKE_A_REFERENCE):
            continue
        key = blake2b(body, digest_size=16).hexdigest()
        values[name] = {_REFERENCE: key}
        contents.append((key, body))
    return to_json(values), contents


def decode(kind: str, body: bytes, content: Callable[[str], bytes]) -> Event:
    """Return the event of type `kind` that `encode` wrote; `content` finds content by its hash.

    To read many, keep a `Decoder`.

    Raises:
        StoreError: The event needs a newer harness, or is not what `encode` writes.
    """
    return Decoder(content).decode(kind, body)


class Decoder:
    """Turns bytes into events, each content once.

    Args:
        content: Finds content by its hash.
    """

    def __init__(self, content: Callable[[str], bytes]) -> None:
        self._content = content
        self._decoded: OrderedDict[tuple[int, str], Any] = OrderedDict()

    def decode(self, kind: str, body: bytes) -> Event:
        """Return the event of type `kind` that `encode` wrote.

        Raises:
            StoreError: The event needs a newer harness, or is not what `encode` writes.
        """
        if kind not in _CLASSES:
            raise StoreError(
                f"the journal holds an event of type {kind!r}, which needs a newer harness than this one "
                f"(it knows format {FORMAT}); upgrade it to read this run"
            )
        try:
            values = cast(dict[str, Any], from_json(body))
            if not isinstance(values, dict):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise ValueError("it is not an object")
            if kind == "run.started":
                _refuse_newer(values)
            whole, parts = _readers(kind)
            for name, part in parts:
                value = values.get(name)
                if isinstance(value, dict) and [*value] == [_REFERENCE]:
                    values[name] = self._look_up(cast(str, value[_REFERENCE]), part)
            return whole.validate_python(values)
        except (ValueError, AttributeError) as error:
            newer = "[type=unexpected_keyword_argument" in str(error)
            fault = (
                f"needs a newer harness than this one (it knows format {FORMAT})" if newer else "is damaged"
            )
            raise StoreError(f"an event of type {kind!r} in the journal {fault}: {error}") from error

    def _look_up(self, key: str, part: TypeAdapter[Any]) -> Any:
        place = (id(part), key)
        if place in self._decoded:
            self._decoded.move_to_end(place)
            return self._decoded[place]
        body = self._content(key)
        value = part.validate_python(from_json(body))
        if len(body) < _LARGE_CONTENT:
            self._decoded[place] = value
            if len(self._decoded) > CACHED_CONTENTS:
                self._decoded.popitem(last=False)
        return value


def references(body: bytes) -> list[str]:
    """Return the hashes of the content that an encoded event refers to.

    May return more, where the event quotes what looks like a reference; never less.
    """
    return [key.decode() for key in _REFERENCES.findall(body)]


def to_json(value: Any) -> bytes:
    """Return a value as JSON that `from_json` gives back exactly.

    Raises:
        TypeError: It holds something that has no JSON form.
    """
    try:
        return orjson.dumps(value, default=_plain)
    except TypeError:
        return _beyond_orjson(value)


def _beyond_orjson(value: Any) -> bytes:
    return _BEYOND_ORJSON + json.dumps(value, default=_plain, separators=(",", ":")).encode()


def from_json(body: bytes) -> Any:
    """Return what `to_json` wrote.

    Raises:
        ValueError: It is not JSON.
    """
    return json.loads(body) if body.startswith(_BEYOND_ORJSON) else orjson.loads(body)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(cast(Mapping[str, Any], value))
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    raise TypeError(f"{type(value).__qualname__} has no JSON form")


def _tools(tools: tuple[ToolDefinition, ...]) -> bytes:
    try:
        return b"[" + b",".join(tool.encoded for tool in tools) + b"]"
    except TypeError:
        return _beyond_orjson(tools)


def _refuse_newer(started: dict[str, Any]) -> None:
    if started.get("format", 0) > FORMAT:
        raise StoreError(
            f"the run was written by harness {started.get('harness_version')} in format "
            f"{started['format']}; this one reads formats up to {FORMAT}: upgrade it to read this run"
        )


_Readers = tuple["TypeAdapter[Event]", tuple[tuple[str, "TypeAdapter[Any]"], ...]]
_READERS: dict[str, _Readers] = {}
_PART_READERS: dict[Any, TypeAdapter[Any]] = {}


def _readers(kind: str) -> _Readers:
    """Return the validator of an event class and those of its content fields, built on first use.

    One per class rather than one for the union: the type is known beforehand, and a reader of a
    few events does not pay for building all.
    """
    if kind in _READERS:
        return _READERS[kind]
    # Writers never need pydantic, which takes longer to import than the rest of this package.
    from pydantic import ConfigDict, TypeAdapter

    # Dropping a field that is not known would be to forget what a newer version meant by it.
    strict = ConfigDict(extra="forbid")
    event_class = _CLASSES[kind]
    hints = get_type_hints(event_class)
    parts: list[tuple[str, TypeAdapter[Any]]] = []
    for name in _content_fields(event_class):
        hint = _without_none(hints[name])
        if hint not in _PART_READERS:
            _PART_READERS[hint] = TypeAdapter(cast(Any, hint | None), config=strict)
        parts.append((name, _PART_READERS[hint]))
    # Pydantic takes no configuration for a dataclass, but for a union, whose members inherit it.
    _READERS[kind] = TypeAdapter(cast(Any, event_class | None), config=strict), tuple(parts)
    return _READERS[kind]


def _without_none(hint: Any) -> Any:
    """Return a type without its None, which is never cut out: so a reply is read once, as such and as an entry."""
    kinds = [kind for kind in get_args(hint) if kind is not NoneType]
    return kinds[0] if NoneType in get_args(hint) and len(kinds) == 1 else hint
