"""Runs written down by hand, event by event, for the tests of the tracing view."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson
from opentelemetry.sdk.trace import ReadableSpan

from harness.events import (
    AgentRunFinished,
    AgentRunStarted,
    Brief,
    Citation,
    CitationsVerified,
    DeliverableRejected,
    EntryAppended,
    Event,
    Evidence,
    LimitWasReached,
    ModelCallFinished,
    ModelCallRetried,
    ModelCallStarted,
    ModelCallWaited,
    PlanCreated,
    PlanExecuted,
    PlannedTask,
    PlanTaskFinished,
    PlanTaskStarted,
    Recorded,
    ReplanRequested,
    Report,
    RunFinished,
    RunStarted,
    ToolCallFinished,
    ToolCallStarted,
    ToolServerFailed,
    ToolServerStarted,
    TurnFinished,
    TurnStarted,
)
from harness.messages import (
    Image,
    Message,
    Reasoning,
    Text,
    ToolCall,
    ToolDefinition,
    ToolResult,
    Usage,
    assistant,
    system,
    tool,
    user,
)
from harness.tracing import ContentCapture, export_run

RUN = "run-1"
SEARCH = ToolDefinition("corpus.search", "CANARY-DESCRIPTION of search")
PLAN = ToolDefinition("plan", "Makes a plan.")


class Script:
    """Collects events with increasing times."""

    def __init__(self, run_id: str = RUN) -> None:
        self.run_id = run_id
        self.recorded: list[Recorded] = []
        self.entries: dict[str, int] = {}

    def add(self, *events: Event) -> None:
        for event in events:
            place = len(self.recorded)
            self.recorded.append(Recorded(self.run_id, place, 1_700_000_000.0 + place / 64, event))

    def run(self, task: str = "CANARY-TASK") -> None:
        self.add(
            RunStarted(
                team_name="research",
                team_digest="d1",
                team={},
                task=user(task),
                entry="lead",
                harness_version="0.1.0",
            )
        )

    def agent(self, path: str, name: str, brief: str, **facts: Any) -> None:
        self.add(
            AgentRunStarted(
                agent=path,
                name=name,
                description=f"The {name}.",
                model=facts.pop("model", "qwen3"),
                provider="openai",
                tools=(SEARCH, PLAN),
                brief=Brief(objective=brief) if "/" in path else None,
                depth=path.count("/"),
                **facts,
            )
        )
        self.entry(path, "system", system(f"CANARY-SYSTEM of {name}"), 10)
        self.entry(path, "brief" if "/" in path else "task", user(brief), 20)

    def entry(self, agent: str, origin: str, message: Message, tokens: int) -> None:
        place = self.entries.get(agent, 0)
        self.entries[agent] = place + 1
        self.add(EntryAppended(agent=agent, entry=place, origin=origin, message=message, tokens=tokens))

    def ask(self, agent: str, turn: int, *, provider: str = "openai", model: str = "qwen3") -> None:
        self.add(
            TurnStarted(agent=agent, turn=turn),
            ModelCallStarted(
                agent=agent,
                turn=turn,
                model=model,
                provider=provider,
                entries=self.entries.get(agent, 0),
                input_tokens=100 * turn,
                digest="feed",
            ),
        )

    def answer(self, agent: str, turn: int, reply: Message, **facts: Any) -> None:
        usage = Usage(100, 10, 40, 5, 1, cache_write_tokens=8)
        self.add(
            ModelCallFinished(
                agent=agent,
                turn=turn,
                message=reply,
                stop_reason="tool_calls" if reply.tool_calls else "end",
                usage=usage,
                cost=facts.pop("cost", 0.01),
                model="qwen3-0801",
                response_id=f"resp-{agent}-{turn}",
                **facts,
            )
        )
        self.entry(agent, "assistant", reply, 10)

    def call(self, agent: str, turn: int, name: str, arguments: str = "{}", *, index: int = 0) -> str:
        key = f"{agent}/turn-{turn}/{index}"
        self.add(
            ToolCallStarted(
                agent=agent,
                turn=turn,
                call_id=f"call_{turn}_{index}",
                key=key,
                tool=name,
                arguments=arguments,
                effect="read",
            )
        )
        return key

    def returned(self, key: str, name: str, shown: str, **facts: Any) -> None:
        agent, turn, index = key.rsplit("/", 2)
        number = int(turn.removeprefix("turn-"))
        self.add(
            ToolCallFinished(
                agent=agent,
                turn=number,
                call_id=f"call_{number}_{index}",
                key=key,
                tool=name,
                shown=shown,
                **facts,
            )
        )

    def shown(self, agent: str, origin: str, text: str, tokens: int = 7) -> None:
        self.entry(agent, origin, tool(ToolResult("call", text)), tokens)

    def report(self, agent: str, turns: int, *, status: Any = "done", **facts: Any) -> None:
        evidence = (Evidence(source="a.md", locator="1", quote="q"),)
        report = Report(status=status, answer=f"CANARY-REPORT of {agent}", evidence=evidence, **facts)
        self.add(AgentRunFinished(agent=agent, report=report, turns=turns))

    def finish(self, stop_reason: Any = "done", **facts: Any) -> None:
        self.add(
            RunFinished(
                run_id=self.run_id,
                stop_reason=stop_reason,
                output="CANARY-OUTPUT",
                citations=(Citation(source="a.md", locator="1", quote="q"),),
                usage=Usage(900, 90, calls=9),
                cost=0.09,
                **facts,
            )
        )


def calls(name: str, **arguments: Any) -> Message:
    return assistant("", ToolCall("call_1", name, orjson.dumps(arguments).decode()))


def full_run() -> list[Recorded]:
    """Return a run with every event: plans, sub-agents side by side, failures, limits, citations."""
    script = Script()
    script.run()
    script.add(
        ToolServerStarted(
            server="corpus", transport="stdio", tools=("corpus.search", "corpus.read"), seconds=0.2
        ),
        ToolServerFailed(server="web", error="exit status 1", required=False),
    )
    script.agent("lead", "lead", "CANARY-TASK")
    _lead_plans(script)
    _tasks_are_carried_out(script)
    _lead_delegates(script)
    _lead_answers(script)
    script.finish()
    return script.recorded


def _lead_plans(script: Script) -> None:
    """Turn 1 makes a plan that is refused; turn 2 one that holds."""
    script.ask("lead", 1)
    script.add(
        ModelCallRetried(agent="lead", turn=1, attempt=1, wait_seconds=0.5, reason="503 from the server")
    )
    script.add(ModelCallWaited(agent="lead", turn=1, seconds=1.5, reason="1 request is under way"))
    script.answer("lead", 1, calls("plan", tasks=[]))
    key = script.call("lead", 1, "plan", '{"tasks": []}')
    script.returned(key, "plan", "a plan needs tasks", is_error=True, error_type="arguments")
    script.shown("lead", "tool:plan", "a plan needs tasks")
    script.add(TurnFinished(agent="lead", turn=1))
    script.ask("lead", 2)
    script.answer("lead", 2, calls("plan", tasks=["t1", "t2"]))
    key = script.call("lead", 2, "plan", '{"tasks": ["t1", "t2"]}')
    tasks = tuple(
        PlannedTask(id=task, agent="researcher", brief=Brief(objective=f"CANARY-BRIEF of {task}"))
        for task in ("t1", "t2")
    )
    script.add(PlanCreated(agent="lead", version=1, tasks=tasks, turn=2, key=key))


def _tasks_are_carried_out(script: Script) -> None:
    """Two researchers at work at the same time; the second one runs into a limit."""
    call = "lead/turn-2/0"
    for number in (1, 2):
        path = f"lead/researcher-{number}"
        script.add(PlanTaskStarted(agent="lead", version=1, task=f"t{number}", child=path))
        script.agent(path, "researcher", f"CANARY-BRIEF of t{number}", parent_call=call, task_id=f"t{number}")
    first, second = "lead/researcher-1", "lead/researcher-2"
    script.ask(first, 1)
    script.ask(second, 1)
    thinking = Reasoning("CANARY-THOUGHT", "openai", "qwen3", '{"sealed": "CANARY-SEALED"}')
    searching = Message("assistant", (thinking, *calls("corpus.search", query="CANARY-QUERY").parts))
    script.answer(second, 1, searching)
    script.answer(first, 1, searching)
    keys = [script.call(path, 1, "corpus.search", '{"query": "CANARY-QUERY"}') for path in (first, second)]
    script.returned(keys[1], "corpus.search", "CANARY-RESULT broke", is_error=True, error_type="tool")
    script.returned(keys[0], "corpus.search", "CANARY-RESULT head", whole="CANARY-RESULT whole text")
    for path in (first, second):
        script.shown(path, "tool:corpus.search", "CANARY-RESULT head", 30)
        script.add(TurnFinished(agent=path, turn=1))
    script.ask(first, 2)
    script.answer(first, 2, assistant("Found."))
    script.add(DeliverableRejected(agent=first, reasons=("CANARY-REASON: no evidence",)))
    script.report(first, 2)
    script.add(PlanTaskFinished(agent="lead", version=1, task="t1", status="done"))
    script.add(LimitWasReached(agent=second, limit="turns", scope=second, allowed=1))
    script.report(second, 1, status="partial", stop_reason="limit turns", shortened=True)
    script.add(
        PlanTaskFinished(agent="lead", version=1, task="t2", status="partial"),
        PlanExecuted(agent="lead", version=1),
    )
    script.returned(call, "plan", "reports", external=False)
    script.shown("lead", "report:lead/*", "CANARY-REPORT", 60)
    script.add(TurnFinished(agent="lead", turn=2))
    script.add(ReplanRequested(agent="lead", version=1, reason="t2 failed"))
    script.entry("lead", "nudge", user("Make a new plan, or go on."), 9)


def _lead_delegates(script: Script) -> None:
    """One sub-agent by `delegate`, on an in-process model; its first call fails over to another."""
    script.ask("lead", 3)
    script.answer("lead", 3, calls("delegate", agent="critic"))
    key = script.call("lead", 3, "delegate", '{"agent": "critic"}')
    path = "lead/critic-1"
    script.agent(path, "critic", "CANARY-BRIEF of the critic", parent_call=key)
    script.ask(path, 1)
    script.add(
        ModelCallFinished(
            agent=path,
            turn=1,
            message=None,
            stop_reason="error",
            usage=Usage(),
            cost=0.0,
            model="qwen3",
            error="ModelUnavailable: http://127.0.0.1:9 refused",
        )
    )
    script.ask(path, 1, provider="scripted", model="twin")
    script.answer(path, 1, assistant("It holds."), cost=None)
    script.report(path, 1)
    script.returned(key, "delegate", "CANARY-REPORT of lead/critic-1", external=False)
    script.shown("lead", f"report:{path}", "CANARY-REPORT", 44)
    script.add(TurnFinished(agent="lead", turn=3))


def _lead_answers(script: Script) -> None:
    script.ask("lead", 4)
    image = Image("aGVsbG8=")
    script.answer("lead", 4, Message("assistant", (Text("CANARY-ANSWER"),)))
    script.entry("lead", "nudge", user("look", image), 9)
    script.add(
        CitationsVerified(agent="lead", kept=1, dropped=({"claim": "CANARY-CLAIM", "reason": "absent"},)),
        TurnFinished(agent="lead", turn=4),
    )
    script.report("lead", 4)


def spans_of(recorded: Iterable[Recorded], content: ContentCapture = "off") -> list[ReadableSpan]:
    spans: list[ReadableSpan] = []
    export_run(recorded, spans.append, content=content)
    return spans


def named(spans: Iterable[ReadableSpan], name: str) -> list[ReadableSpan]:
    """Return the spans called `name`, in order of their beginning."""
    return sorted((span for span in spans if span.name == name), key=lambda span: span.start_time or 0)


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def tree(spans: list[ReadableSpan]) -> list[str]:
    """Return the names of the spans as an indented tree, siblings by beginning."""
    children: dict[int | None, list[ReadableSpan]] = {}
    for span in sorted(spans, key=lambda span: span.start_time or 0):
        children.setdefault(span.parent.span_id if span.parent else None, []).append(span)

    def lines(parent: int | None, depth: int) -> list[str]:
        return [
            line
            for span in children.get(parent, [])
            for line in ("  " * depth + span.name, *lines(span.context.span_id, depth + 1))
        ]

    return lines(None, 0)
