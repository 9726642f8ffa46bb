"""A model behind an HTTP endpoint: what all wire APIs share, from the transcript to the finished response.

An API is a subclass: it says where requests go, how a request begins and ends around the messages, and
how a reply is read, whole and in pieces. Sending, waiting, repeating and deadlines are
`harness.models.http`'s.
"""

from __future__ import annotations

import random
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Generic, TypeVar

import aiohttp
import anyio
from yarl import URL

from harness.errors import UsageError
from harness.messages import ToolDefinition
from harness.models.endpoint import Endpoint
from harness.models.http import HttpChannel, HttpEndpoint, checked_url
from harness.models.json_transcripts import JsonTranscript
from harness.models.port import CallOptions, ModelResponse, Observe, Price, Transcript
from harness.models.replies import Reply, StreamReader
from harness.models.sse import EventStream
from harness.models.thinking import UNTOLD, Thinking, ThinkingPlan

Conversation = TypeVar("Conversation", bound=JsonTranscript)
"""The API's own transcript."""

_KEPT_HEADS = 256
_LAST_BYTES_SECONDS = 0.2


class WireModel(ABC, Generic[Conversation]):
    """A language model behind one HTTP endpoint.

    Where it streams, text is observed as it arrives. What was observed before a `Retrying` belongs to the
    attempt that failed, and is not part of the response.
    """

    provider: str
    """As OpenTelemetry names it (`gen_ai.provider.name`)."""
    official_url: ClassVar[str]
    own_fields: ClassVar[frozenset[str]]
    """Fields of the body that `extra` may not set."""

    def __init__(self, endpoint: Endpoint, *, jitter: random.Random | None = None) -> None:
        if taken := sorted(self.own_fields & endpoint.extra.keys()):
            raise UsageError(
                f"`extra` of the model {endpoint.model} sets {', '.join(taken)}; remove it there"
            )
        self.endpoint = endpoint
        self._heads: dict[tuple[int, ...], tuple[tuple[ToolDefinition, ...], bytes]] = {}
        """By the identity of the definitions, which are kept alive beside it."""
        self._channel = HttpChannel(
            HttpEndpoint(
                name=endpoint.model,
                url=str(
                    self.url(
                        checked_url(self.official_url if endpoint.base_url is None else endpoint.base_url)
                    )
                ),
                headers={**self.key_headers(), **endpoint.headers},
                timeout_seconds=endpoint.timeout_seconds,
                idle_seconds=endpoint.idle_seconds if endpoint.stream else None,
                retries=endpoint.retries,
                backoff_seconds=endpoint.backoff_seconds,
                parallel=endpoint.parallel,
            ),
            jitter=jitter,
        )

    @abstractmethod
    def url(self, base: URL) -> URL:
        """Return where requests go, from the base URL of the endpoint."""

    @abstractmethod
    def key_headers(self) -> dict[str, str]:
        """Return the headers that every request of this API needs, the key's among them."""

    @abstractmethod
    def head(self, tools: Sequence[ToolDefinition]) -> bytes:
        """Return what comes before the messages: all that stays the same from call to call."""

    @abstractmethod
    def transcript(self, head: bytes, tools: Sequence[ToolDefinition]) -> Conversation:
        """Return an empty transcript."""

    @abstractmethod
    def tail(self, transcript: Conversation, options: CallOptions, plan: ThinkingPlan) -> bytes:
        """Return what comes after the messages: what may change from call to call."""

    @abstractmethod
    def read(self, body: bytes) -> Reply:
        """Return the reply in a whole response body.

        Raises:
            TransientFault: It holds no reply.
            ModelError: It holds an error that is not worth repeating.
        """

    @abstractmethod
    def reader(self) -> StreamReader:
        """Return what reads one streamed reply."""

    @abstractmethod
    def plan_thinking(self, thinking: Thinking) -> ThinkingPlan:
        """See `harness.models.port.plan_thinking`."""

    def told(self) -> Mapping[str, Any]:
        """Return what the API has words of its own for; see `harness.models.port.settings_of`."""
        return {}

    @property
    def name(self) -> str:
        """The model's name as it is asked for."""
        return self.endpoint.model

    @property
    def context_window(self) -> int | None:
        """Tokens that fit into one request, or None if unknown."""
        return self.endpoint.context_window or self.endpoint.profile.context_window

    @property
    def price(self) -> Price | None:
        """What its tokens cost, or None if unknown."""
        return self.endpoint.price or self.endpoint.profile.price

    @property
    def assumed(self) -> str:
        """See `harness.models.port.assumptions_of`."""
        return self.endpoint.assumed

    @property
    def place(self) -> str:
        """The endpoint as error texts name it."""
        return self._channel.place

    @property
    def route(self) -> str:
        """The endpoint as reasoning is bound to it: provider and host."""
        return f"{self.provider}@{self._channel.url.host}"

    @property
    def settings(self) -> Mapping[str, Any]:
        """See `harness.models.port.settings_of`."""
        endpoint, url = self.endpoint, self._channel.url
        told = {
            "address": url.host,
            "port": url.port,
            "stream": endpoint.stream or None,
            "temperature": endpoint.temperature,
            "max_tokens": endpoint.max_tokens,
            **self.told(),
        }
        return {name: value for name, value in told.items() if isinstance(value, str | int | float | list)}

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
            self._heads[key] = (tuple(tools), self.head(tools))
        return self.transcript(self._heads[key][1], tools)

    async def respond(self, transcript: Transcript, options: CallOptions, observe: Observe) -> ModelResponse:
        """Return one complete response to the transcript, which was opened by this model."""
        conversation: Conversation = transcript  # pyright: ignore[reportAssignmentType]
        plan = UNTOLD if options.thinking is None else self.plan_thinking(options.thinking)
        body = (*conversation.pieces(), self.tail(conversation, options, plan))
        began = time.perf_counter()
        first: list[float] = []

        async def read(response: aiohttp.ClientResponse) -> Reply:
            kind = response.content_type
            if kind == "text/event-stream" or (self.endpoint.stream and kind != "application/json"):
                return await self._read_stream(response, observe, first)
            return self.read(await response.read())

        reply = await self._channel.post(body, read, observe)
        answer = reply.response(
            model=self.name, name_of=conversation.name_of, unused_id=conversation.id_source()
        )
        return replace(answer, first_chunk_seconds=round(first[-1] - began, 6)) if first else answer

    async def close(self) -> None:
        """Release connections; the model is not used afterwards."""
        await self._channel.close()

    async def _read_stream(
        self, response: aiohttp.ClientResponse, observe: Observe, first: list[float]
    ) -> Reply:
        """Read a response piece by piece; note in `first` when the first of an attempt came."""
        heard = False
        events, reader = EventStream(), self.reader()
        try:
            while not reader.done and (chunk := await response.content.readany()):
                if not heard:
                    heard = True
                    first.append(time.perf_counter())
                for event in events.feed(chunk):
                    if (delta := reader.take(event)) is not None:
                        observe(delta)
        except aiohttp.ClientPayloadError:
            if not reader.whole:
                raise
        if reader.done:
            await _read_to_end(response)
        return reader.finish()


async def _read_to_end(response: aiohttp.ClientResponse) -> None:
    """Read what follows the last event, so that the connection can be used again."""
    with anyio.move_on_after(_LAST_BYTES_SECONDS):
        try:
            while not response.content.at_eof():
                await response.content.readany()
        except aiohttp.ClientError:
            return
