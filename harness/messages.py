"""What models exchange: parts, messages, tool definitions and usage.

Plain frozen values without I/O. Wire formats belong to `harness.models`; these are the
project's own types, and every wire format is converted at its edge.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import orjson

_WIRE_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NOT_IN_WIRE_NAMES = re.compile(r"[^A-Za-z0-9_-]")

Role = Literal["system", "user", "assistant", "tool"]

EARLIER = "[Earlier in this session]"
"""Begins the tasks of earlier runs that a run of the same session is told about."""


BRIEF = "# Brief"
"""Begins what a sub-agent is asked, in the words of another model."""

WORK = "The agent's task:"
"""Begins what a model is to sum up."""

MADE_BY_MODELS = (BRIEF, WORK)
"""How a first message begins that models had a hand in, and not the user alone."""


@dataclass(frozen=True, slots=True)
class Text:
    """Plain text."""

    text: str
    kind: Literal["text"] = "text"


@dataclass(frozen=True, slots=True)
class Image:
    """An image, base64-encoded."""

    data: str
    media_type: str = "image/png"
    kind: Literal["image"] = "image"


@dataclass(frozen=True, slots=True)
class Reasoning:
    """A model's thinking: opaque, ordered, and tagged with the provider that may receive it back.

    It stands before what it led to. A payload that belongs to one part, as a signature on a tool call does,
    stands directly before that part.
    """

    text: str
    provider: str = ""
    model: str = ""
    payload: str = ""
    """The provider's own JSON for this part, byte for byte; empty when `text` is all there is."""
    route: str = ""
    """The endpoint it came from, where only that one can read the payload; it is part of what must not change."""
    kind: Literal["reasoning"] = "reasoning"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model's request to run one tool."""

    id: str
    name: str
    """The tool's name in this project, `server.tool`, not its wire name."""
    arguments: str
    """The JSON text exactly as the model wrote it; it may be malformed."""
    kind: Literal["tool_call"] = "tool_call"


def canonical_arguments(arguments: str) -> str:
    """Return a call's arguments in one spelling, whatever the order of their keys; other text as it is."""
    try:
        return orjson.dumps(orjson.loads(arguments or "{}"), option=orjson.OPT_SORT_KEYS).decode()
    except orjson.JSONDecodeError:
        return arguments


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What one tool call gave back, as the model sees it."""

    call_id: str
    text: str
    is_error: bool = False
    images: tuple[Image, ...] = ()
    kind: Literal["tool_result"] = "tool_result"


Part = Text | Image | Reasoning | ToolCall | ToolResult


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation; a `tool` message holds exactly one `ToolResult`."""

    role: Role
    parts: tuple[Part, ...]

    @property
    def text(self) -> str:
        """The visible text: text parts and tool results, without reasoning and calls."""
        return "".join(part.text for part in self.parts if isinstance(part, Text | ToolResult))

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls in the order the model wrote them."""
        return tuple(part for part in self.parts if isinstance(part, ToolCall))


def system(text: str) -> Message:
    """Return a system message."""
    return Message("system", (Text(text),))


def user(text: str, *images: Image) -> Message:
    """Return a user message, its images after the text."""
    return Message("user", (Text(text), *images))


def assistant(text: str = "", *calls: ToolCall) -> Message:
    """Return an assistant message; an empty `text` leaves the text part out."""
    return Message("assistant", (Text(text), *calls) if text else calls)


def tool(result: ToolResult) -> Message:
    """Return the message that answers one tool call."""
    return Message("tool", (result,))


@dataclass(frozen=True)
class ToolDefinition:
    """A tool as a model is told about it."""

    name: str
    """`server.tool`, or a bare word for the tools of the harness itself."""
    description: str
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})
    """JSON Schema of the arguments."""

    @cached_property
    def encoded(self) -> bytes:
        """The definition as JSON, made once: it is sent, hashed, counted and kept for every agent run."""
        return orjson.dumps(
            {"name": self.name, "description": self.description, "parameters": dict(self.parameters)}
        )

    @cached_property
    def wire_name(self) -> str:
        """The name on the wire, `server__tool`: model APIs allow at most 64 letters, digits, `_` and `-`.

        A name that does not fit, or could be mistaken for another one, ends in a hash of itself.
        """
        server, dot, name = self.name.partition(".")
        wire = f"{server}__{name}" if dot else server
        ambiguous = dot and ("__" in server or server.endswith("_"))
        if not ambiguous and _WIRE_NAME.fullmatch(wire):
            return wire
        digest = hashlib.sha256(self.name.encode()).hexdigest()[:8]
        return f"{_NOT_IN_WIRE_NAMES.sub('_', wire)[:55]}_{digest}"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one or more model calls."""

    input_tokens: int = 0
    """All input, the cached part included."""
    output_tokens: int = 0
    """All output, reasoning included."""
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    """Thinking within the output; our count of what was shown of it, where the provider does not say."""
    calls: int = 0
    estimated: bool = False
    """True if any part of it was counted by us because the provider reported none."""
    cache_write_tokens: int = 0
    """Input that the provider wrote to its cache, where it charges for that."""

    @property
    def total_tokens(self) -> int:
        """Input plus output."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_tokens + other.cached_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
            self.calls + other.calls,
            self.estimated or other.estimated,
            self.cache_write_tokens + other.cache_write_tokens,
        )


@dataclass(frozen=True, slots=True)
class ThinkingCut:
    """How a reply came about whose thinking the harness ended."""

    tokens: int
    """What was thought until then, by our count."""
    then: Literal["continued", "asked-without", "asked-for-call"]
    """The model went on from what it had thought; or was asked again, without thinking or for a tool call."""
    forced: str = ""
    """What the harness wrote at the end of the reply's first reasoning to end it. The model did not say it, so
    whoever trains on the reply masks it."""


StopReason = Literal["end", "tool_calls", "length", "refusal"]
"""Why a model stopped writing."""
