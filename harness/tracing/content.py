"""Message content as the GenAI conventions write it into a span: JSON text in their schemas.

Shapes: gen-ai-input-messages.json, gen-ai-output-messages.json, gen-ai-system-instructions.json and
gen-ai-tool-definitions.json of open-telemetry/semantic-conventions-genai.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal, assert_never

import orjson

from harness.messages import Image, Message, Part, Reasoning, Text, ToolCall, ToolDefinition, ToolResult
from harness.tracing.semconv import FINISH_REASONS, FUNCTION

ContentCapture = Literal["off", "new", "full"]
"""What of the conversation a trace holds: nothing, what is new in each request, or whole requests."""

SWITCH = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"

ContentPlace = Literal["spans", "events", "both"]
"""Where what was said stands: in spans, or in log records beside those of model calls."""

_SWITCH_VALUES: dict[str, tuple[ContentCapture, ContentPlace]] = {
    "true": ("new", "spans"),
    "1": ("new", "spans"),
    "span_only": ("new", "spans"),
    "event_only": ("new", "events"),
    "span_and_event": ("new", "both"),
    "full": ("full", "spans"),
}


def content_capture(environment: Mapping[str, str]) -> ContentCapture:
    """Return what the standard switch asks for; unset or unknown is `off`.

    Values are those of `opentelemetry-util-genai`; `full` is ours.
    """
    return _switch(environment)[0]


def content_place(environment: Mapping[str, str]) -> ContentPlace:
    """Return where the standard switch wants content."""
    return _switch(environment)[1]


def _switch(environment: Mapping[str, str]) -> tuple[ContentCapture, ContentPlace]:
    return _SWITCH_VALUES.get(environment.get(SWITCH, "").strip().lower(), ("off", "spans"))


def encode(value: Any) -> bytes:
    """Return `value` as JSON, whatever strange text or number stands in it.

    orjson refuses lone surrogates and integers beyond 64 bits; what models and tools write has both.
    """
    try:
        return orjson.dumps(value, default=_plain)
    except TypeError:
        return json.dumps(value, default=_plain).encode()


def instructions_json(messages: Iterable[Message]) -> str:
    """Return `gen_ai.system_instructions` for system messages."""
    return encode([part for message in messages for part in _parts(message)]).decode()


def message_json(message: Message) -> bytes:
    """Return one element of `gen_ai.input.messages`."""
    return encode(_message(message))


def array_json(elements: Iterable[bytes]) -> str:
    """Return a JSON array of ready elements."""
    return f"[{b','.join(elements).decode()}]"


def output_json(message: Message, stop_reason: str) -> str:
    """Return `gen_ai.output.messages` for one response."""
    finish_reason = FINISH_REASONS.get(stop_reason, stop_reason)
    return encode([{**_message(message), "finish_reason": finish_reason}]).decode()


def answer_json(output: Any, stop_reason: str) -> str:
    """Return `gen_ai.output.messages` for the answer of an agent or a run."""
    text = output if isinstance(output, str) else encode(output).decode()
    return output_json(Message("assistant", (Text(text),)), stop_reason)


def definitions_json(tools: Iterable[ToolDefinition]) -> str:
    """Return `gen_ai.tool.definitions`, descriptions and parameters included."""
    return encode(
        [
            {
                "type": FUNCTION,
                "name": tool.name,
                "description": tool.description,
                "parameters": tool.parameters,
            }
            for tool in tools
        ]
    ).decode()


def _message(message: Message) -> dict[str, Any]:
    return {"role": message.role, "parts": _parts(message)}


def _parts(message: Message) -> list[dict[str, Any]]:
    """Return the parts of a message; the images of a tool result follow it, each as a part.

    Thinking that only its provider can read has no words to show, and is none.
    """
    parts: list[dict[str, Any]] = []
    for part in message.parts:
        if isinstance(part, Reasoning) and not part.text:
            continue
        parts.append(_part(part))
        if isinstance(part, ToolResult):
            parts.extend(map(_part, part.images))
    return parts


def _part(part: Part) -> dict[str, Any]:
    match part:
        case Text():
            return {"type": "text", "content": part.text}
        case Reasoning():
            return {"type": "reasoning", "content": part.text}
        case ToolCall():
            return {
                "type": "tool_call",
                "id": part.id,
                "name": part.name,
                "arguments": _object(part.arguments),
            }
        case ToolResult():
            return {"type": "tool_call_response", "id": part.call_id, "response": part.text}
        case Image():
            return {
                "type": "blob",
                "modality": "image",
                "mime_type": part.media_type,
                "content": part.data,
            }
        case _:
            assert_never(part)


def _object(arguments: str) -> Any:
    """Return the arguments as the object they should be, or the text itself if it is malformed."""
    try:
        return orjson.loads(arguments)
    except orjson.JSONDecodeError:
        return arguments


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else str(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
