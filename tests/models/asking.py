"""Asking a model one thing: what the tests of all wire APIs share."""

from __future__ import annotations

from collections.abc import Sequence

import anyio

from harness.messages import Message, ToolDefinition
from harness.models.port import CallOptions, Model, ModelResponse, Notice, Transcript

SEARCH = ToolDefinition(
    "corpus.search",
    "Find passages.",
    {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]},
)


def ignore(happening: Notice) -> None:
    """Observe nothing."""


def opened(model: Model, messages: Sequence[Message], tools: Sequence[ToolDefinition] = ()) -> Transcript:
    """Return a transcript of these messages."""
    transcript = model.open(tools)
    for message in messages:
        transcript.append(message)
    return transcript


async def answered(
    model: Model,
    messages: Sequence[Message],
    tools: Sequence[ToolDefinition] = (),
    options: CallOptions | None = None,
) -> ModelResponse:
    """Return what the model answers to these messages."""
    with anyio.fail_after(10):
        return await model.respond(opened(model, messages, tools), options or CallOptions(), ignore)
