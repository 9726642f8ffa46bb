"""The model port: what the loop knows about language models, and nothing about any vendor.

A model opens a `Transcript`, the conversation in its own ready wire form. Entries are appended to
it once, so that a turn costs what is new and not what is old.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from harness.messages import Message, StopReason, ThinkingCut, ToolDefinition, Usage
from harness.models.thinking import Thinking, ThinkingPlan

ToolChoice = Literal["auto", "required", "none"]


@dataclass(frozen=True, slots=True)
class Price:
    """USD per million tokens."""

    input: float = 0.0
    output: float = 0.0
    cached: float | None = None
    """Price of input read from the provider's cache; `input` where it is None."""
    cache_write: float | None = None
    """Price of input written to the provider's cache; `input` where it is None."""
    above: tuple[int, Price] | None = None
    """Tokens of input beyond which a request costs more, all of it, and what it costs then."""

    def cost(self, usage: Usage) -> float:
        """Return what `usage` costs in USD; of several calls, each is taken to have its share of the input."""
        if self.above is not None and usage.input_tokens > self.above[0] * max(1, usage.calls):
            return self.above[1].cost(usage)
        cached = self.input if self.cached is None else self.cached
        written = self.input if self.cache_write is None else self.cache_write
        fresh = max(0, usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens)
        return (
            fresh * self.input
            + usage.cached_tokens * cached
            + usage.cache_write_tokens * written
            + usage.output_tokens * self.output
        ) / 1e6


@dataclass(frozen=True, slots=True)
class CallOptions:
    """What may change from one call to the next without touching the transcript."""

    tool_choice: ToolChoice = "auto"
    max_tokens: int | None = None
    thinking: Thinking | None = None
    """None to say nothing about it."""


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of text that has just arrived; only streaming models send these."""

    text: str


@dataclass(frozen=True, slots=True)
class ThinkingDelta:
    """A piece of the model's thinking, where the endpoint shows it; only streaming models send these."""

    text: str


@dataclass(frozen=True, slots=True)
class Retrying:
    """A call failed and is about to be made again."""

    attempt: int
    """The number of the attempt that failed, from 1."""
    wait_seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request waits for others that share its endpoint, or until the endpoint takes requests again."""

    seconds: float | None
    """The least it will take, None if that depends on others; how long it took, once the wait is over."""
    queued: int
    """How many requests wait, this one included; 0 once the wait is over."""
    reason: str
    """What for, or what for at first."""


@dataclass(frozen=True, slots=True)
class Lost:
    """An attempt was answered or worked on, and its reply was lost on the way: it may have been charged."""


Notice = TextDelta | ThinkingDelta | Retrying | Waiting | Lost
Observe = Callable[[Notice], None]
"""Receives what happens during a call. Must not raise or block."""


@dataclass(frozen=True, slots=True)
class ModelResponse:
    """One complete response."""

    message: Message
    stop_reason: StopReason
    usage: Usage | None = None
    """None where the provider reported nothing; the loop then estimates and flags it."""
    model: str = ""
    """The model that answered, as the provider names it."""
    response_id: str = ""
    notes: tuple[str, ...] = ()
    """What a reader of the final answer should know about how it was made."""
    first_chunk_seconds: float | None = field(default=None, compare=False)
    """From the request to the first piece of a streamed response."""
    cut: ThinkingCut | None = None
    """Set if the harness ended its thinking; `usage` then holds both requests."""


class Transcript(Protocol):
    """One agent's conversation in one model's wire form; append-only."""

    sends_reasoning: bool
    """Whether requests hold the thinking of earlier turns, which then has its size."""

    def append(self, message: Message) -> None:
        """Add a message, encoding it now and never again."""
        ...

    def digest(self) -> str:
        """Return a hash of the tools and all messages, at a cost that does not depend on their number."""
        ...

    def reopened(self, messages: Iterable[Message]) -> Transcript:
        """Return the same conversation with other messages, after its window was changed."""
        ...


class Model(Protocol):
    """A language model behind one wire API.

    Not aware of agents, budgets, what tools do, or what is recorded. `ScriptedModel` is the
    in-memory twin.
    """

    @property
    def name(self) -> str:
        """The model's name as it is asked for."""
        ...

    @property
    def provider(self) -> str:
        """The provider as OpenTelemetry names it (`gen_ai.provider.name`)."""
        ...

    @property
    def context_window(self) -> int | None:
        """Tokens that fit into one request, or None if unknown."""
        ...

    @property
    def price(self) -> Price | None:
        """What its tokens cost, or None if unknown."""
        ...

    def open(self, tools: Sequence[ToolDefinition]) -> Transcript:
        """Return an empty transcript that offers `tools` in every request."""
        ...

    async def respond(self, transcript: Transcript, options: CallOptions, observe: Observe) -> ModelResponse:
        """Return one complete response to the transcript, which was opened by this model.

        Raises:
            ContextOverflow: The request cannot fit.
            ModelRejected: The endpoint refused the request.
            ModelUnavailable: The endpoint could not be reached or kept failing.
            ThinkingBudgetExhausted: It thinks beyond its budget and does not act.
        """
        ...

    async def close(self) -> None:
        """Release connections; the model is not used afterwards."""
        ...


def settings_of(model: Model) -> dict[str, Any]:
    """Return what is the same in every request of a model, by the names it tells it under.

    `address` and `port` of its endpoint, `stream`, `max_tokens`, `temperature`, `top_p`, `seed`, `stop`,
    `frequency_penalty`, `presence_penalty`, `reasoning`; nothing for a model that tells nothing.
    """
    return dict(getattr(model, "settings", {}))


def assumptions_of(model: Model) -> tuple[str, ...]:
    """Return what is taken for granted of a model because nobody says it; nothing of one that tells nothing."""
    assumed: str = getattr(model, "assumed", "")
    return (assumed,) if assumed else ()


def plan_thinking(model: Model, thinking: Thinking) -> ThinkingPlan:
    """Return what a model's endpoint would be told about thinking, and how far that binds it.

    Models that live in this process say nothing of it, and are told nothing.

    Raises:
        ThinkingUnsupported: The endpoint cannot express it, and may not do what comes nearest.
    """
    plan: Callable[[Thinking], ThinkingPlan] | None = getattr(model, "plan_thinking", None)
    if plan is None:
        return ThinkingPlan(enforcement="ignored", reason=f"{model.provider} models do not think")
    return plan(thinking)
