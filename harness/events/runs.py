"""What happens to a run as a whole, and to the servers it uses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from harness.events.values import FORMAT, Ancestry, Citation, RunStopReason
from harness.messages import Message, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    """A task was given to a team."""

    CONTENT: ClassVar[tuple[str, ...]] = ("team", "task", "earlier")
    type: Literal["run.started"] = "run.started"
    team_name: str
    team_digest: str
    team: Mapping[str, Any]
    """The team file as written, before variables are filled in."""
    task: Message
    entry: str
    harness_version: str
    format: int = FORMAT
    team_path: str = ""
    """The team file, or the directory its relative paths begin at; for carrying the run on here."""
    session: str = ""
    """The thread of runs this one belongs to."""
    earlier: tuple[Message, ...] = ()
    """Tasks and answers of earlier runs of the session, which stand in the window before the task."""
    variables: Mapping[str, str] = field(default_factory=dict[str, str])
    """Values of the variables that the models see, so that the run can be replayed elsewhere."""
    traceparent: str = ""
    """W3C trace context of whoever asked for the run."""
    forked_from: Ancestry | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResumed:
    """A run that had stopped is being carried on; appending this takes it from whoever had it."""

    CONTENT: ClassVar[tuple[str, ...]] = ("team",)
    type: Literal["run.resumed"] = "run.resumed"
    epoch: int
    """From 2: how often somebody has taken up the run."""
    void: tuple[int, ...] = ()
    """Sequences of earlier events that came of the stopping and do not count any more."""
    replayed: int = 0
    """Model calls and tool calls whose results stand in the journal and are not made again."""
    again: tuple[str, ...] = ()
    """Keys of calls that had begun and are made again."""
    in_doubt: tuple[str, ...] = ()
    """Keys of calls that may have taken effect; a person is asked."""
    team: Mapping[str, Any] | None = None
    """The team file as written, if it changed meanwhile."""
    team_digest: str = ""
    variables: Mapping[str, str] = field(default_factory=dict[str, str])
    harness_version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished:
    """A run ended; this is the last event of it unless it is resumed."""

    CONTENT: ClassVar[tuple[str, ...]] = ("output", "citations", "dropped")
    type: Literal["run.finished"] = "run.finished"
    run_id: str
    stop_reason: RunStopReason
    output: Any
    citations: tuple[Citation, ...] = ()
    dropped: tuple[Mapping[str, Any], ...] = ()
    """Claims that were left out, each with `claim` and `reason`."""
    notes: tuple[str, ...] = ()
    usage: Usage = Usage()
    cost: float | None = 0.0
    """USD; None if a model without a known price was used."""
    error: str = ""
    waiting: tuple[str, ...] = ()
    """Keys of the calls that wait for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolServerStarted:
    """A tool server answered and listed its tools."""

    type: Literal["tool_server.started"] = "tool_server.started"
    server: str
    transport: str
    tools: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolServerFailed:
    """A tool server could not be started; the run goes on without it if it is not required."""

    type: Literal["tool_server.failed"] = "tool_server.failed"
    server: str
    error: str
    required: bool
