"""The JSON of a conversation, made once and never again, with names and ids as the wire has them."""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from harness.errors import UsageError
from harness.messages import Message, ToolDefinition
from harness.models.encoding import encode_json

_NOT_IN_WIRE_NAMES = re.compile(r"[^a-zA-Z0-9_-]")
_LONGEST_WIRE_NAME = 64
_MADE_UP_ID = re.compile(r"call\d{5,}")


class JsonTranscript(ABC):
    """The JSON of a conversation: one buffer that only grows, and the message that is still open.

    Several APIs want all that stands between two replies in one message: it stays open until something
    else comes, and is encoded with each request until then. Everything else is encoded once.
    """

    sends_reasoning = False

    def __init__(self, head: bytes, tools: Sequence[ToolDefinition]) -> None:
        self.head = head
        """The request up to the messages."""
        self.tools = tools
        self.name_of: dict[str, str] = {}
        """The project's name for each name on the wire."""
        self._wire_names: dict[str, str] = {}
        for tool in tools:
            if tool.wire_name in self.name_of:
                other = self.name_of[tool.wire_name]
                raise UsageError(
                    f"the tools {other} and {tool.name} are both {tool.wire_name} on the wire; rename one"
                )
            self.name_of[tool.wire_name] = tool.name
            self._wire_names[tool.name] = tool.wire_name
        self._buffer = bytearray()
        self._hash = hashlib.blake2b(head, digest_size=16)
        self._call_ids: set[str] = set()

    @abstractmethod
    def append(self, message: Message) -> None:
        """Add a message, encoding it now and never again."""

    def open_message(self) -> Mapping[str, Any] | None:
        """Return the message at the end that may still grow, as a request holds it now."""
        return None

    @abstractmethod
    def another(self) -> Self:
        """Return an empty transcript of the same kind and tools."""

    def digest(self) -> str:
        """Return a hash of the head and all messages."""
        last = self.open_message()
        if last is None:
            return self._hash.hexdigest()
        running = self._hash.copy()
        running.update(encode_json(last))
        return running.hexdigest()

    def reopened(self, messages: Iterable[Message]) -> Self:
        """Return the same conversation with other messages; ids of calls that left it stay used."""
        again = self.another()
        again._call_ids |= self._call_ids
        for message in messages:
            again.append(message)
        return again

    def pieces(self) -> tuple[bytes | bytearray, ...]:
        """Return the request up to its tail: the head, and all messages."""
        last = self.open_message()
        if last is None:
            return self.head, self._buffer
        return self.head, self._buffer, (b"," if self._buffer else b"") + encode_json(last)

    def id_source(self) -> CallIds:
        """Return a source of call ids that neither this transcript nor the source itself has used."""
        return CallIds(self._call_ids)

    def wire_name(self, name: str) -> str:
        """Return a tool's name on the wire, and one that every endpoint accepts for a tool that is not offered."""
        known = self._wire_names.get(name)
        return known or _NOT_IN_WIRE_NAMES.sub("_", name.replace(".", "__"))[:_LONGEST_WIRE_NAME] or "unknown"

    def _use_id(self, identity: str) -> str:
        self._call_ids.add(identity)
        return identity

    def _add(self, message: Mapping[str, Any]) -> None:
        """Close a message: encode it, and never again."""
        self._add_encoded(encode_json(message))

    def _add_encoded(self, encoded: bytes) -> None:
        """Add what is JSON already, as it is."""
        self._hash.update(encoded)
        if self._buffer:
            encoded = b"," + encoded
        try:
            self._buffer += encoded
        except BufferError:
            # An abandoned request has not been sent to its end and still reads the old buffer.
            self._buffer = self._buffer + encoded


def is_made_up(call_id: str) -> bool:
    """Whether a call's id is one that `CallIds` made, of which the endpoint knows nothing."""
    return _MADE_UP_ID.fullmatch(call_id) is not None


class CallIds:
    """Hands out call ids that are unique within a transcript."""

    def __init__(self, used: set[str]) -> None:
        self._used = used
        self._given: set[str] = set()

    def __call__(self, wanted: str) -> str:
        """Return `wanted`, or a new id where it is empty or was used before."""
        count = len(self._used) + len(self._given)
        while not wanted or wanted in self._used or wanted in self._given:
            # Nine letters and digits, the one form that the strictest servers accept.
            wanted = f"call{count:05d}"
            count += 1
        self._given.add(wanted)
        return wanted
