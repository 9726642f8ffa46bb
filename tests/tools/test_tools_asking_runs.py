"""Runs whose servers ask a person: suspended, answered by another process, and carried on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from asking_team import KEY, AskingTeam
from servers_in_use import HttpServer, asking, plain

from harness import UsageError, fold
from harness.events import ApprovalRequested, RunResumed
from harness.replay import carry_out_again
from harness.team import ServerSpec

pytestmark = pytest.mark.anyio

OpenSpec = Callable[..., ServerSpec]


@pytest.fixture
def team(tmp_path: Path) -> AskingTeam:
    return AskingTeam(tmp_path)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """Where the server notes what it did."""
    return tmp_path / "ledger"


@pytest.fixture(params=["module", "stdio", "http"])
def server(request: pytest.FixtureRequest, ledger: Path, no_process_is_left: None) -> Iterator[OpenSpec]:
    """Makes the spec of a server with options, reached in any way there is."""
    started: list[HttpServer] = []

    def open_spec(**options: Any) -> ServerSpec:
        options["ledger"] = str(ledger)
        if request.param != "http":
            return asking(request.param, **options)
        started.append(HttpServer("asking_server.py", **options))
        started[-1].start()
        return started[-1].spec()

    yield open_spec
    for one in started:
        one.kill()


def done_at(ledger: Path) -> list[str]:
    """What the server did."""
    return ledger.read_text().splitlines() if ledger.exists() else []


async def test_a_run_is_suspended_by_a_question_and_carried_on_with_the_answer(
    team: AskingTeam, server: OpenSpec, ledger: Path
):
    team.write(server(), "s.remove", {"path": "/x"})
    with anyio.fail_after(60):
        run_id = await team.suspended()
        assert done_at(ledger) == []
        result = await team.answered(run_id, content={"ok": True, "note": "go"}, by="owner")

    assert (result.stop_reason, result.output) == ("done", "/x True go")
    assert done_at(ledger) == ["removed /x"]
    assert await team.story(run_id) == ["attempt 1", "elicitation 1", "answered 1", "attempt 2", "done"]
    events = [item.event for item in await team.recorded(run_id)]
    [question] = [event for event in events if isinstance(event, ApprovalRequested)]
    assert (question.tool, question.message, question.inline) == ("s.remove", "Delete /x?", False)
    assert question.state
    [resumed] = [event for event in events if isinstance(event, RunResumed)]
    assert (resumed.in_doubt, resumed.again) == ((), ())


async def test_a_run_is_suspended_by_a_question_in_the_middle_of_a_call(
    team: AskingTeam, server: OpenSpec, ledger: Path
):
    """The call is made again, and the answer to the same question counts without asking anew."""
    team.write(server(era="2025"), "s.ask", {"question": "Go?"}, effect="read")
    with anyio.fail_after(60):
        run_id = await team.suspended()
        result = await team.answered(run_id, content={"ok": True})

    assert (result.stop_reason, result.output) == ("done", "accept True")
    assert await team.story(run_id) == ["attempt 1", "elicitation 1 meanwhile", "answered 1", "done"]
    assert done_at(ledger)[-1] == "heard accept"


async def test_a_call_that_may_have_happened_is_in_doubt_whatever_was_answered(
    team: AskingTeam, server: OpenSpec, ledger: Path
):
    team.write(server(era="2025"), "s.remove", {"path": "/x"}, effect="once")
    with anyio.fail_after(60):
        run_id = await team.suspended()
        doubt = await team.answered(run_id, content={"ok": True})
        assert (doubt.stop_reason, doubt.waiting) == ("suspended", (KEY,))
        assert done_at(ledger) == []
        result = await team.answered(run_id, happened=False)

    assert (result.stop_reason, result.output) == ("done", "/x True none")
    assert done_at(ledger) == ["removed /x"]
    assert await team.story(run_id) == [
        "attempt 1",
        "elicitation 1 meanwhile",
        "answered 1",
        "in_doubt 2",
        "did_not_happen 2",
        "attempt 2",
        "done",
    ]


async def test_a_call_in_doubt_that_nobody_had_answered_asks_anew(team: AskingTeam, ledger: Path):
    team.write(asking("module", era="2025", ledger=str(ledger)), "s.remove", {"path": "/x"})
    with anyio.fail_after(60):
        run_id = await team.suspended()
        async with team.open() as opened:
            result = await (await opened.resume(run_id)).result()
            assert (result.stop_reason, result.waiting) == ("suspended", (KEY,))
        asked = await team.answered(run_id, happened=False)
        assert (asked.stop_reason, asked.waiting) == ("suspended", (KEY,))
        assert (await team.story(run_id))[-2:] == ["attempt 2", "elicitation 3 meanwhile"]
        doubt = await team.answered(run_id, content={"ok": True})
        assert doubt.stop_reason == "suspended"
        result = await team.answered(run_id, happened=False)

    assert (result.stop_reason, result.output) == ("done", "/x True none")
    assert done_at(ledger) == ["removed /x"]


async def test_a_question_that_is_asked_again_by_the_call_made_again_is_the_same_question(
    team: AskingTeam,
):
    team.write(asking("module", era="2025"), "s.ask", {"question": "Go?"}, effect="read")
    with anyio.fail_after(30):
        run_id = await team.suspended()
        async with team.open() as opened:
            result = await (await opened.resume(run_id)).result()
            assert (result.stop_reason, result.waiting) == ("suspended", (KEY,))
        result = await team.answered(run_id, content={"ok": True})

    assert result.output == "accept True"
    assert await team.story(run_id) == ["attempt 1", "elicitation 1 meanwhile", "answered 1", "done"]


@pytest.mark.parametrize("era", ["2026", "2025"])
async def test_a_no_reaches_the_server_and_nothing_is_done(team: AskingTeam, ledger: Path, era: str):
    team.write(asking("module", era=era, ledger=str(ledger)), "s.remove", {"path": "/x"}, effect="read")
    with anyio.fail_after(30):
        run_id = await team.suspended()
        result = await team.answered(run_id, allow=False)

    assert result.stop_reason == "done"
    assert "elicitation was decline" in result.output
    assert done_at(ledger) == []


async def test_a_second_answer_and_one_that_does_not_fit_the_form_are_refused(team: AskingTeam):
    team.write(asking("module"), "s.remove", {"path": "/x"})
    with anyio.fail_after(30):
        run_id = await team.suspended()
        async with team.open() as opened:
            for wrong in ({}, {"ok": "perhaps"}):
                with pytest.raises(UsageError, match="wants an answer of this form"):
                    await opened.approve(run_id, content=wrong)
            await (await opened.approve(run_id, content={"ok": True})).result()
            with pytest.raises(UsageError, match="nothing in this run waits for a person"):
                await opened.approve(run_id, content={"ok": False})


async def test_several_questions_are_answered_with_one_form(team: AskingTeam):
    team.write(asking("module"), "s.order", {"what": "tea"})
    with anyio.fail_after(30):
        run_id = await team.suspended()
        content = {"asking_server:confirm_order": {"ok": True}, "asking_server:size": {"size": "s"}}
        result = await team.answered(run_id, content=content)

    assert result.output == "tea True s"


async def test_a_form_that_nobody_can_check_is_left_to_the_server(team: AskingTeam):
    team.write(asking("module"), "s.refer", {})
    with anyio.fail_after(30):
        run_id = await team.suspended()
        result = await team.answered(run_id, content={"one": "red"})

    assert json.loads(result.output) == {"question": ["accept", {"one": "red"}]}


async def test_an_address_only_wants_a_yes(team: AskingTeam):
    team.write(asking("module"), "s.visit", {"url": "https://pay.example/1"})
    with anyio.fail_after(30):
        run_id = await team.suspended()
        result = await team.answered(run_id)

    assert json.loads(result.output) == {"question": ["accept", None]}


async def test_a_server_that_never_has_enough_is_asked_no_more(team: AskingTeam, ledger: Path):
    team.write(asking("module", ledger=str(ledger)), "s.insist", {})
    answers = 0
    with anyio.fail_after(60):
        run_id = await team.suspended()
        result = None
        while result is None or result.stop_reason == "suspended":
            async with team.open() as opened:
                result = await (await opened.approve(run_id, content={"name": "owner"})).result()
            answers += 1

    assert answers == 19
    assert result.output == "its server asked 20 times, and still does not go on"
    assert done_at(ledger) == ["insisted"] * 20


async def test_a_person_who_is_there_answers_while_the_call_goes_on(team: AskingTeam, ledger: Path):
    team.write(asking("stdio", era="2025", ledger=str(ledger)), "s.slowly", {"path": "/x"})
    with anyio.fail_after(30):
        async with team.open() as opened:
            run = await opened.start("Go.")
            run.be_patient()
            reports: list[str] = []
            run.notices.listen(lambda agent, notice: reports.append(getattr(notice, "message", "")))
            async for recorded in run.events():
                if isinstance(recorded.event, ApprovalRequested):
                    assert await opened.approve(run.id, content={"ok": True}) is run
            result = await run.result()

    assert (result.stop_reason, result.output) == ("done", "/x True")
    assert reports == ["asked"]
    assert await team.story(run.id) == ["attempt 1", "elicitation 1 meanwhile", "answered 1", "done"]


async def test_the_same_process_may_carry_the_run_on(team: AskingTeam, ledger: Path):
    """The call was cancelled at the server, which is still there and asks again."""
    team.write(asking("stdio", era="2025", ledger=str(ledger)), "s.ask", {"question": "Go?"}, effect="read")
    with anyio.fail_after(30):
        async with team.open() as opened:
            run = await opened.start("Go.")
            assert (await run.result()).stop_reason == "suspended"
            result = await (await opened.approve(run.id, content={"ok": True})).result()

    assert (result.stop_reason, result.output) == ("done", "accept True")
    assert done_at(ledger) == ["cancelled", "heard accept"]


@pytest.mark.parametrize("era", ["2026", "2025"])
async def test_a_fork_after_the_question_keeps_the_answer_and_asks_nobody(
    team: AskingTeam, ledger: Path, era: str
):
    team.write(asking("module", era=era, ledger=str(ledger)), "s.remove", {"path": "/x"}, effect="read")
    with anyio.fail_after(30):
        run_id = await team.suspended()
        await team.answered(run_id, content={"ok": True})
        async with team.open() as opened:
            fork = await opened.fork(run_id, "lead/turn-2")
            result = await fork.result()

    assert (result.stop_reason, result.output) == ("done", "/x True none")
    assert done_at(ledger) == ["removed /x"]
    assert (await team.story(fork.id)) == await team.story(run_id)


async def test_a_question_whose_call_has_ended_waits_for_nobody(team: AskingTeam):
    enough = team.folder / "enough"
    team.write(plain(), "s.ask_until", {"path": str(enough)})
    with anyio.fail_after(30):
        async with team.open() as opened:
            run = await opened.start("Go.")
            run.be_patient()
            async for recorded in run.events():
                if isinstance(recorded.event, ApprovalRequested):
                    await anyio.Path(enough).touch()
            result = await run.result()
            recorded = list(opened.journal.read(run.id))
            assert (await carry_out_again(recorded, opened.team, team.models())).exact

    assert (result.stop_reason, result.output) == ("done", "nobody said anything")
    assert (run.waiting, fold(recorded).waiting) == ((), {})


async def killed_while_it_waits(team: AskingTeam) -> str:
    """Run the team in a process that is killed while its question waits; return the id of the run."""
    command = [sys.executable, str(Path(__file__).parent / "asking_team.py"), str(team.folder)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    async with await anyio.open_process(command, env=environment, stderr=None) as process:
        assert process.stdout is not None
        run_id = (await process.stdout.receive()).decode().strip()
        process.kill()
        await process.wait()
    return run_id


async def test_a_state_outlives_the_process_that_was_given_it(
    team: AskingTeam, server: OpenSpec, ledger: Path
):
    team.write(server(), "s.remove", {"path": "/x"})
    with anyio.fail_after(60):
        run_id = await killed_while_it_waits(team)
        result = await team.answered(run_id, content={"ok": True})

    assert (result.stop_reason, result.output) == ("done", "/x True none")
    assert done_at(ledger) == ["removed /x"]
    assert await team.story(run_id) == ["attempt 1", "elicitation 1", "answered 1", "attempt 2", "done"]


async def test_a_call_killed_while_its_server_waited_is_in_doubt(
    team: AskingTeam, server: OpenSpec, ledger: Path
):
    team.write(server(era="2025"), "s.remove", {"path": "/x"}, effect="once")
    with anyio.fail_after(60):
        run_id = await killed_while_it_waits(team)
        async with team.open() as opened:
            result = await (await opened.resume(run_id)).result()
        assert (result.stop_reason, result.waiting) == ("suspended", (KEY,))
        done = await team.answered(run_id, happened=True, reason="seen it")

    assert "a person found that it did take effect" in done.output
    assert done_at(ledger) == []


def command(team: AskingTeam, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness", *arguments],
        cwd=team.folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


def test_the_command_line_waits_with_exit_code_5_and_takes_the_answer(team: AskingTeam, ledger: Path):
    team.write(asking("module", ledger=str(ledger)), "s.remove", {"path": "/x"})
    spec = json.loads((team.folder / "team.yaml").read_text())
    call = {"tool": "s.remove", "arguments": {"path": "/x"}}
    spec["models"] = {"default": {"api": "scripted", "script": [{"calls": [call]}, {"say": "Done."}]}}
    (team.folder / "team.yaml").write_text(json.dumps(spec))

    waits = command(team, "run", "team.yaml", "Go.")
    wrong = command(team, "approve", "last", "--answer", '{"ok": "perhaps"}')
    done = command(team, "approve", "last", "--answer", '{"ok": true}')
    alone = command(team, "tools", "team.yaml", "--call", "s.remove", '{"path": "/y"}')

    assert (waits.returncode, waits.stdout) == (5, "")
    assert (wrong.returncode, "'perhaps' is not of type 'boolean'" in wrong.stderr) == (2, True), wrong.stderr
    assert (done.returncode, done.stdout) == (0, "Done.\n")
    assert (alone.returncode, "elicitation was decline" in alone.stdout) == (1, True)
    assert done_at(ledger) == ["removed /x"]
