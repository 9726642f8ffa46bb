"""What a team file says, as frozen values.

The field docs below are also the descriptions in the JSON Schema that editors show. Names that
follow other people's formats (`mcpServers`, `envFile`) keep their spelling, so that blocks
written for Claude Desktop, Cursor or VS Code need no translation.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    SecretStr,
    Tag,
)

from harness.contracts import Contract, parse_contract
from harness.team.context_specs import ContextSpec
from harness.team.model_specs import ModelSpec, ThinkingSpec, as_thinking
from harness.team.quantities import ByteCount, Count, Duration, Positive, TokenCount
from harness.team.shorthand import ConditionValues, Value, as_condition, as_rule, listed
from harness.team.strict import Spec

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]*$"

Effect = Literal["read", "idempotent", "keyed", "once"]
Names = Field(json_schema_extra={"propertyNames": {"pattern": NAME_PATTERN}})


class TimeoutsSpec(Spec):
    """How long to wait for a tool server."""

    connect: Positive = 20
    """Seconds until the server must have started and answered."""
    call: Positive = 60
    """Seconds until a tool call must have answered."""


def _kind_of_args(value: Any) -> str:
    return "mapping" if isinstance(value, dict) else "list"


class ServerSpec(Spec):
    """An MCP server: a Python `module`, a `command` to start, or a `url` to reach."""

    module: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_.]*(:[A-Za-z_][A-Za-z0-9_]*)?$")
    """A Python module that is a tool server and runs inside this process, such as `toolservers.corpus`."""
    command: str | None = Field(default=None, min_length=1)
    """The program to start; it talks MCP over stdin and stdout."""
    url: str | None = None
    """The address of a server that talks MCP over HTTP."""
    args: Annotated[
        Annotated[dict[str, Any], Tag("mapping")] | Annotated[list[str], Tag("list")],
        Discriminator(_kind_of_args),
    ] = Field(default_factory=dict[str, Any])
    """The arguments: a list of texts for a `command`, a mapping for a `module`."""
    env: dict[str, str] = Field(default_factory=dict[str, str])
    """Environment variables of the command; values must be text, so write numbers in quotes."""
    envFile: str | None = None
    """A file of NAME=value lines with more environment variables of the command."""
    cwd: str | None = None
    """The directory in which the command starts; the directory of the team file if not given."""
    headers: dict[str, SecretStr] = Field(default_factory=dict[str, SecretStr])
    """HTTP headers for a `url`, such as Authorization."""
    type: Literal["stdio", "http", "streamable-http", "sse"] | None = None
    """The transport, as other programs write it; it follows from `command` or `url` and may be left out."""
    trust: Literal["trusted", "untrusted"] | None = None
    """Whether what the server says about its own tools is believed."""
    scope: Literal["shared", "run", "agent"] = "shared"
    """Who shares one instance: every run, the agents of one run, or nobody."""
    required: bool = True
    """Whether a run fails when the server does not start."""
    timeouts: TimeoutsSpec = Field(default_factory=TimeoutsSpec)
    """How long to wait for the server."""
    tools: list[str] | None = None
    """Globs of the tools that may be used; all of them if not given."""
    effects: dict[str, Effect] = Field(default_factory=dict[str, Effect])
    """What tools do outside, by glob, which decides what happens after a crash: `read` and `idempotent` calls run
    again, `keyed` calls run again with the same key, `once` calls wait for a person's decision."""
    disabled: bool = False
    """Leave the server out, as if it were not in the file."""


class LimitsSpec(Spec):
    """What a run, or one agent, may use at most."""

    tokens: TokenCount | None = None
    """Input and output tokens together, such as `500k`."""
    thinking: TokenCount | None = None
    """Tokens of thinking, which are output tokens too."""
    usd: Positive | None = None
    """US dollars."""
    minutes: Positive | None = None
    """Minutes of wall time."""
    turns: Count | None = None
    """Model answers."""
    repeats: Count | None = None
    """Turns in a row that make the same calls with the same results; 10 if not given. More for tools that wait."""
    depth: Count | None = None
    """How deep agents may delegate to agents."""
    parallel: Count | None = None
    """Agents working at the same time."""


class ReportSpec(Spec):
    """What an agent hands back to the agent that delegated to it."""

    max_tokens: TokenCount = 1500
    """The most tokens a report may have."""
    json_schema: dict[str, Any] | None = Field(default=None, alias="schema")
    """A JSON Schema the report must satisfy; free text if not given."""


class OutputSpec(Spec):
    """What the final answer must be like."""

    json_schema: dict[str, Any] | None = Field(default=None, alias="schema")
    """A JSON Schema the answer must satisfy; free text if not given."""
    citations: Literal["none", "required"] = "none"
    """Whether the answer must cite the sources it rests on."""


class OrderSpec(Spec):
    """A contract on tool calls, and what is to be said and done about it."""

    rule: str = Field(min_length=1)
    """The contract, in one line, such as `corpus.search before corpus.read` or `at most 3 identical calls`."""
    because: str = ""
    """Why, as the end of a sentence; the model reads it when a call of its is refused."""
    severity: Literal["info", "warning", "error"] = "error"
    """How bad it is where a trace breaks it."""
    enforce: Literal["live", "check"] = "live"
    """Whether a call that would break it is refused (`live`), or it is only held against traces (`check`)."""

    @property
    def contract(self) -> Contract:
        """The contract as a value."""
        return parse_contract(self.rule, because=self.because, severity=self.severity, enforce=self.enforce)


Rule = Annotated[OrderSpec, BeforeValidator(as_rule, json_schema_input_type=str | OrderSpec)]


ThinkingWord = Annotated[
    ThinkingSpec,
    BeforeValidator(as_thinking, json_schema_input_type=Literal["off", "on", "auto"] | ThinkingSpec),
]


class AgentSpec(Spec):
    """One agent: its instructions, its model, its tools, and whom it may ask."""

    description: str = ""
    """What the agent is good at, in one sentence; other agents read it when they choose whom to ask."""
    instructions: str = Field(min_length=1)
    """What the agent is told before everything else."""
    model: str | None = None
    """The name of its model under `models`; the one called `default`, or the only one, if not given."""
    tools: list[str] = Field(default_factory=list[str])
    """The tools it may use: `server`, `server.tool`, or `server.glob_*`."""
    delegates: list[str] = Field(default_factory=list[str])
    """The agents it may delegate to."""
    order: list[Rule] = Field(default_factory=list[OrderSpec])
    """Contracts on the tool calls of each of its runs: one line each, or a mapping with `rule` and `because`."""
    limits: LimitsSpec = Field(default_factory=LimitsSpec)
    """What each of its runs may use at most."""
    report: ReportSpec = Field(default_factory=ReportSpec)
    """What it hands back when another agent asked it."""
    output: OutputSpec = Field(default_factory=OutputSpec)
    """What its final answer must be like."""
    context: ContextSpec | None = None
    """How its window is kept small; what is not said here is as the team's `context` says."""
    thinking: ThinkingWord | None = None
    """How much it may think; what is not said here is as the team's `thinking` says."""


class ConditionSpec(Spec):
    """What one argument of a call must be like; everything that is said must hold."""

    one_of: ConditionValues | None = Field(default=None, alias="is", min_length=1)
    """What it is: a value, or a list of which one must fit. Text is a glob: `*`, `?`, `[abc]`."""
    none_of: ConditionValues | None = Field(default=None, alias="not", min_length=1)
    """What it is not: a value, or a list of which none may fit. An argument that is not given is none of them."""
    above: float | None = None
    """The number it is greater than."""
    below: float | None = None
    """The number it is less than."""


Condition = Annotated[
    ConditionSpec,
    BeforeValidator(
        as_condition,
        json_schema_input_type=Value | Annotated[list[Value], Field(min_length=1)] | ConditionSpec,
    ),
]
Effects = Annotated[
    list[Effect],
    BeforeValidator(listed, json_schema_input_type=Effect | list[Effect]),
]


class PermissionSpec(Spec):
    """A rule about tool calls; for each agent the first rule that matches decides."""

    tool: str = Field(min_length=1)
    """A glob of tool names, such as `issues.create_*`."""
    agent: str = Field(default="*", min_length=1)
    """A glob of agent names."""
    effect: Effects | None = Field(default=None, min_length=1)
    """Only calls with this effect, or one of these, outside: `read`, `idempotent`, `keyed`, `once`."""
    when: dict[str, Condition] = Field(default_factory=dict[str, Condition], min_length=1)
    """Only calls whose arguments satisfy all of these: from the path of an argument, such as `path`, `to.address`
    or `items.0.amount`, to what it must be. A list is tested item by item: a rule that says `yes` wants all of
    its items to fit, any other rule one."""
    allow: Literal["yes", "ask", "no"]
    """Whether these agents may make these calls: `yes`, `no`, or `ask` a person each time."""
    expires: Duration | None = None
    """How long a question waits for its answer, as `30m`, `24h` or `3d`; no answer by then is a no."""
    reason: str = ""
    """Why: shown to the person who is asked, and to the model that is refused."""


class ServeSpec(Spec):
    """What `harness serve` lets callers do with the team."""

    expose: list[str] | None = Field(default=None, min_length=1)
    """The agents that may be called from outside; only the entry agent if not given."""
    max_concurrent: Count | None = None
    """How many runs may be under way at once; more are turned away. No limit if not given."""
    requests_per_minute: Count | None = None
    """How many requests are accepted in a minute from one caller, known by its token or its address. No limit
    if not given."""
    max_body: ByteCount = 10_000_000
    """The largest body a request may have, such as `512kB` or `10MB`."""


def _offline() -> dict[str, ModelSpec]:
    return {"default": ModelSpec(api="offline")}


class TeamSpec(Spec):
    """A team of agents: who they are, what they may use, and how much."""

    harness: Literal[1]
    """The version of this file format."""
    name: str = Field(pattern=NAME_PATTERN)
    """A short name for the team: letters, digits, - and _."""
    description: str = ""
    """What the team is for, in one sentence."""
    entry: str
    """The name of the agent that receives the task."""
    models: Annotated[dict[str, ModelSpec], Names] = Field(default_factory=_offline, min_length=1)
    """The models, by name; an agent that names none uses the one called `default`, or the only one."""
    mcpServers: Annotated[dict[str, ServerSpec], Names] = Field(default_factory=dict[str, ServerSpec])
    """The MCP servers, by name; a block written for Claude Desktop, Cursor or VS Code works as it is."""
    agents: Annotated[dict[str, AgentSpec], Names] = Field(min_length=1)
    """The agents, by name."""
    limits: LimitsSpec = Field(default_factory=LimitsSpec)
    """What one run of the team may use at most."""
    context: ContextSpec | None = None
    """How the windows of all agents are kept small; an agent that does not fit into its model's window stops if
    nothing is said here or there."""
    thinking: ThinkingWord | None = None
    """How much the agents may think; their models do as they like if nothing is said here or there."""
    order: list[Rule] = Field(default_factory=list[OrderSpec])
    """Contracts on the tool calls of all agents of a run together; `by NAME` after a tool names the agent."""
    permissions: list[PermissionSpec] = Field(default_factory=list[PermissionSpec])
    """Rules about tool calls; for each agent the first that matches decides, and an agent may do at most what
    those it works for may do."""
    serve: ServeSpec = Field(default_factory=ServeSpec)
    """What the team offers when it is served."""

    def model_of(self, agent: str) -> str:
        """The name of an agent's model."""
        default = "default" if "default" in self.models else next(iter(self.models))
        return self.agents[agent].model or default

    def fallbacks_of(self, agent: str) -> list[str]:
        """The names of the models that stand in for an agent's, in order; each is followed by its own."""
        own = self.model_of(agent)
        found: dict[str, None] = {own: None}

        def follow(name: str) -> None:
            for other in self.models[name].fallback if name in self.models else ():
                if other not in found:
                    found[other] = None
                    follow(other)

        follow(own)
        return list(found)[1:]

    def context_of(self, agent: str) -> ContextSpec | None:
        """How the window of an agent is kept small; None if it is not."""
        own = self.agents[agent].context
        return self.context if own is None else own.over(self.context)

    def thinking_of(self, agent: str) -> ThinkingSpec | None:
        """How much an agent may think; None if nothing is said about it."""
        own = self.agents[agent].thinking
        return self.thinking if own is None else own.over(self.thinking)

    @property
    def exposed(self) -> list[str]:
        """The agents that may be called from outside when the team is served."""
        return self.serve.expose or [self.entry]


def contracts_of(spec: TeamSpec) -> tuple[list[Contract], dict[str, list[Contract]]]:
    """Return the contracts of the team, and those of each agent by name."""
    return (
        [rule.contract for rule in spec.order],
        {name: [rule.contract for rule in agent.order] for name, agent in spec.agents.items()},
    )
