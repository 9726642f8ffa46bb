"""A transcript of plain messages, for models that live in this process."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import orjson

from harness.messages import Message, ToolDefinition


class MessageTranscript:
    """Keeps the messages as they are, with a running hash."""

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
