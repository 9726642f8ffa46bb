"""What a run was, in the form that the ledger, the doctor and the viewer read.

A journal holds what happened, a foreign trace what somebody chose to tell; both become a `RunRecord`:
agent runs, each with the entries its window ever held, its turns (one request to its model each) and
the tool calls they caused. A window is not stored: every entry knows the first and the last turn whose
request held it, so a record grows with what is new and not with the square of the turns.

What a source does not carry is missing (`None`, and not in `RunRecord.carries`), never zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from harness.events import EffectClass, PlanCreated
from harness.messages import Message, Reasoning, Text, ToolCall, ToolDefinition, ToolResult

Kind = Literal[
    "system",
    "tool_definition",
    "session",
    "task",
    "brief",
    "user",
    "thinking",
    "text",
    "call",
    "result",
    "report",
    "summary",
    "nudge",
]
"""Where tokens of a request come from."""

Facet = Literal[
    "content",
    "results",
    "windows",
    "tool_definitions",
    "usage",
    "cached",
    "cost",
    "times",
    "agents",
    "outcome",
    "plans",
]
"""What a source can carry: texts of messages, results of tools, the whole window of every request,
definitions of tools, reported tokens, reported cache reads, prices, times, which agent did what, how the run ended, and plans."""

ALL_FACETS: frozenset[Facet] = frozenset(Facet.__args__)  # pyright: ignore[reportAttributeAccessIssue]

Outcome = Literal["done", "failed", "stopped", "unknown"]
"""How a run ended; `stopped` by a limit, a person or a signal."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of an entry with an origin of its own: thinking, text and calls stand in one reply."""

    kind: Kind
    label: str
    """The tool's name, the path of the agent whose report it is, or empty."""
    weight: int
    """Its length in characters; the tokens of an entry are divided among its pieces by it."""


@dataclass(slots=True, eq=False)
class Entry:
    """One entry of an agent's window; changed in place, it is another entry that took its place."""

    agent: str
    number: int
    """Its place among all entries of the agent run, from 0; unique there."""
    origin: str
    """As in `harness.context.window`: `system`, `task`, `brief`, `assistant`, `tool:NAME`, `report:PATH` …"""
    message: Message
    counted: int
    """Our count of its tokens."""
    pieces: tuple[Piece, ...] = ()
    place: float = 0.0
    """Windows are ordered by it: the place of the entry it replaced; in our runs the number that `fork` takes."""
    first: int = 0
    """The first turn whose request held it; 0 if none did."""
    last: int = 0
    """The last turn whose request held it."""
    call: str = ""
    """Key of the tool call whose result it is."""
    turn: int = 0
    """The turn that made it: whose reply it is, or whose call it answers; 0 for what stood there before."""
    replaced_by: Entry | None = None
    gone: str = ""
    """Why it left the window before the agent run ended; empty if it never did."""
    size: int = 0
    """Its tokens, calibrated to what the provider reported; set by the ledger."""

    @property
    def id(self) -> str:
        """Unique in the run: the agent's path and the entry's number."""
        return f"{self.agent}#{self.number}"

    @property
    def sent(self) -> int:
        """How many requests held it."""
        return self.last - self.first + 1 if self.first else 0

    @property
    def text(self) -> str:
        """Everything readable in it: text, thinking, arguments of calls, results."""
        return "\n".join(map(part_text, self.message.parts))

    @property
    def is_error(self) -> bool:
        """Whether it is the result of a call that failed."""
        return any(isinstance(part, ToolResult) and part.is_error for part in self.message.parts)


@dataclass(slots=True, eq=False)
class Call:
    """One tool call."""

    key: str
    """Unique in the run; in ours `PATH/turn-N/INDEX`."""
    id: str
    tool: str
    """`server.tool`, or a bare word."""
    arguments: str
    """JSON as the model wrote it."""
    agent: str
    turn: int
    index: int
    """Its place among the calls of the turn."""
    result: str | None = None
    """What the model was shown; None if there is no result, or it is not carried."""
    whole: str | None = None
    """The full result where the model saw only a part of it."""
    is_error: bool = False
    error_type: str = ""
    started: float | None = None
    ended: float | None = None
    effect: EffectClass | None = None
    """None if the source does not say."""
    entry: Entry | None = None
    """Its result in the window."""
    children: list[str] = field(default_factory=list[str])
    """Paths of the agent runs that worked for it."""
    span: str = ""

    @property
    def server(self) -> str:
        """The MCP server, or empty for tools of the program itself."""
        return self.tool.partition(".")[0] if "." in self.tool else ""


@dataclass(slots=True, eq=False)
class Turn:
    """One request to a model, its reply, and the calls that followed."""

    agent: str
    number: int
    """From 1, without gaps within an agent run."""
    model: str = ""
    provider: str = ""
    entries: int = 0
    """How many entries the request held."""
    counted: int = 0
    """Our count of the request's tokens, tool definitions included."""
    reported: int | None = None
    """The provider's count; None where it is not known."""
    output: int | None = None
    cached: int | None = None
    reasoning: int | None = None
    cost: float | None = None
    """USD."""
    started: float | None = None
    """Seconds since 1970."""
    ended: float | None = None
    new: list[Entry] = field(default_factory=list[Entry])
    """Entries that the request of the turn before did not hold."""
    gone: list[Entry] = field(default_factory=list[Entry])
    """Entries that only the request of the turn before held."""
    reply: Entry | None = None
    calls: list[Call] = field(default_factory=list[Call])
    stop_reason: str = ""
    error: str = ""
    retries: int = 0
    span: str = ""

    @property
    def id(self) -> str:
        """`PATH/turn-N`."""
        return f"{self.agent}/turn-{self.number}"


@dataclass(frozen=True, slots=True)
class Aside:
    """A request of an agent run beside its turns: for a summary of its window, or one lost with its process."""

    agent: str
    kind: Literal["summary", "lost"]
    turn: int
    """The turn it was made before or in."""
    model: str
    input: int
    """Tokens sent: the provider's count, or ours."""
    output: int = 0
    cached: int = 0
    reported: bool = False
    """Whether the provider counted them."""
    cost: float | None = None
    """USD."""
    turns: tuple[int, ...] = ()
    """The turns that were to be summed up."""
    error: str = ""


@dataclass(slots=True, eq=False)
class AgentRecord:
    """One agent run."""

    path: str
    name: str
    parent: str = ""
    """Path of the agent run it worked for; empty for an entry agent."""
    parent_call: str = ""
    """Key of the call that asked for it, if it is known."""
    after: tuple[str, ...] = ()
    """Paths of agent runs, not its parents, that were over before it began because it needs them."""
    model: str = ""
    provider: str = ""
    context_window: int | None = None
    tools: tuple[ToolDefinition, ...] | None = None
    """None if the source does not carry definitions."""
    effects: Mapping[str, EffectClass] = field(default_factory=dict[str, EffectClass])
    task_id: str = ""
    brief: str = ""
    report: str | None = None
    status: str = ""
    """`done`, `partial`, `failed`, or empty where it has not ended or is not known."""
    error: str = ""
    entries: list[Entry] = field(default_factory=list[Entry])
    """All entries its window ever held, in the order in which they came."""
    turns: list[Turn] = field(default_factory=list[Turn])
    asides: list[Aside] = field(default_factory=list[Aside])
    started: float | None = None
    ended: float | None = None
    span: str = ""
    tool_sizes: Mapping[str, int] = field(default_factory=dict[str, int])
    """Tokens of each definition in every request, calibrated; set by the ledger."""

    def window(self, turn: int) -> list[Entry]:
        """Return the entries that the request of this turn held, in order."""
        held = [entry for entry in self.entries if entry.first and entry.first <= turn <= entry.last]
        held.sort(key=lambda entry: entry.place)
        return held

    def calls(self) -> Iterator[Call]:
        """Yield its tool calls by turn and index."""
        for turn in self.turns:
            yield from turn.calls


@dataclass(eq=False)
class RunRecord:
    """One run, ours or somebody else's."""

    id: str
    source: str
    """`journal`, or the format it was read from."""
    ours: bool = False
    """Whether the harness carried it out, so that tools with bare names are its own; also in a trace of it."""
    name: str = ""
    """The team, the workflow, or the file."""
    agents: dict[str, AgentRecord] = field(default_factory=dict[str, AgentRecord])
    """By path, parents before those that work for them."""
    task: str = ""
    answer: Any = None
    outcome: Outcome = "unknown"
    error: str = ""
    carries: frozenset[Facet] = ALL_FACETS
    team: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The team file as written; empty for foreign runs."""
    team_path: str = ""
    plans: list[PlanCreated] = field(default_factory=list[PlanCreated])
    started: float | None = None
    ended: float | None = None
    spans: int = 0
    """How many spans or events it was read from."""
    notes: list[str] = field(default_factory=list[str])
    """What a reader should know about how it was read, such as spans that were left out."""
    reference: list[tuple[str, Mapping[str, Any]]] | None = None
    """Calls that a benchmark says would have been right, in order; None where nothing is said of it; only the attribution of failures reads it."""
    trace_id: str = ""
    """In hex, of the trace that shows it; empty where it is not one of OpenTelemetry."""
    span_id: Callable[[str], str] = field(default=str, repr=False)
    """Returns the id of a span as a trace shows it, from the `span` of a part of this record."""

    @cached_property
    def calls(self) -> dict[str, Call]:
        """All tool calls by key."""
        return {call.key: call for agent in self.agents.values() for call in agent.calls()}

    def turns(self) -> Iterator[Turn]:
        """Yield all turns, agent by agent."""
        for agent in self.agents.values():
            yield from agent.turns

    def lacks(self, *facets: Facet) -> tuple[Facet, ...]:
        """Return which of `facets` this record does not carry."""
        return tuple(facet for facet in facets if facet not in self.carries)


def part_text(part: object) -> str:
    """Return what can be read in a part of a message."""
    match part:
        case Text() | Reasoning() | ToolResult():
            return part.text
        case ToolCall():
            return part.arguments
        case _:
            return ""
