"""How many tokens the messages of a window have, by our count."""

from __future__ import annotations

from collections.abc import Callable

from harness.messages import Message, Reasoning, Text, ToolCall, ToolResult

CountTokens = Callable[[str], int]

MESSAGE_TOKENS = 4
"""What a message costs beyond its text."""

IMAGE_TOKENS = 800
"""What an image is taken to cost until a provider says otherwise."""


def message_tokens(message: Message, count: CountTokens, *, sends_reasoning: bool = False) -> int:
    """Return our count of a message's tokens.

    Args:
        sends_reasoning: Whether a request holds the thinking of earlier turns; where it does not, it costs nothing.
    """
    return MESSAGE_TOKENS + sum(_part_tokens(part, count, sends_reasoning) for part in message.parts)


def _part_tokens(part: object, count: CountTokens, sends_reasoning: bool) -> int:
    match part:
        case Text():
            return count(part.text)
        case ToolCall():
            return count(part.arguments) + count(part.name)
        case ToolResult():
            return count(part.text) + IMAGE_TOKENS * len(part.images)
        case Reasoning():
            return count(part.payload or part.text) if sends_reasoning else 0
        case _:
            return IMAGE_TOKENS
