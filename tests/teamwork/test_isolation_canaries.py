"""The five promises of isolation (DESIGN §8), each with canary words that must not turn up elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

import harness
from harness import MemoryJournal, RunResult, ScriptedModel, calls, fold, says, scripted, together
from harness.messages import Message, Reasoning, Text

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


TEAM = """\
harness: 1
name: canaries
entry: lead
mcpServers:
  notes: {module: loop_notes_server}
agents:
  lead: {instructions: LEAD-INSTRUCTIONS, delegates: [scout, scribe], description: Leads.}
  scout: {instructions: SCOUT-INSTRUCTIONS, tools: [notes], description: Scouts.}
  scribe: {instructions: SCRIBE-INSTRUCTIONS, description: Writes., report: {max_tokens: 60}}
"""

SERVER = """
from mcp.server.mcpserver import MCPServer

def create(*, base=None, **options):
    server = MCPServer("notes", log_level="ERROR")

    @server.tool()
    def read(name: str) -> str:
        return f"TOOL-CANARY of {name}"

    @server.tool()
    def flood() -> str:
        return "x" * 10_000_000

    @server.tool()
    def write(text: str) -> str:
        return "WRITTEN"

    return server
"""


def brief(agent: str, objective: str) -> dict[str, str]:
    return {
        "agent": agent,
        "objective": objective,
        "expected_output": "A line.",
        "sources": "None.",
        "boundaries": "None.",
    }


async def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *overrides: str, **models: ScriptedModel
) -> tuple[RunResult, harness.RunState]:
    (tmp_path / "loop_notes_server.py").write_text(SERVER)
    (tmp_path / "team.yaml").write_text(TEAM)
    monkeypatch.syspath_prepend(tmp_path)
    journal = MemoryJournal()
    with anyio.fail_after(30):
        async with harness.open(
            tmp_path / "team.yaml", store=journal, models=models, overrides=overrides
        ) as team:
            result = await team.run("TASK-CANARY")
    return result, fold(journal.read(result.run_id))


def seen_by(model: ScriptedModel) -> str:
    """Return everything that was ever sent to a model."""
    return "\n".join(repr(message) for request in model.requests for message in request)


async def test_i1_a_sub_agents_window_starts_from_its_instructions_its_brief_and_nothing_else(
    tmp_path, monkeypatch
):
    lead = scripted(
        together(calls("delegate", **brief("scout", "OBJECTIVE-ONE")), says("LEAD-THOUGHT")),
        calls("delegate", **brief("scribe", "OBJECTIVE-TWO")),
        says("done"),
    )
    scout = scripted(calls("notes.read", name="a"), says("SCOUT-REPORT"))
    scribe = scripted(says("SCRIBE-REPORT"))

    _, state = await run(tmp_path, monkeypatch, lead=lead, scout=scout, scribe=scribe)

    assert state.agents["lead/scout-1"].window.origins[:2] == ["system", "brief"]
    assert [message.role for message in scribe.requests[0]] == ["system", "user"]
    assert "OBJECTIVE-TWO" in seen_by(scribe)
    for canary in (
        "TASK-CANARY",
        "LEAD-INSTRUCTIONS",
        "LEAD-THOUGHT",
        "OBJECTIVE-ONE",
        "SCOUT",
        "TOOL-CANARY",
    ):
        assert canary not in seen_by(scribe)


async def test_i2_only_the_report_crosses_back_within_its_cap_and_the_rest_is_behind_a_handle(
    tmp_path, monkeypatch
):
    lead = scripted(
        together(
            calls("delegate", **brief("scout", "one")),
            calls("delegate", **brief("scribe", "two")),
        ),
        calls("read_result", handle="agent:lead/scout-1"),
        says("done"),
    )
    scout = scripted(calls("notes.read", name="a"), says("SCOUT-REPORT"))
    scribe = scripted(says("long " * 400), says("long " * 400))

    _, state = await run(tmp_path, monkeypatch, lead=lead, scout=scout, scribe=scribe)

    second = "\n".join(map(repr, lead.requests[1]))
    assert "SCOUT-REPORT" in second
    assert "TOOL-CANARY" not in second
    assert "SCOUT-INSTRUCTIONS" not in second
    assert state.agents["lead/scribe-1"].report.shortened
    assert second.count("long ") <= 60
    assert "TOOL-CANARY" in repr(lead.requests[2][-1])


async def test_i3_thinking_never_crosses_an_agent_boundary_in_either_direction(tmp_path, monkeypatch):
    def thinks(reply: Message, canary: str) -> Message:
        return Message("assistant", (Reasoning(canary, provider="scripted"), *reply.parts))

    lead = scripted(
        thinks(calls("delegate", **brief("scribe", "one")), "LEAD-THINKING"),
        calls("read_result", handle="agent:lead/scribe-1"),
        says("done"),
    )
    scribe = scripted(thinks(Message("assistant", (Text("SCRIBE-REPORT"),)), "SCRIBE-THINKING"))

    await run(tmp_path, monkeypatch, lead=lead, scribe=scribe)

    assert "LEAD-THINKING" not in seen_by(scribe)
    assert "SCRIBE-THINKING" not in seen_by(lead)
    assert "SCRIBE-REPORT" in seen_by(lead)


async def test_i4_what_a_parent_is_denied_is_denied_to_its_child_and_budgets_are_shared(
    tmp_path, monkeypatch
):
    lead = scripted(calls("delegate", **brief("scout", "one")), says("done"))
    scout = scripted(calls("notes.write", text="x"), calls("notes.read", name="a"), says("SCOUT-REPORT"))

    _, state = await run(
        tmp_path,
        monkeypatch,
        "permissions=[{tool: notes.write, agent: lead, allow: no}]",
        lead=lead,
        scout=scout,
    )

    assert "denies notes.write to lead" in repr(scout.requests[1][-1])
    assert "TOOL-CANARY" in repr(scout.requests[2][-1])
    assert {definition for definition in scout.offered[0]} == {
        "notes.read",
        "notes.flood",
        "notes.write",
        "read_result",
        "report",
    }

    result, state = await run(
        tmp_path,
        monkeypatch,
        "agents.lead.limits.tokens=1500",
        "agents.scout.limits.tokens=1000000",
        lead=lead,
        scout=scripted(*(calls("notes.read", name=str(number)) for number in range(50))),
    )
    assert result.stop_reason == "limit"
    assert state.agents["lead/scout-1"].report.stop_reason.startswith("limit: tokens of lead")
    assert state.usage.total_tokens <= 3000


@pytest.mark.parametrize("trouble", ["raises", "floods", "never ends"])
async def test_i5_one_childs_failure_leaves_its_siblings_and_parent_working(tmp_path, monkeypatch, trouble):
    def endless(messages: Sequence[Message]) -> Message:
        return calls("notes.read", name="again")

    bad = {
        "raises": scripted(harness.ModelError("broken model")),
        "floods": scripted(calls("notes.flood"), says("FLOODED")),
        "never ends": scripted(endless),
    }[trouble]
    lead = scripted(
        together(calls("delegate", **brief("scout", "one")), calls("delegate", **brief("scribe", "two"))),
        says("done"),
    )

    result, state = await run(
        tmp_path,
        monkeypatch,
        "agents.scout.limits.turns=5",
        lead=lead,
        scout=bad,
        scribe=scripted(says("FINE")),
    )

    assert (result.stop_reason, result.output) == ("done", "done")
    assert state.agents["lead/scribe-1"].report.answer == "FINE"
    answers = repr(lead.requests[1])
    assert "FINE" in answers
    assert len(answers) < 60_000
