"""The deep-research example, as its reader runs it: quotes, side-by-side work, sameness, isolation, other models."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import anyio
import pytest

import harness
from harness.events import AgentRunFinished, AgentRunStarted, EntryAppended, Recorded
from tests.benchmarks.model_server import model_server

pytestmark = pytest.mark.anyio

REPOSITORY = Path(__file__).resolve().parents[2]
TEAM = REPOSITORY / "examples" / "deep_research" / "team.yaml"
QUESTION = "How are sub-agents isolated, and what goes back to the parent?"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Recorded]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return await events_of(QUESTION, trace=tmp_path / "trace.jsonl")


async def events_of(
    question: str, *, trace: Path | None = None, overrides: tuple[str, ...] = ()
) -> list[Recorded]:
    with anyio.fail_after(60):
        async with harness.open(TEAM, store=":memory:", trace=trace, overrides=overrides) as team:
            run = await team.start(question)
            return [recorded async for recorded in run.events()]


async def test_every_quote_stands_verbatim_in_the_named_source(answered: list[Recorded]):
    finished = answered[-1].event

    assert finished.stop_reason == "done"
    assert len(finished.citations) >= 3
    for citation in finished.citations:
        source = (REPOSITORY / citation.source).read_text(encoding="utf-8")
        assert citation.quote in source
        first, _, last = citation.locator.removeprefix(f"{citation.source}:").partition("-")
        lines = source.splitlines()[int(first) - 1 : int(last or first)]
        assert citation.quote in "\n".join(lines)


async def test_at_least_two_sub_agents_work_at_the_same_time(answered: list[Recorded]):
    at_work = most = 0
    for recorded in answered:
        if isinstance(recorded.event, AgentRunStarted | AgentRunFinished) and "/" in recorded.event.agent:
            at_work += 1 if isinstance(recorded.event, AgentRunStarted) else -1
            most = max(most, at_work)

    assert most >= 2


async def test_the_same_question_gives_the_same_answer(answered: list[Recorded]):
    again = await events_of(QUESTION)

    assert again[-1].event.output == answered[-1].event.output
    assert again[-1].event.citations == answered[-1].event.citations


async def test_each_sub_agents_window_begins_with_its_brief_only_and_the_parent_gets_reports_only(
    answered: list[Recorded], tmp_path: Path
):
    started = [recorded.event for recorded in answered if isinstance(recorded.event, AgentRunStarted)]
    entries = [recorded.event for recorded in answered if isinstance(recorded.event, EntryAppended)]
    sub_agents = [event.agent for event in started if event.brief is not None]

    assert len(started) >= 5
    for path in sub_agents:
        assert [entry.origin for entry in entries if entry.agent == path][:2] == ["system", "brief"]
    assert {entry.origin for entry in entries if entry.agent == "lead"} <= {
        "system",
        "task",
        "assistant",
        "report:lead/*",
        "tool:answer",
    }
    # The same can be read off the trace, without any message content.
    spans = spans_in(tmp_path / "trace.jsonl")
    first_requests = [
        span
        for span in spans
        if span["name"].startswith("chat")
        and span["harness.turn"] == 1
        and span["harness.agent.path"] in sub_agents
    ]
    assert len(first_requests) == len(sub_agents)
    assert all(span["harness.window.origins"] == ["system", "brief"] for span in first_requests)
    assert len({span["traceId"] for span in spans}) == 1
    assert not any("messages" in name for span in spans for name in span)


async def test_only_the_model_changes_for_an_openai_compatible_server():
    async with model_server() as server:
        model = f"models.default={{api: openai-chat, base_url: '{server.base_url}', model: any}}"
        # The benchmark's server answers by a script in the task; here it has the lead answer at once.
        events = await events_of(
            "SCRIPT: turns=0 tool=echo", overrides=(model, "agents.lead.output.citations=none")
        )

    assert events[-1].event.output == "DONE 0"
    assert events[-1].event.usage.calls == 1


async def test_any_folder_can_be_asked_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "library"
    folder.mkdir()
    (folder / "tides.txt").write_text(
        "The tides rise because the moon pulls on the sea.\nThe sea falls again.\n"
    )
    (folder / "page.html").write_text(
        "<html><body>\n<p>Spring tides happen at full moon.</p>\n</body></html>\n"
    )

    events = await events_of("Why do tides rise?", overrides=(f"mcpServers.corpus.args.root={folder}",))

    finished = events[-1].event
    assert "the moon pulls on the sea" in finished.output
    assert {citation.source for citation in finished.citations} <= {"tides.txt", "page.html"}


def spans_in(file: Path) -> list[dict[str, object]]:
    """Return the spans of an OTLP JSON file with their attributes beside their own fields."""
    return [
        {"name": span["name"], "traceId": span["traceId"]}
        | {attribute["key"]: value_of(attribute["value"]) for attribute in span["attributes"]}
        for line in file.read_text().splitlines()
        for resource in json.loads(line)["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


def value_of(value: dict[str, object]) -> object:
    ((kind, content),) = value.items()
    if kind == "arrayValue":
        return [value_of(element) for element in content["values"]]
    return int(content) if kind == "intValue" else content


async def test_the_root_logger_of_the_embedding_program_is_left_alone(answered: list[Recorded]):
    root = logging.getLogger()

    assert answered[-1].event.stop_reason == "done"
    assert not any(type(handler).__name__ == "RichHandler" for handler in root.handlers)
