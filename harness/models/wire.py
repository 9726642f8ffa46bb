"""A model behind an HTTP endpoint: what all wire APIs share, from the transcript to the finished response.

An API is a subclass: it says where requests go, how a request begins and ends around the messages, and
how a reply is read, whole and in pieces. Sending, waiting, repeating and deadlines are
`harness.models.http`'s.
"""

from __future__ import annotations

import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, Literal, TypeVar

import aiohttp
import anyio
from yarl import URL

from harness.errors import ModelRejected, ThinkingBudgetExhausted, UsageError
from harness.messages import Reasoning, ThinkingCut, ToolDefinition
from harness.models.cutting import (
    FORCED,
    Continuation,
    Cut,
    Thought,
    acts,
    beginning,
    ceiling,
    continued,
    spent_before,
)
from harness.models.encoding import encode_json
from harness.models.endpoint import Endpoint
from harness.models.http import HttpChannel, HttpEndpoint, checked_url
from harness.models.json_transcripts import JsonTranscript
from harness.models.port import CallOptions, ModelResponse, Observe, Price, ThinkingDelta, Transcript
from harness.models.replies import Reply, StreamReader
from harness.models.sse import EventStream
from harness.models.thinking import UNTOLD, Thinking, ThinkingPlan, ThinkingUnsupported, merged
from harness.models.tokens import token_counter

Conversation = TypeVar("Conversation", bound=JsonTranscript)
"""The API's own transcript."""


@dataclass(frozen=True, slots=True)
class _Call(Generic[Conversation]):
    """One call of the model, be it one request or several."""

    conversation: Conversation
    options: CallOptions
    observe: Observe
    first: list[float]
    """When the first piece of each attempt came."""


@dataclass(frozen=True, slots=True)
class _Way:
    """A way to bring a model to act whose thinking was cut."""

    then: Literal["continued", "asked-without", "asked-for-call"]
    options: CallOptions
    plan: ThinkingPlan
    begun: Continuation | None = None


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
        self._count = token_counter(endpoint.model)
        self._heads: dict[tuple[str | int, ...], tuple[tuple[ToolDefinition, ...], bytes]] = {}
        """By their kind and the identity of the definitions, which are kept alive beside it."""
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
                idle_seconds=endpoint.idle_seconds,
                retries=endpoint.retries,
                backoff_seconds=endpoint.backoff_seconds,
                limits=endpoint.limits,
                key=endpoint.api_key,
                key_from=endpoint.key_from,
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

    def reader_of_rest(self) -> StreamReader:
        """Return what reads one streamed reply that goes on with one that has begun; see `continuation`."""
        return self.reader()

    @abstractmethod
    def plan_thinking(self, thinking: Thinking) -> ThinkingPlan:
        """See `harness.models.port.plan_thinking`."""

    def streaming_head(self, tools: Sequence[ToolDefinition]) -> bytes:
        """Return the head of a request that streams whatever the endpoint's `stream` says.

        Only for APIs that plan to cut thinking (`ThinkingPlan.cut_at`).
        """
        raise NotImplementedError

    def continuation(self, text: str) -> Continuation | None:
        """Return a request that goes on with a reply that begins with `text`; None where no server can."""
        return None

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
            "temperature": endpoint.heard_temperature,
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
        return self.transcript(self._kept_head(tools, self.head), tools)

    def _kept_head(
        self, tools: Sequence[ToolDefinition], head: Callable[[Sequence[ToolDefinition]], bytes]
    ) -> bytes:
        key = (head.__name__, *map(id, tools))
        if key not in self._heads:
            if len(self._heads) >= _KEPT_HEADS:
                self._heads.clear()
            self._heads[key] = (tuple(tools), head(tools))
        return self._heads[key][1]

    async def respond(self, transcript: Transcript, options: CallOptions, observe: Observe) -> ModelResponse:
        """Return one complete response to the transcript, which was opened by this model."""
        conversation: Conversation = transcript  # pyright: ignore[reportAssignmentType]
        plan = UNTOLD if options.thinking is None else self.plan_thinking(options.thinking)
        began = time.perf_counter()
        first: list[float] = []
        call = _Call(conversation, options, observe, first)
        cut = None
        try:
            reply = await self._ask(call, plan)
        except Cut as end:
            reply, cut = await self._after_cut(call, plan, end.thought)
        answer = reply.response(
            model=self.name, name_of=conversation.name_of, unused_id=conversation.id_source()
        )
        seconds = round(first[-1] - began, 6) if first else None
        return replace(answer, cut=cut, first_chunk_seconds=seconds)

    async def close(self) -> None:
        """Release connections; the model is not used afterwards."""
        await self._channel.close()

    async def _ask(
        self, call: _Call[Conversation], plan: ThinkingPlan, begun: Continuation | None = None
    ) -> Reply:
        """Send one request and return the reply; where its thinking is to be cut, it streams.

        Raises:
            Cut: The thinking came to `plan.cut_at`.
        """
        conversation = call.conversation
        head, *messages = conversation.pieces()
        streams = self.endpoint.stream
        if plan.cut_at is not None and not streams:
            head, streams = self._kept_head(conversation.tools, self.streaming_head), True
        if begun is not None:
            messages.append(b"," + encode_json(begun.message))
        body = (head, *messages, self.tail(conversation, call.options, plan))

        async def read(response: aiohttp.ClientResponse) -> Reply:
            thought = Thought(plan.cut_at, self._count)
            kind = response.content_type
            if kind == "text/event-stream" or (streams and kind != "application/json"):
                reader = self.reader() if begun is None else self.reader_of_rest()
                return await self._read_stream(response, call, thought, reader)
            reply = self.read(await response.read())
            thought.take_whole(reply)
            return reply

        most = call.options.max_tokens or self.endpoint.max_tokens or 0
        return await self._channel.post(
            body, read, call.observe, streams=streams, output_tokens=most, used=_tokens_of
        )

    async def _after_cut(
        self, call: _Call[Conversation], plan: ThinkingPlan, thought: Thought
    ) -> tuple[Reply, ThinkingCut]:
        """Bring a model to act whose thinking was cut; what it thinks meanwhile still counts.

        Raises:
            ThinkingBudgetExhausted: It only thinks on.
        """
        assert call.options.thinking is not None
        budget = call.options.thinking.budget or 0
        most = ceiling(budget)
        tokens, requests = thought.tokens, 1
        for way in self._ways(call, plan, thought.text):
            # Half of the rest, so that there is some for the next way too.
            left = replace(way.plan, cut_at=max(0, most - tokens) // 2)
            try:
                reply = await self._ask(replace(call, options=way.options), left, way.begun)
            except Cut as again:
                tokens += again.thought.tokens
                requests += 1
                continue
            except ModelRejected:
                continue
            if acts(reply):
                return self._joined(reply, way, thought, tokens=tokens, requests=requests)
        exhausted = ThinkingBudgetExhausted(
            f"{self.place} thought {tokens:,} tokens of a budget of {budget:,} and did not "
            "act; give it a larger budget, or a model that can do without thinking"
        )
        exhausted.tokens, exhausted.requests = tokens, requests
        raise exhausted

    def _ways(self, call: _Call[Conversation], plan: ThinkingPlan, thought: str) -> Iterator[_Way]:
        """Yield how a model may be brought to act, the best way first."""
        options, thinking = call.options, call.options.thinking
        assert thinking is not None
        without, off = Thinking("off", visible=thinking.visible), UNTOLD
        with suppress(ThinkingUnsupported):
            off = self.plan_thinking(without)
        begun = self.continuation(beginning(thought))
        if begun is not None and thought:
            fields = merged(off.fields, begun.fields)
            yield _Way("continued", options, replace(off, fields=fields), begun)
        if off.enforcement == "hard" and thinking.mode != "off":
            yield _Way("asked-without", replace(options, thinking=without), off)
        if call.conversation.tools and plan.can_require_tools and options.tool_choice == "auto":
            yield _Way("asked-for-call", replace(options, tool_choice="required"), plan)

    def _joined(
        self, reply: Reply, way: _Way, thought: Thought, *, tokens: int, requests: int
    ) -> tuple[Reply, ThinkingCut]:
        """Return a reply together with what was thought and used before it."""
        cut = ThinkingCut(tokens, way.then)
        prefix_tokens = 0
        if way.begun is not None:
            cut = replace(cut, forced=FORCED)
            prefix_tokens = self._count(beginning(thought.text))
            bound = Reasoning(thought.text, provider=self.provider, model=self.name, route=self.route)
            reply = continued(reply, cut, bound)
        if reply.usage is not None:
            before = spent_before(reply.usage, tokens, requests, prefix_tokens)
            reply = replace(reply, usage=reply.usage + before)
        return reply, cut

    async def _read_stream(
        self,
        response: aiohttp.ClientResponse,
        call: _Call[Conversation],
        thought: Thought,
        reader: StreamReader,
    ) -> Reply:
        """Read a response piece by piece; note when the first of an attempt came."""
        heard = False
        events = EventStream()
        try:
            while not reader.done and (chunk := await response.content.readany()):
                if not heard:
                    heard = True
                    call.first.append(time.perf_counter())
                for event in events.feed(chunk):
                    if (delta := reader.take(event)) is not None:
                        call.observe(delta)
                        if isinstance(delta, ThinkingDelta):
                            thought.take(delta.text)
        except aiohttp.ClientPayloadError:
            if not reader.whole:
                raise
        if reader.done:
            await _read_to_end(response)
        return reader.finish()


def _tokens_of(reply: Reply) -> int | None:
    return None if reply.usage is None else reply.usage.total_tokens


async def _read_to_end(response: aiohttp.ClientResponse) -> None:
    """Read what follows the last event, so that the connection can be used again."""
    with anyio.move_on_after(_LAST_BYTES_SECONDS):
        try:
            while not response.content.at_eof():
                await response.content.readany()
        except aiohttp.ClientError:
            return
