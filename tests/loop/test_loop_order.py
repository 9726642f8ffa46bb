"""Contracts on the order of tool calls, kept while a team works."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from stage import HEAD, PAIR, OpenTeam, RunTeam, Told, delegates, plans, reports, task, told

import harness
from harness import FunctionToolset, MemoryJournal, calls, says, scripted, together
from harness.events import DeliverableRejected, ToolCallFinished
from harness.loop.order import RunOrder, order_of
from harness.loop.state import effective
from harness.record import judge_order, record_of
from harness.replaying import replay_run
from harness.team import contracts_of, parse_team
from tests.models.server import answer, fault_server

pytestmark = pytest.mark.anyio

BEFORE = "agents: {lead: {instructions: Answer., tools: [desk], order: [desk.find before desk.cancel]}}"


def alone(*rules: str) -> str:
    lines = "".join(f"\n      - {rule}" for rule in rules)
    return f"agents:\n  lead:\n    instructions: Answer.\n    tools: [desk]\n    order:{lines}\n"


@pytest.fixture
def done() -> list[str]:
    return []


@pytest.fixture
def desk(done: list[str]) -> list[Callable[..., str]]:
    def find(order: str = "") -> str:
        done.append(f"find {order}")
        return f'{{"order_id": "W-{order}", "ok": true}}'

    def cancel(order_id: str = "") -> str:
        done.append(f"cancel {order_id}")
        return "cancelled"

    def fail() -> str:
        done.append("fail")
        raise ValueError("no")

    return [find, cancel, fail]


def errors(run: Told, agent: str = "lead") -> list[str]:
    finished = sorted(run.all(ToolCallFinished, agent), key=lambda event: event.key)
    return [event.error_type for event in finished]


async def test_a_call_without_its_precondition_is_refused_and_does_nothing(run_team: RunTeam, desk, done):
    model = scripted(calls("desk.cancel"), calls("desk.find"), calls("desk.cancel"), says("done"))
    run = await run_team(BEFORE, desk=desk, lead=model)

    assert errors(run) == ["order", "", ""]
    assert run.results()[0].text == (
        "desk.cancel was not run: an earlier call of desk.find is missing. "
        "The contract is: desk.find before desk.cancel"
    )
    assert done == ["find ", "cancel "]
    assert run.result.stop_reason == "done"


async def test_a_call_beside_it_is_not_before_it_but_counts_against_it(run_team: RunTeam, desk, done):
    model = scripted(
        together(calls("desk.find"), calls("desk.cancel")),
        together(calls("desk.find"), calls("desk.find"), calls("desk.cancel")),
        says("done"),
    )
    run = await run_team(
        alone("desk.find before desk.cancel", "at most 2 calls of desk.find"), desk=desk, lead=model
    )

    assert errors(run) == ["", "order", "", "order", ""]


async def test_a_reason_is_told_and_a_contract_to_check_refuses_nothing(run_team: RunTeam, desk):
    rules = (
        "{rule: never desk.fail, because: it is broken}",
        "{rule: never desk.find, enforce: check}",
    )
    model = scripted(together(calls("desk.fail"), calls("desk.find")), says("done"))
    run = await run_team(alone(*rules), desk=desk, lead=model)

    assert run.results()[0].text.endswith("The contract is: never desk.fail, because it is broken")
    assert errors(run) == ["order", ""]
    assert run.result.notes == ("order: lead left this contract broken: never desk.find",)


@pytest.mark.parametrize(
    ("rule", "first", "second", "wanted"),
    [
        ("desk.fail succeeds before desk.cancel", calls("desk.fail"), calls("desk.cancel"), "order"),
        ("desk.fail before desk.cancel", calls("desk.fail"), calls("desk.cancel"), ""),
        ("desk.find(result.ok=true) before desk.cancel", calls("desk.find"), calls("desk.cancel"), ""),
        ("desk.find(result.ok=false) before desk.cancel", calls("desk.find"), calls("desk.cancel"), "order"),
        (
            "desk.find before desk.cancel where order_id from result",
            calls("desk.find", order="1"),
            calls("desk.cancel", order_id="W-1"),
            "",
        ),
        (
            "desk.find before desk.cancel where order_id from result",
            calls("desk.find", order="1"),
            calls("desk.cancel", order_id="W-2"),
            "order",
        ),
        (
            "desk.find before desk.cancel where order_id from order",
            calls("desk.find", order="1"),
            calls("desk.cancel", order_id="1"),
            "",
        ),
        ("never desk.cancel after desk.find", calls("desk.find"), calls("desk.cancel"), "order"),
        ("desk.find never together with desk.cancel", calls("desk.find"), calls("desk.cancel"), "order"),
        ("at most 1 identical calls", calls("desk.find", order="1"), calls("desk.find", order="1"), "order"),
        ("at most 1 identical calls", calls("desk.find", order="1"), calls("desk.find", order="2"), ""),
        ("desk.find at most once per turn", calls("desk.find"), calls("desk.find"), ""),
        ("desk.find first", calls("desk.find"), calls("desk.cancel"), ""),
    ],
)
async def test_what_a_second_call_comes_to(run_team: RunTeam, desk, rule, first, second, wanted):
    run = await run_team(alone(rule), desk=desk, lead=scripted(first, second, says("done")))

    assert errors(run)[1] == wanted, run.results()


async def test_an_agent_hears_twice_what_it_still_owes_and_then_ends(run_team: RunTeam, desk):
    rule = "desk.find followed by desk.cancel"
    stubborn = await run_team(
        alone(rule), desk=desk, lead=scripted(calls("desk.find"), says("a"), says("b"), says("c"))
    )
    mended = await run_team(
        alone(rule), desk=desk, lead=scripted(calls("desk.find"), says("a"), calls("desk.cancel"), says("b"))
    )

    assert [len(run.all(DeliverableRejected)) for run in (stubborn, mended)] == [2, 1]
    assert stubborn.result.output == "c"
    assert stubborn.result.notes == (f"order: lead left this contract broken: {rule}",)
    assert mended.result.output == "b"
    assert mended.result.notes == ()


async def test_a_report_is_held_back_while_something_is_owed(run_team: RunTeam, desk):
    agents = PAIR.replace(
        "instructions: Scout., tools: [desk]",
        "instructions: Scout., tools: [desk], order: [desk.find at least once]",
    )
    run = await run_team(
        agents,
        desk=desk,
        lead=scripted(delegates("scout"), says("done")),
        scout=scripted(reports("early"), calls("desk.find"), reports("found")),
    )

    assert errors(run, "lead/scout-1") == ["order", "", ""]
    assert run.state.agents["lead/scout-1"].report.answer == "found"


async def test_contracts_of_the_team_see_what_others_had_done_before(run_team: RunTeam, desk, done):
    agents = PAIR + "order: [desk.find by scout before desk.cancel by lead]\n"
    run = await run_team(
        agents,
        desk=desk,
        lead=scripted(calls("desk.cancel"), delegates("scout"), calls("desk.cancel"), says("done")),
        scout=scripted(calls("desk.find"), says("found")),
    )

    assert errors(run) == ["order", "", ""]
    assert done == ["find ", "cancel "]


async def test_a_task_of_a_plan_follows_those_it_needs_and_not_those_beside_it(run_team: RunTeam, desk):
    agents = PAIR + "order: [desk.find before desk.cancel]\n"

    def scout(messages):
        if len(messages) > 2:
            return says("done")
        return calls("desk.find" if "Do find." in messages[1].text else "desk.cancel")

    run = await run_team(
        agents,
        desk=desk,
        lead=scripted(plans(task("find"), task("after", "scout", "find"), task("beside")), says("done")),
        scout=scripted(*[scout] * 6),
    )

    ended = {
        event.agent: event.error_type for event in run.all(ToolCallFinished) if event.tool.startswith("desk")
    }
    assert sorted(ended.values()) == ["", "", "order"]


async def test_replay_and_the_fold_of_the_events_come_to_the_same(open_team: OpenTeam, desk, tmp_path: Path):
    agents = PAIR + "order: [desk.find before desk.cancel, desk.find at most 5 times]\n"
    lead = scripted(calls("desk.cancel"), delegates("scout"), calls("desk.cancel"), says("done"))
    async with open_team(agents, desk=desk, lead=lead, scout=scripted(calls("desk.find"), says("x"))) as h:
        run = await h.start("go")
        await run.result()
        recorded = list(h.journal.read(run.id))
        models = {"lead": lead, "scout": lead}
        again = await replay_run(recorded, models=models)
        changed = tmp_path / "changed.yaml"
        changed.write_text((tmp_path / "team.yaml").read_text().replace("desk.find before desk.cancel, ", ""))
        against = await replay_run(recorded, against=str(changed), models=models)

    assert again.exact, again
    assert not against.exact
    team = parse_team((tmp_path / "team.yaml").read_text(), base=tmp_path)
    events = [item.event for item in effective(recorded)]
    folded = order_of(events, RunOrder(*contracts_of(team.spec)))
    assert folded.states()["lead"][1][0] == ("desk.find before desk.cancel", {(): 1})


def chat_reply(**message: object) -> bytes:
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": None, **message},
        "finish_reason": "stop",
    }
    return answer({"id": "c", "model": "m", "choices": [choice]})


async def test_contracts_hold_on_an_openai_compatible_server(tmp_path: Path, desk, done):
    call = {"id": "1", "type": "function", "function": {"name": "desk__cancel", "arguments": "{}"}}
    async with fault_server(chat_reply(tool_calls=[call]), chat_reply(content="done")) as server:
        file = tmp_path / "team.yaml"
        model = f"{{api: openai-chat, base_url: '{server.base_url}', model: m}}"
        file.write_text(HEAD.replace("{api: scripted, script: [{say: Nothing to add.}]}", model) + BEFORE)
        with anyio.fail_after(20):
            async with harness.open(
                file, store=MemoryJournal(), toolsets=[FunctionToolset("desk", *desk)]
            ) as h:
                run = await told(await h.start("go"))

    assert errors(run) == ["order"]
    assert done == []
    assert run.result.output == "done"


async def test_contracts_hold_on_the_offline_model(tmp_path: Path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("A sub-agent may see its brief and nothing else.\n")
    file = tmp_path / "team.yaml"
    file.write_text(
        "harness: 1\nname: t\nentry: lead\n"
        "mcpServers: {corpus: {module: toolservers.corpus, args: {root: ./docs}}}\n"
        "agents: {lead: {instructions: Answer., tools: [corpus], order: [never corpus.search]}}\n"
    )
    with anyio.fail_after(20):
        async with harness.open(file, store=MemoryJournal()) as h:
            run = await told(await h.start("What may a sub-agent see?"))

    assert set(errors(run)) == {"order"}
    assert run.state.readings == {}


async def test_the_record_of_a_run_gives_the_verdict_that_was_given_live(run_team: RunTeam, desk):
    """A trace that was exported and imported again is such a record too."""
    agents = PAIR + "order: [{rule: desk.find before desk.cancel, enforce: check}, desk.fail at most once]\n"
    run = await run_team(
        agents,
        desk=desk,
        lead=scripted(
            together(calls("desk.cancel"), delegates("scout")),
            calls("desk.cancel"),
            calls("desk.fail"),
            calls("desk.fail"),
            says("done"),
        ),
        scout=scripted(calls("desk.find"), says("found")),
    )
    team, of_agents = contracts_of(parse_team(HEAD + agents, base=Path()).spec)
    judged = {one.contract.text: one for one in judge_order(record_of(run.recorded), team, of_agents)}

    assert run.result.notes == ("order: lead left this contract broken: desk.find before desk.cancel",)
    broken = judged["desk.find before desk.cancel"].verdict
    assert (broken.holds, [breach.call.key for breach in broken.breaches]) == (
        "undetermined",
        ["lead/turn-1/0"],
    )
    assert judged["desk.fail at most once"].verdict.holds == "satisfied"
