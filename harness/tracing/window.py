"""What the spans of one agent tell about its context window.

With content off a request still says where its new entries came from and what they cost, which is
what shows that a window holds nothing but what belongs there.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.events import EntryAppended
from harness.messages import ToolDefinition
from harness.tracing import semconv
from harness.tracing.content import (
    ContentCapture,
    array_json,
    definitions_json,
    instructions_json,
    message_json,
)
from harness.tracing.open_span import Attributes


class WindowFacts:
    """Collects entries and tells, at each request, what is new since the last one."""

    def __init__(self, tools: Sequence[ToolDefinition], content: ContentCapture) -> None:
        self._tools = tools
        self._content: ContentCapture = content
        self._new: list[EntryAppended] = []
        self._requests = 0
        self._instructions: list[EntryAppended] = []
        self._messages: list[bytes] = []
        """Every message but the system's, encoded once; kept in `full` only."""

    def append(self, entry: EntryAppended) -> None:
        """Take a new entry of the window."""
        self._new.append(entry)

    def request(self, chat: Attributes, agent: Attributes) -> None:
        """Write what is new into a request's span and, the first time, into its agent's."""
        new, self._new = self._new, []
        origins = tuple([entry.origin for entry in new])
        tokens = tuple([entry.tokens for entry in new])
        chat[semconv.WINDOW_ORIGINS] = origins
        chat[semconv.WINDOW_ORIGIN_TOKENS] = tokens
        first = self._requests == 0
        self._requests += 1
        if first:
            agent[semconv.CONTEXT_INPUT_KINDS] = origins
            agent[semconv.CONTEXT_INPUT_TOKENS] = tokens
            agent[semconv.BRIEF_TOKENS] = sum(
                entry.tokens for entry in new if entry.origin in ("brief", "task")
            )
        if self._content != "off":
            self._write_content(new, chat)
            if first and semconv.INPUT_MESSAGES in chat:
                agent[semconv.INPUT_MESSAGES] = chat[semconv.INPUT_MESSAGES]

    def _write_content(self, new: list[EntryAppended], chat: Attributes) -> None:
        """Write messages, instructions and tools: the new ones, or in `full` all there are."""
        instructions = [entry for entry in new if entry.message.role == "system"]
        messages = [message_json(entry.message) for entry in new if entry.message.role != "system"]
        if self._content == "full":
            self._instructions += instructions
            self._messages += messages
            instructions, messages = self._instructions, self._messages
        if instructions:
            chat[semconv.SYSTEM_INSTRUCTIONS] = instructions_json(entry.message for entry in instructions)
        if messages:
            chat[semconv.INPUT_MESSAGES] = array_json(messages)
        if self._tools and (self._requests == 1 or self._content == "full"):
            chat[semconv.TOOL_DEFINITIONS] = definitions_json(self._tools)
