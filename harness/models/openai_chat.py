"""Models behind the Chat Completions API: OpenAI and every server that speaks its dialect.

A transcript is one growing buffer of JSON. Each message is encoded when it is appended; a request
is the buffer between a head made once and a short tail, so that a turn costs what is new, and of
what is old only one copy of bytes.
"""

from __future__ import annotations

import hashlib
import random
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import aiohttp
import anyio
from yarl import URL

from harness.errors import UsageError
from harness.messages import Image, Message, Text, ToolCall, ToolDefinition, ToolResult
from harness.models.chat_replies import ReplyDraft, StreamedReply, read_reply
from harness.models.http import HttpChannel, HttpEndpoint, Pieces, checked_url, encode_json
from harness.models.port import CallOptions, ModelResponse, Observe, Price, Transcript
from harness.models.sse import EventStream

_OFFICIAL_HOST = "api.openai.com"
_OWN_FIELDS = frozenset({"model", "messages", "tools", "stream", "tool_choice"})
_NOT_IN_WIRE_NAMES = re.compile(r"[^a-zA-Z0-9_-]")
_LONGEST_WIRE_NAME = 64
_LAST_BYTES_SECONDS = 0.2


_KEPT_HEADS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatEndpoint:
    """A model behind a Chat Completions API and how it is asked."""

    model: str
    base_url: str = "https://api.openai.com/v1"
    """Everything before `/chat/completions`; a query string is kept."""
    api_key: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """More fields of the request body; None takes out one that would be sent."""
    stream: bool = False
    max_tokens: int | None = None
    temperature: float | None = None
    timeout_seconds: float = 600.0
    """The most that one attempt may take."""
    idle_seconds: float = 120.0
    """The longest silence within a stream."""
    retries: int = 4
    backoff_seconds: float = 0.5
    context_window: int | None = None
    price: Price | None = None
    parallel: int | None = None
    """Requests under way at the same time; None for no limit."""


_TOLD = ("top_p", "top_k", "n", "seed", "stop", "frequency_penalty", "presence_penalty")
"""Fields of `extra` that a trace has a word for."""


class OpenAIChatModel:
    """A language model behind one Chat Completions endpoint.

    With `stream` text is observed as it arrives. What was observed before a `Retrying` belongs to
    the attempt that failed, and is not part of the response.
    """

    provider = "openai"

    def __init__(self, endpoint: ChatEndpoint, *, jitter: random.Random | None = None) -> None:
        if taken := sorted(_OWN_FIELDS & endpoint.extra.keys()):
            raise UsageError(
                f"`extra` of the model {endpoint.model} sets {', '.join(taken)}; remove it there"
            )
        self._endpoint = endpoint
        self._heads: dict[tuple[int, ...], tuple[tuple[ToolDefinition, ...], bytes]] = {}
        """By the identity of the definitions, which are kept alive beside it."""
        url = _completions_url(endpoint.base_url)
        self._official = url.host == _OFFICIAL_HOST
        headers = dict(endpoint.headers)
        if endpoint.api_key:
            headers["Authorization"] = f"Bearer {endpoint.api_key}"
        self._channel = HttpChannel(
            HttpEndpoint(
                name=endpoint.model,
                url=str(url),
                headers=headers,
                timeout_seconds=endpoint.timeout_seconds,
                idle_seconds=endpoint.idle_seconds if endpoint.stream else None,
                retries=endpoint.retries,
                backoff_seconds=endpoint.backoff_seconds,
                parallel=endpoint.parallel,
            ),
            jitter=jitter,
        )

    @property
    def name(self) -> str:
        """The model's name as it is asked for."""
        return self._endpoint.model

    @property
    def context_window(self) -> int | None:
        """Tokens that fit into one request, or None if unknown."""
        return self._endpoint.context_window

    @property
    def settings(self) -> Mapping[str, Any]:
        """See `harness.models.port.settings_of`."""
        endpoint, extra, url = self._endpoint, self._endpoint.extra, self._channel.url
        told: dict[str, Any] = {"address": url.host, "port": url.port, "stream": endpoint.stream or None}
        told |= {name: extra.get(name) for name in _TOLD}
        told["temperature"] = extra.get("temperature", endpoint.temperature)
        limits = [extra[name] for name in self._length_fields()]
        told["max_tokens"] = next(iter(limits), None) if endpoint.max_tokens is None else endpoint.max_tokens
        reasoning = extra.get("reasoning")
        told["reasoning"] = extra.get("reasoning_effort") or (
            cast("Mapping[str, Any]", reasoning).get("effort") if isinstance(reasoning, Mapping) else None
        )
        wanted = extra.get("response_format")
        if isinstance(wanted, Mapping):
            told["output"] = "text" if cast("Mapping[str, Any]", wanted).get("type") == "text" else "json"
        return {name: value for name, value in told.items() if isinstance(value, str | int | float | list)}

    @property
    def price(self) -> Price | None:
        """What its tokens cost, or None if unknown."""
        return self._endpoint.price

    def open(self, tools: Sequence[ToolDefinition]) -> Transcript:
        """Return an empty transcript that offers `tools` in every request.

        Raises:
            UsageError: Two tools would have the same name on the wire.
        """
        # Agents of one kind share their definitions, so that a thousand of them encode the head once.
        key = tuple(map(id, tools))
        if key not in self._heads:
            if len(self._heads) >= _KEPT_HEADS:
                self._heads.clear()
            self._heads[key] = (tuple(tools), self._head(tools))
        return _ChatTranscript(self._heads[key][1], tools)

    async def respond(self, transcript: Transcript, options: CallOptions, observe: Observe) -> ModelResponse:
        """Return one complete response to the transcript, which was opened by this model."""
        assert isinstance(transcript, _ChatTranscript)
        body = transcript.request(self._tail(options, has_tools=bool(transcript.name_of)))

        began = time.perf_counter()
        first: list[float] = []

        async def read(response: aiohttp.ClientResponse) -> ReplyDraft:
            kind = response.content_type
            if kind == "text/event-stream" or (self._endpoint.stream and kind != "application/json"):
                return await self._read_stream(response, observe, first)
            return read_reply(await response.read(), place=self._channel.place)

        draft = await self._channel.post(body, read, observe)
        answer = draft.response(model=self.name, name_of=transcript.name_of, unused_id=transcript.id_source())
        return replace(answer, first_chunk_seconds=round(first[-1] - began, 6)) if first else answer

    async def close(self) -> None:
        """Release connections; the model is not used afterwards."""
        await self._channel.close()

    async def _read_stream(
        self, response: aiohttp.ClientResponse, observe: Observe, first: list[float]
    ) -> ReplyDraft:
        """Read a response piece by piece; note in `first` when the first of an attempt came."""
        heard = False
        events, reply = EventStream(), StreamedReply(place=self._channel.place)
        try:
            while not reply.done and (chunk := await response.content.readany()):
                if not heard:
                    heard = True
                    first.append(time.perf_counter())
                for event in events.feed(chunk):
                    if (delta := reply.take(event)) is not None:
                        observe(delta)
        except aiohttp.ClientPayloadError:
            if not reply.whole:
                raise
        if reply.done:
            await _read_to_end(response)
        return reply.finish()

    def _head(self, tools: Sequence[ToolDefinition]) -> bytes:
        """Return what comes before the messages: all that stays the same from call to call."""
        endpoint = self._endpoint
        fields: dict[str, Any] = {"model": endpoint.model, "stream": endpoint.stream}
        if tools:
            fields["tools"] = [_wire_tool(definition) for definition in tools]
        if endpoint.stream:
            fields["stream_options"] = {"include_usage": True}
        if endpoint.temperature is not None:
            fields["temperature"] = endpoint.temperature
        fields.update(endpoint.extra)
        for name in self._length_fields():
            fields.pop(name, None)
        fields = {name: value for name, value in fields.items() if value is not None}
        return encode_json(fields)[:-1] + b',"messages":['

    def _tail(self, options: CallOptions, *, has_tools: bool) -> bytes:
        """Return what comes after the messages: what may change from call to call."""
        fields: dict[str, Any] = {}
        if has_tools and options.tool_choice != "auto":
            fields["tool_choice"] = options.tool_choice
        limits = {name: self._endpoint.extra[name] for name in self._length_fields()}
        asked = self._endpoint.max_tokens if options.max_tokens is None else options.max_tokens
        if asked is not None:
            # The old name is refused by OpenAI's reasoning models, the new one by older servers.
            own = "max_completion_tokens" if self._official else "max_tokens"
            limits = {name: asked for name, value in limits.items() if value is not None} or {own: asked}
        fields.update({name: value for name, value in limits.items() if value is not None})
        return b"]," + encode_json(fields)[1:] if fields else b"]}"

    def _length_fields(self) -> list[str]:
        """Return the names under which `extra` limits the length of a reply, which a call may change."""
        return [name for name in ("max_tokens", "max_completion_tokens") if name in self._endpoint.extra]


class _ChatTranscript:
    """The JSON of a conversation, one buffer that only grows.

    Tool messages must follow each other directly, and they hold no images: images wait, and go
    into a user message before the next message of another role, or at the end of the request.
    """

    sends_reasoning = False

    def __init__(self, head: bytes, tools: Sequence[ToolDefinition]) -> None:
        self._tools = tools
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
        self._head = head
        self._buffer = bytearray()
        self._hash = hashlib.blake2b(head, digest_size=16)
        self._waiting_images: list[dict[str, Any]] = []
        self._call_ids: set[str] = set()

    def append(self, message: Message) -> None:
        """Add a message, encoding it now and never again."""
        if message.role == "tool":
            self._add_tool_result(message)
            return
        if self._waiting_images:
            self._add(self._images_message())
            self._waiting_images.clear()
        if message.role == "assistant":
            self._add_assistant(message)
        elif message.role == "user" and (
            images := [part for part in message.parts if isinstance(part, Image)]
        ):
            self._add({"role": "user", "content": [_text_part(message.text), *map(_image_part, images)]})
        else:
            self._add({"role": message.role, "content": message.text})

    def digest(self) -> str:
        """Return a hash of the head and all messages."""
        if not self._waiting_images:
            return self._hash.hexdigest()
        running = self._hash.copy()
        running.update(encode_json(self._images_message()))
        return running.hexdigest()

    def reopened(self, messages: Iterable[Message]) -> _ChatTranscript:
        """Return the same conversation with other messages; ids of calls that left it stay used."""
        again = _ChatTranscript(self._head, self._tools)
        again._call_ids |= self._call_ids
        for message in messages:
            again.append(message)
        return again

    def request(self, tail: bytes) -> Pieces:
        """Return the body of a request for a reply to what is here now."""
        if not self._waiting_images:
            return self._head, self._buffer, tail
        return self._head, self._buffer, b"," + encode_json(self._images_message()), tail

    def id_source(self) -> _CallIds:
        """Return a source of call ids that neither this transcript nor the source itself has used."""
        return _CallIds(self._call_ids)

    def _add(self, message: dict[str, Any]) -> None:
        encoded = encode_json(message)
        self._hash.update(encoded)
        if self._buffer:
            encoded = b"," + encoded
        try:
            self._buffer += encoded
        except BufferError:
            # An abandoned request has not been sent to its end and still reads the old buffer.
            self._buffer = self._buffer + encoded

    def _add_assistant(self, message: Message) -> None:
        text = "".join(part.text for part in message.parts if isinstance(part, Text))
        calls = [self._wire_call(call) for call in message.tool_calls]
        if calls:
            self._add({"role": "assistant", "content": text or None, "tool_calls": calls})
        else:
            self._add({"role": "assistant", "content": text})

    def _add_tool_result(self, message: Message) -> None:
        for part in message.parts:
            if isinstance(part, ToolResult):
                self._add({"role": "tool", "tool_call_id": part.call_id, "content": part.text})
                if part.images:
                    self._waiting_images.append(_text_part(f"Images of the tool result {part.call_id}:"))
                    self._waiting_images += map(_image_part, part.images)

    def _images_message(self) -> dict[str, Any]:
        return {"role": "user", "content": self._waiting_images}

    def _wire_call(self, call: ToolCall) -> dict[str, Any]:
        self._call_ids.add(call.id)
        name = self._wire_names.get(call.name) or _wire_name(call.name)
        return {"id": call.id, "type": "function", "function": {"name": name, "arguments": call.arguments}}


class _CallIds:
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


def _completions_url(base_url: str) -> URL:
    url = checked_url(base_url)
    path = url.path.rstrip("/")
    return url.with_path(
        path if path.endswith("/chat/completions") else f"{path}/chat/completions", keep_query=True
    )


async def _read_to_end(response: aiohttp.ClientResponse) -> None:
    """Read what follows the last event, so that the connection can be used again."""
    with anyio.move_on_after(_LAST_BYTES_SECONDS):
        try:
            while not response.content.at_eof():
                await response.content.readany()
        except aiohttp.ClientError:
            return


def _wire_tool(definition: ToolDefinition) -> dict[str, Any]:
    function = {
        "name": definition.wire_name,
        "description": definition.description,
        "parameters": dict(definition.parameters),
    }
    return {"type": "function", "function": function}


def _wire_name(name: str) -> str:
    """Return a name that every endpoint accepts for a tool that this transcript does not offer."""
    return _NOT_IN_WIRE_NAMES.sub("_", name.replace(".", "__"))[:_LONGEST_WIRE_NAME] or "unknown"


def _text_part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _image_part(image: Image) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": f"data:{image.media_type};base64,{image.data}"}}
