"""`harness run` that is killed, interrupted or frozen, and `harness resume` in another process."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from crash_processes import PACKAGES
from outside_world import World

SERVER = Path(__file__).with_name("outside_server.py")

TEAM = """\
harness: 1
name: desk
entry: lead
models:
  lead:
    api: scripted
    script:
      - calls: [{{tool: delegate, arguments: {brief}}}]
      - say: It is done.
  mid:
    api: scripted
    script:
      - calls: [{{tool: desk.{tool}, arguments: {{label: one}}}}]
      - calls: [{{tool: desk.{tool}, arguments: {{label: two}}}}]
      - say: Both are done.
mcpServers:
  desk: {{command: {python}, args: [-S, {server}, {world}], effects: {{send: keyed, pay: once}}}}
agents:
  lead: {{instructions: Lead., model: lead, delegates: [mid]}}
  mid: {{instructions: Mid., model: mid, tools: [desk]}}
"""

BRIEF = '{agent: mid, objective: Do both., expected_output: "", sources: "", boundaries: ""}'

DEADLINE = 60


class Desk:
    """A directory with a team, its store and its world, in which commands are given."""

    def __init__(self, folder: Path, tool: str) -> None:
        self.folder = folder
        self.world = World(folder / "world")
        python, server, world = (
            json.dumps(str(value)) for value in (sys.executable, SERVER, self.world.path)
        )
        text = TEAM.format(brief=BRIEF, tool=tool, python=python, server=server, world=world)
        (folder / "team.yaml").write_text(text)

    @contextmanager
    def begin(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """Give a command, and kill it in the end if it has not ended by itself."""
        process = subprocess.Popen(
            [sys.executable, "-m", "harness", *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": PACKAGES},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def do(self, *arguments: str) -> tuple[int, str, str]:
        """Give a command; return its exit code and what it said."""
        with self.begin(*arguments) as process:
            out, err = process.communicate(timeout=DEADLINE)
        return process.returncode, out, err

    def effects(self) -> list[str]:
        """The effects that took place."""
        return [line.name for line in self.world.effects()]


def test_a_killed_command_is_carried_on_by_another(tmp_path: Path):
    desk = Desk(tmp_path, "send")
    desk.world.kill_after("two")

    killed, _, _ = desk.do("run", "team.yaml", "Do it.")
    code, out, err = desk.do("resume")

    assert (killed, code) == (-signal.SIGKILL, 0), err
    assert out == "It is done.\n"
    assert desk.effects() == ["one", "two"]
    assert "resumed: 4 calls replayed, 1 made again, 0 in doubt" in err
    assert [line.what for line in desk.world.lines()] == ["effect", "effect", "repeat"]


@pytest.mark.parametrize("truth", ["yes", "no"])
def test_a_killed_command_leaves_a_question_that_is_answered_later(tmp_path: Path, truth: str):
    desk = Desk(tmp_path, "pay")
    (desk.world.kill_after if truth == "yes" else desk.world.kill_before)("two")

    killed, _, _ = desk.do("run", "team.yaml", "Do it.")
    suspended, _, err = desk.do("resume", "last")
    again, _, _ = desk.do("resume", "last")
    refused, _, why = desk.do("approve", "last")
    code, out, _ = desk.do("approve", "last", "--did-it-happen", truth)
    late, _, over = desk.do("approve", "last", "--did-it-happen", truth)

    assert (killed, suspended, again, refused, code, late) == (-signal.SIGKILL, 5, 5, 2, 0, 2), err
    assert re.search(r"waits for you: harness approve \S+ lead/mid-1/turn-2/0", err)
    assert "--did-it-happen yes or no" in why
    assert "nothing in this run waits for a person" in over
    assert out == "It is done.\n"
    assert desk.effects() == ["one", "two"]


@pytest.mark.parametrize("tool", ["send", "pay"])
def test_control_c_is_not_the_end(tmp_path: Path, tool: str):
    desk = Desk(tmp_path, tool)
    with desk.world.closed_to("two"), desk.begin("run", "team.yaml", "Do it.") as process:
        assert process.stderr
        desk.world.await_caller()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=DEADLINE)
        interrupted = process.returncode

    resumed, _, doubt = desk.do("resume")
    if tool == "pay":
        assert resumed == 5, doubt
        resumed, _, _ = desk.do("approve", "last", "--did-it-happen", "no")

    assert (interrupted, resumed) == (130, 0)
    assert "stopping; press Ctrl-C again to leave at once" in err
    assert re.search(r"to go on: harness resume \S+", err)
    assert desk.effects() == ["one", "two"]


@pytest.mark.parametrize("state", ["alive", "frozen"])
def test_a_run_is_not_taken_from_a_process_that_lives(tmp_path: Path, state: str):
    desk = Desk(tmp_path, "send")
    with desk.world.closed_to("two"), desk.begin("run", "team.yaml", "Do it.") as process:
        desk.world.await_caller()
        if state == "frozen":
            process.send_signal(signal.SIGSTOP)
        refused, out, why = desk.do("resume")
    code, _, err = desk.do("resume")

    assert (refused, out) == (3, "")
    assert f"is being written by process {process.pid}" in why
    assert code == 0, err
    assert desk.effects() == ["one", "two"]


def test_a_run_that_is_done_is_not_carried_on(tmp_path: Path):
    desk = Desk(tmp_path, "send")

    done, _, _ = desk.do("run", "team.yaml", "Do it.")
    again, out, why = desk.do("resume")
    nothing, _, none = desk.do("resume", "nothing-like-it")

    assert (done, again, out, nothing) == (0, 2, "", 2)
    assert "is done, there is nothing to carry on" in why
    assert "nothing-like-it" in none
    assert desk.effects() == ["one", "two"]


def test_a_run_that_ran_out_of_turns_is_carried_on_with_more(tmp_path: Path):
    desk = Desk(tmp_path, "pay")

    out_of_turns, _, err = desk.do("run", "team.yaml", "Do it.", "--set", "limits.turns=3")
    code, out, _ = desk.do("resume", "--set", "limits.turns=30", "--json")

    assert out_of_turns == 4
    assert re.search(r"to go on: harness resume \S+", err)
    assert code == 0
    events = [json.loads(line) for line in out.splitlines()]
    assert [event["type"] for event in events][0] == "run.resumed"
    assert (events[-1]["type"], events[-1]["stop_reason"], events[-1]["output"]) == (
        "run.finished",
        "done",
        "It is done.",
    )
    assert desk.effects() == ["one", "two"]
