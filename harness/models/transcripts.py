"""A transcript of plain messages, for models that live in this process."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Self

import orjson

from harness.messages import Message, ToolDefinition


class MessageTranscript:
    """Keeps the messages as they are, with a running hash."""

    sends_reasoning = False

    def __init__(self, tools: Sequence[ToolDefinition]) -> None:
        self.tools = tuple(tools)
        self.messages: list[Message] = []
        self._hash = hashlib.blake2b(digest_size=16)
        for definition in self.tools:
            self._hash.update(definition.encoded)

    def append(self, message: Message) -> None:
        """Add a message."""
        self.messages.append(message)
        try:
            self._hash.update(orjson.dumps(message))
        except TypeError:
            # Half a surrogate pair has no UTF-8 form; a tool or a scripted reply may still hold one.
            self._hash.update(repr(message).encode("utf-8", "surrogatepass"))

    def digest(self) -> str:
        """Return a hash of the tools and of all messages."""
        return self._hash.hexdigest()

    def reopened(self, messages: Iterable[Message]) -> Self:
        """Return the same conversation with other messages."""
        again = type(self)(self.tools)
        for message in messages:
            again.append(message)
        return again
