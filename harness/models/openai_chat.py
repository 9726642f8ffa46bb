"""Models behind the Chat Completions API: OpenAI and every server that speaks a dialect of it.

A transcript is one growing buffer of JSON. Each message is encoded when it is appended; a request
is the buffer between a head made once and a short tail, so that a turn costs what is new, and of
what is old only one copy of bytes.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any, ClassVar, Literal, cast

import orjson
from yarl import URL

from harness.messages import (
    EARLIER,
    MADE_BY_MODELS,
    Image,
    Message,
    Reasoning,
    Text,
    ToolCall,
    ToolDefinition,
    ToolResult,
)
from harness.models.chat_replies import Speaker, StreamedReply, read_reply
from harness.models.cutting import Continuation, held
from harness.models.dialects import dialect
from harness.models.encoding import encode_json
from harness.models.endpoint import Endpoint
from harness.models.json_transcripts import JsonTranscript
from harness.models.port import CallOptions
from harness.models.replies import Reply, StreamReader
from harness.models.soft_switches import neutralised, switched
from harness.models.thinking import Thinking, ThinkingPlan, merged
from harness.models.wire import WireModel

_OFFICIAL_HOST = "api.openai.com"
_THINKING_FIELDS = (
    "chat_template_kwargs",
    "enable_thinking",
    "preserve_thinking",
    "reasoning",
    "reasoning_budget_message",
    "reasoning_budget_tokens",
    "reasoning_effort",
    "thinking",
    "thinking_budget",
    "thinking_budget_tokens",
    "thinking_token_budget",
)
"""Fields that `extra` may set and a call's thinking may change, so that they stand in the tail."""
_TOLD = ("top_p", "top_k", "n", "seed", "stop", "frequency_penalty", "presence_penalty")
"""Fields of `extra` that a trace has a word for."""


class OpenAIChatModel(WireModel["ChatTranscript"]):
    """A language model behind one Chat Completions endpoint."""

    official_url = "https://api.openai.com/v1"
    own_fields: ClassVar[frozenset[str]] = frozenset({"model", "messages", "tools", "stream", "tool_choice"})

    def __init__(self, endpoint: Endpoint, *, jitter: random.Random | None = None) -> None:
        self._dialect = dialect(endpoint.dialect)
        self.provider = endpoint.provider or self._dialect.provider
        super().__init__(endpoint, jitter=jitter)
        self._speaker = Speaker(
            dialect=self._dialect,
            profile=endpoint.profile,
            provider=self.provider,
            model=self.name,
            route=self.route,
            place=self.place,
        )
        # The old name is refused by OpenAI's reasoning models, the new one by older servers that call themselves so.
        older = endpoint.dialect == "openai" and self._channel.url.host != _OFFICIAL_HOST
        self._length_field = "max_tokens" if older else self._dialect.length_field

    def url(self, base: URL) -> URL:
        """See `WireModel`."""
        path = base.path.rstrip("/")
        path = path if path.endswith("/chat/completions") else f"{path}/chat/completions"
        return base.with_path(path, keep_query=True)

    def key_headers(self) -> dict[str, str]:
        """See `WireModel`."""
        return {"Authorization": f"Bearer {self.endpoint.api_key}"} if self.endpoint.api_key else {}

    def told(self) -> Mapping[str, Any]:
        """See `WireModel`."""
        extra = self.endpoint.extra
        told: dict[str, Any] = {name: extra[name] for name in (*_TOLD, "temperature") if name in extra}
        limits = [extra[name] for name in self._length_fields()]
        if limits and self.endpoint.max_tokens is None:
            told["max_tokens"] = limits[0]
        reasoning = extra.get("reasoning")
        told["reasoning"] = extra.get("reasoning_effort") or (
            cast("Mapping[str, Any]", reasoning).get("effort") if isinstance(reasoning, Mapping) else None
        )
        wanted = extra.get("response_format")
        if isinstance(wanted, Mapping):
            told["output"] = "text" if cast("Mapping[str, Any]", wanted).get("type") == "text" else "json"
        return told

    def head(self, tools: Sequence[ToolDefinition]) -> bytes:
        """See `WireModel`."""
        return self._head(tools, stream=self.endpoint.stream)

    def streaming_head(self, tools: Sequence[ToolDefinition]) -> bytes:
        """See `WireModel`."""
        return self._head(tools, stream=True)

    def _head(self, tools: Sequence[ToolDefinition], *, stream: bool) -> bytes:
        endpoint = self.endpoint
        fields: dict[str, Any] = {"model": endpoint.model, "stream": stream}
        if tools:
            fields["tools"] = [_wire_tool(definition) for definition in tools]
        if stream:
            fields["stream_options"] = {"include_usage": True}
        if endpoint.heard_temperature is not None:
            fields["temperature"] = endpoint.heard_temperature
        if any(fnmatchcase(endpoint.model, pattern) for pattern in self._dialect.cached_where_asked):
            fields["cache_control"] = {"type": "ephemeral"}
        fields.update(endpoint.extra)
        for name in (*self._length_fields(), *_THINKING_FIELDS):
            fields.pop(name, None)
        fields = {name: value for name, value in fields.items() if value is not None}
        return encode_json(fields)[:-1] + b',"messages":['

    def transcript(self, head: bytes, tools: Sequence[ToolDefinition]) -> ChatTranscript:
        """See `WireModel`."""
        return ChatTranscript(head, tools, speaker=self._speaker)

    def tail(self, transcript: ChatTranscript, options: CallOptions, plan: ThinkingPlan) -> bytes:
        """See `WireModel`."""
        extra = {name: self.endpoint.extra[name] for name in _THINKING_FIELDS if name in self.endpoint.extra}
        fields = {**self._sampling(transcript, options), **merged(extra, plan.fields)}
        fields = {name: value for name, value in fields.items() if extra.get(name, value) is not None}
        if transcript.tools and options.tool_choice != "auto":
            fields["tool_choice"] = options.tool_choice
        limits = {name: self.endpoint.extra[name] for name in self._length_fields()}
        asked = self.endpoint.max_tokens if options.max_tokens is None else options.max_tokens
        if asked is not None:
            limits = {name: asked for name, value in limits.items() if value is not None} or {
                self._length_field: asked
            }
        fields.update({name: value for name, value in limits.items() if value is not None})
        return b"]," + encode_json(fields)[1:] if fields else b"]}"

    def read(self, body: bytes) -> Reply:
        """See `WireModel`."""
        return read_reply(body, self._speaker)

    def reader(self) -> StreamReader:
        """See `WireModel`."""
        return StreamedReply(self._speaker)

    def reader_of_rest(self) -> StreamReader:
        """See `WireModel`."""
        return StreamedReply(self._speaker, opened="no")

    def plan_thinking(self, thinking: Thinking) -> ThinkingPlan:
        """See `harness.models.port.plan_thinking`."""
        speaks, profile = self._dialect, self.endpoint.profile
        if speaks.reasoning_field or speaks.tags_in_content or profile.reasoning_field:
            return held(thinking, lambda asked: speaks.plan(asked, profile))
        plan = speaks.plan(thinking, profile)
        # Should it show its thinking after all, as servers of unknown kind do, it is ended as well.
        return replace(plan, cut_at=thinking.budget) if self.endpoint.stream else plan

    def continuation(self, text: str) -> Continuation | None:
        """See `WireModel`."""
        speaks = self._dialect
        if speaks.continuation is None:
            return None
        mark = {speaks.prefix_mark: True} if speaks.prefix_mark else {}
        return Continuation({"role": "assistant", "content": text, **mark}, speaks.continuation)

    def _sampling(self, transcript: ChatTranscript, options: CallOptions) -> dict[str, Any]:
        """Return what the makers say to sample with in this mode of thinking, where the team says nothing."""
        endpoint, can = self.endpoint, self.endpoint.profile.thinking
        if options.thinking is None:
            return {}
        mode = "on" if can.always else "off" if can.never else options.thinking.mode
        if mode == "on" and not can.always:
            mode = transcript.switched or mode
        given = {*endpoint.extra, *(() if endpoint.temperature is None else ("temperature",))}
        advised = endpoint.profile.sampling.get(mode, {})
        return {
            name: value
            for name, value in advised.items()
            if name in self._dialect.sampling and name not in given
        }

    def _length_fields(self) -> list[str]:
        """Return the names under which `extra` limits the length of a reply, which a call may change."""
        return [name for name in ("max_tokens", "max_completion_tokens") if name in self.endpoint.extra]


class ChatTranscript(JsonTranscript):
    """A conversation as Chat Completions has it.

    Tool messages must follow each other directly, and they hold no images: images wait, and go
    into a user message before the next message of another role, or at the end of the request.
    """

    def __init__(self, head: bytes, tools: Sequence[ToolDefinition], *, speaker: Speaker) -> None:
        super().__init__(head, tools)
        self._speaker = speaker
        self._dialect = speaker.dialect
        self._reasoning_field = speaker.dialect.reasoning_field or speaker.profile.reasoning_field
        self.sends_reasoning = bool(self._reasoning_field)
        self._waiting_images: list[dict[str, Any]] = []
        self._task_was_said = False
        self.switched: Literal["on", "off"] | None = None
        """What the last soft switch of the team or its user says, where the family knows any."""

    def append(self, message: Message) -> None:
        """Add a message, encoding it now and never again."""
        if message.role == "tool":
            self._add_tool_result(message)
            return
        if (images := self.open_message()) is not None:
            self._add(images)
            self._waiting_images.clear()
        if message.role == "assistant":
            self._add_assistant(message)
        elif message.role == "user" and (
            images := [part for part in message.parts if isinstance(part, Image)]
        ):
            self._add(
                {"role": "user", "content": [_text_part(self._said(message)), *map(_image_part, images)]}
            )
        else:
            self._add({"role": message.role, "content": self._said(message)})

    def open_message(self) -> Mapping[str, Any] | None:
        """See `JsonTranscript`."""
        return {"role": "user", "content": self._waiting_images} if self._waiting_images else None

    def another(self) -> ChatTranscript:
        """See `JsonTranscript`."""
        return ChatTranscript(self.head, self.tools, speaker=self._speaker)

    def _add_assistant(self, message: Message) -> None:
        text = "".join(part.text for part in message.parts if isinstance(part, Text))
        calls = [self._wire_call(call) for call in message.tool_calls]
        fields: dict[str, Any] = {"role": "assistant", "content": (text or None) if calls else text}
        fields.update(self._reasoning(message))
        if calls:
            fields["tool_calls"] = calls
        self._add(fields)

    def _reasoning(self, message: Message) -> dict[str, Any]:
        """Return the field in which a turn's reasoning goes back: whole, and only to the model that it came from."""
        speaker = self._speaker
        own = [
            part
            for part in message.parts
            if isinstance(part, Reasoning) and (part.model, part.route) == (speaker.model, speaker.route)
        ]
        if payloads := [part.payload for part in own if part.payload]:
            return {self._dialect.payload_field: [one for each in payloads for one in orjson.loads(each)]}
        if not self._reasoning_field:
            return {}
        thought = "".join(part.text for part in own)
        required = self._dialect.reasoning_required or speaker.profile.reasoning_required
        return {self._reasoning_field: thought} if thought or (required and message.tool_calls) else {}

    def _said(self, message: Message) -> str:
        """Return the text of a message, in which only the team and its user may switch thinking on and off."""
        text = message.text
        if not self._speaker.profile.soft_switches:
            return text
        if message.role == "user":
            foreign = self._task_was_said or text.startswith(MADE_BY_MODELS)
            self._task_was_said = not text.startswith(EARLIER)
            if foreign:
                return neutralised(text)
        self.switched = switched(text) or self.switched
        return text

    def _add_tool_result(self, message: Message) -> None:
        for part in message.parts:
            if isinstance(part, ToolResult):
                self._add({"role": "tool", "tool_call_id": part.call_id, "content": self._read(part.text)})
                if part.images:
                    self._waiting_images.append(_text_part(f"Images of the tool result {part.call_id}:"))
                    self._waiting_images += map(_image_part, part.images)

    def _read(self, text: str) -> str:
        return neutralised(text) if self._speaker.profile.soft_switches else text

    def _wire_call(self, call: ToolCall) -> dict[str, Any]:
        function = {"name": self.wire_name(call.name), "arguments": call.arguments}
        return {"id": self._use_id(call.id), "type": "function", "function": function}


def _wire_tool(definition: ToolDefinition) -> dict[str, Any]:
    function = {
        "name": definition.wire_name,
        "description": definition.description,
        "parameters": dict(definition.parameters),
    }
    return {"type": "function", "function": function}


def _text_part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _image_part(image: Image) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": f"data:{image.media_type};base64,{image.data}"}}
