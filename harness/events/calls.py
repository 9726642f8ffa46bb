"""What is asked of models, tools and people, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from harness.events.values import Decision, EffectClass, QuestionKind
from harness.messages import Image, Message, StopReason, ThinkingCut, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCallStarted:
    """A request is about to be sent."""

    type: Literal["model_call.started"] = "model_call.started"
    agent: str
    turn: int
    model: str
    provider: str
    entries: int
    """How many entries of the window the request holds."""
    input_tokens: int
    """Our count of them, tool definitions included."""
    digest: str
    """Hash of the whole request: tools and entries in order."""
    tool_choice: str = "auto"
    prefix_tokens: int | None = field(default=None, compare=False)
    """How many of them repeat the beginning of the agent's last request, which a provider's cache may hold.

    Follows from the windows, so it is not held against the record; None where it was not recorded.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCallRetried:
    """A request failed and is about to be sent again."""

    type: Literal["model_call.retried"] = "model_call.retried"
    agent: str
    turn: int
    attempt: int
    wait_seconds: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCallWaited:
    """A request waited for others that share its endpoint, or for the endpoint, for longer than a second."""

    type: Literal["model_call.waited"] = "model_call.waited"
    agent: str
    turn: int
    seconds: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCallFinished:
    """A response arrived, whole, or the call failed for good."""

    CONTENT: ClassVar[tuple[str, ...]] = ("message",)
    type: Literal["model_call.finished"] = "model_call.finished"
    agent: str
    turn: int
    message: Message | None
    stop_reason: StopReason | Literal["error"]
    usage: Usage
    cost: float | None
    """USD; None where the price is unknown."""
    model: str
    response_id: str = ""
    error: str = ""
    error_type: str = ""
    """Name of the error's class, or `cancelled`."""
    notes: tuple[str, ...] = ()
    first_chunk_seconds: float | None = None
    """From the request to the first piece of the response, where it was streamed."""
    cut: ThinkingCut | None = None
    """Set if the harness ended the thinking at its budget; `usage` then holds both requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCallLost:
    """A reply was lost with its process, or on its way; it may have been paid for, so it is charged."""

    type: Literal["model_call.lost"] = "model_call.lost"
    agent: str
    turn: int
    usage: Usage
    """Our count of its input, and of what had come of the reply."""
    cost: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFellBack:
    """An agent run goes on with another model, because its own cannot be had; it stays with that one."""

    type: Literal["model.fell_back"] = "model.fell_back"
    agent: str
    turn: int
    """The turn whose request failed; the other model is asked in the next."""
    from_model: str
    to_model: str
    provider: str
    """Of the model it goes on with, as are the next two."""
    reason: str
    """Why the model could not be had."""
    context_window: int | None = None
    request: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What is the same in every request, for traces: `harness.models.port.settings_of`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRequested:
    """A call waits for a person; everything that does not depend on it goes on."""

    CONTENT: ClassVar[tuple[str, ...]] = ("arguments", "form")
    type: Literal["approval.requested"] = "approval.requested"
    agent: str
    turn: int
    call_id: str
    key: str
    number: int
    """From 1: a call may raise several questions, one after the other."""
    kind: QuestionKind
    tool: str
    arguments: str
    """JSON as the model wrote it; the decision is about exactly these."""
    fingerprint: str
    """Hash of the tool's definition; the decision is about exactly this tool."""
    message: str = ""
    """Why it is asked, or what the server wants to know."""
    form: Mapping[str, Any] | None = None
    """JSON Schema of the answer to an elicitation."""
    request: str = ""
    """Name of the server's question, for elicitations."""
    state: str = ""
    """What the server wants back together with the answer."""
    inline: bool = False
    """True if the call goes on meanwhile and waits for the answer itself."""
    expires_at: float | None = None
    """Seconds since 1970; no answer by then is a no."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalDecided:
    """A person answered, or time ran out; the decision holds for this one question."""

    CONTENT: ClassVar[tuple[str, ...]] = ("arguments", "content")
    type: Literal["approval.decided"] = "approval.decided"
    agent: str
    key: str
    number: int
    kind: QuestionKind
    decision: Decision
    arguments: str | None = None
    """The arguments to run with instead, as JSON."""
    content: Mapping[str, Any] | None = None
    """The answer to an elicitation."""
    by: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallStarted:
    """A tool is about to run."""

    CONTENT: ClassVar[tuple[str, ...]] = ("arguments",)
    type: Literal["tool_call.started"] = "tool_call.started"
    agent: str
    turn: int
    call_id: str
    key: str
    """Made of its place, `PATH/turn-N/INDEX`; the same in every replay."""
    tool: str
    arguments: str
    """JSON as the model wrote it, or as a person changed it."""
    effect: EffectClass
    attempt: int = 1
    """Higher if it was begun before and is begun again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallFinished:
    """A tool returned, failed or was refused; the model sees `shown` in every case."""

    CONTENT: ClassVar[tuple[str, ...]] = ("shown", "whole", "images")
    type: Literal["tool_call.finished"] = "tool_call.finished"
    agent: str
    turn: int
    call_id: str
    key: str
    tool: str
    shown: str
    whole: str | None = None
    """The full result where `shown` is only its head and tail."""
    is_error: bool = False
    error_type: str = ""
    """`arguments`, `unknown_tool`, `denied`, `order`, `server`, `tool`, `internal`, `cancelled`, or empty."""
    external: bool = True
    """False for the tools of the harness itself, whose results are no sources to quote from."""
    images: tuple[Image, ...] = ()
    served: Mapping[str, str] = field(default_factory=dict[str, str])
    """How its server was reached: `transport`, `protocol`, `session`, `request` (the JSON-RPC id), `address`,
    `port`, and `status`, the JSON-RPC code of an error; what is not known is left out."""
