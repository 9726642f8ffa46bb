"""Runs that wait for a person: suspended without a terminal, asked at one, answered by another process."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest
from inline_snapshot import snapshot

DESK = '''
from pathlib import Path
from mcp.server.mcpserver import MCPServer

def create(*, base):
    server = MCPServer("desk")

    @server.tool()
    def pay(amount: int) -> str:
        """Pay."""
        with (base / "world.txt").open("a") as world:
            world.write(f"paid {amount}\\n")
        return f"paid {amount}"

    return server
'''

TEAM = """\
harness: 1
name: pay
entry: lead
models:
  lead:
    api: scripted
    script:
      - calls: [{tool: delegate, arguments: {agent: clerk, objective: Pay 3., expected_output: A line., sources: "", boundaries: ""}}]
      - {say: All is paid.}
  clerk: {api: scripted, script: [{calls: [{tool: desk.pay, arguments: {amount: 3}}]}, {say: Done.}]}
mcpServers:
  desk: {module: paydesk}
agents:
  lead: {instructions: Lead., model: lead, delegates: [clerk]}
  clerk: {instructions: Pay., model: clerk, tools: [desk]}
permissions:
  - {tool: desk.pay, allow: ask, reason: it is real money}
"""
CALL = "lead/clerk-1/turn-1/0"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "team.yaml").write_text(TEAM)
    (tmp_path / "paydesk.py").write_text(DESK)
    return tmp_path


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "NO_COLOR": "1", "COLUMNS": "100", "PYTHONPATH": str(folder)}


def harness(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness", *arguments],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


def plain(text: str) -> str:
    text = re.sub(r"\d{8}-\d{6}-[0-9a-f]{10}", "ID", text)
    return re.sub(r"[\d,]+ tokens", "N tokens", re.sub(r"by \w+", "by SOMEBODY", text))


def world(folder: Path) -> str:
    return (folder / "world.txt").read_text() if (folder / "world.txt").exists() else ""


def suspended(folder: Path) -> None:
    assert harness(folder, "run", "team.yaml", "Pay the bill.").returncode == 5


def test_without_a_terminal_the_run_is_suspended_and_says_how_to_go_on(folder: Path):
    done = harness(folder, "run", "team.yaml", "Pay the bill.")

    assert (done.returncode, done.stdout, world(folder)) == (5, "", "")
    assert plain(done.stderr) == snapshot("""\
lead/clerk-1: Pay 3.
lead/clerk-1: waits for you: may it call desk.pay?
waits for you: harness approve ID lead/clerk-1/turn-1/0
run ID: suspended, 2 model calls, about N tokens, $0.00 (harness show ID)
""")


def test_approving_from_another_process_carries_the_run_on(folder: Path):
    suspended(folder)

    done = harness(folder, "approve", "last")

    assert (done.returncode, done.stdout, world(folder)) == (0, "All is paid.\n", "paid 3\n")
    assert plain(done.stderr) == snapshot("""\
lead/clerk-1/turn-1/0: approved
resumed: 2 calls replayed, 0 made again, 0 in doubt
lead/clerk-1: approved by SOMEBODY
lead/clerk-1: done, 0 quotes
run ID: done, 4 model calls, about N tokens, $0.00 (harness show ID)
""")
    again = harness(folder, "approve", "last")
    assert (again.returncode, again.stderr) == (2, "error: nothing in this run waits for a person\n")


def test_a_no_with_its_reason_reaches_the_model_and_nothing_is_done(folder: Path):
    suspended(folder)

    done = harness(folder, "approve", "last", CALL, "--deny", "--reason", "too dear", "--json")

    events = [json.loads(line) for line in done.stdout.splitlines()]
    shown = [event["shown"] for event in events if event["type"] == "tool_call.finished"]
    assert (done.returncode, world(folder)) == (0, "")
    assert shown[0] == "desk.pay was not run: a person said no: too dear"


def test_an_answer_can_be_left_for_whoever_resumes(folder: Path):
    suspended(folder)

    left = harness(folder, "approve", "last", "--arguments", '{"amount": 2}', "--no-resume")
    second = harness(folder, "approve", "last", "--no-resume")
    done = harness(folder, "resume", "last")

    assert (left.returncode, left.stdout) == (0, "")
    assert second.returncode == 2
    assert "has been answered" in second.stderr
    assert (done.returncode, done.stdout, world(folder)) == (0, "All is paid.\n", "paid 2\n")


def test_wrong_answers_are_refused_with_what_is_wrong(folder: Path):
    suspended(folder)

    for arguments, message in (
        (("lead/nobody",), "no call 'lead/nobody'; these wait"),
        (("--did-it-happen", "yes"), "is not in doubt"),
        (("--did-it-happen", "maybe"), "takes yes or no"),
        (("--arguments", "[]"), "must be one JSON object"),
        (("--arguments", "{"), "not valid JSON"),
    ):
        refused = harness(folder, "approve", "last", *arguments)
        assert (refused.returncode, message in refused.stderr) == (2, True), refused.stderr
    assert "suspended" in harness(folder, "runs").stdout


@pytest.mark.parametrize(
    ("said", "code", "paid"),
    [("y\n", 0, "paid 3\n"), ("n\n", 0, ""), ('e\n{"amount": 1}\n', 0, "paid 1\n"), ("l\n", 5, "")],
)
def test_somebody_at_a_terminal_is_asked_at_once(folder: Path, said: str, code: int, paid: str):
    main, secondary = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", "run", "team.yaml", "Pay the bill."],
        cwd=folder,
        env={**environment(folder), "TERM": "xterm-256color"},
        stdin=secondary,
        stdout=subprocess.PIPE,
        stderr=secondary,
    )
    os.close(secondary)
    seen, lines = b"", said.splitlines(keepends=True)
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline and process.poll() is None:
        ready, _, _ = select.select([main], [], [], 0.1)
        if ready:
            try:
                seen += os.read(main, 65536)
            except OSError:
                break
        if lines and seen.rstrip().endswith((b"[l]ater:", b"as JSON:")):
            os.write(main, lines.pop(0).encode())
            seen += b"\n"
    os.close(main)
    process.communicate(timeout=20)
    assert process.returncode == code, seen.decode()
    assert world(folder) == paid
    assert b"lead/clerk-1 wants to call desk.pay" in seen
    assert b"it is real money" in seen


HOLDER = """
import anyio, sys, harness

async def main():
    async with harness.open("team.yaml") as h:
        run = await h.start("Pay the bill.")
        await run.result()
        print("suspended", flush=True)
        await anyio.to_thread.run_sync(sys.stdin.readline)

anyio.run(main)
"""


def test_an_answer_beside_a_process_that_only_just_has_the_run_carries_it_on(folder: Path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER],
        cwd=folder,
        env=environment(folder),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "suspended\n"

    beside = subprocess.Popen(
        [sys.executable, "-m", "harness", "approve", "last"],
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert beside.stderr is not None
    assert beside.stderr.readline() == f"{CALL}: approved\n"
    assert world(folder) == ""
    # It leaves the run while the command still looks: the command carries the run on itself.
    holder.communicate("go\n", timeout=20)
    out, _ = beside.communicate(timeout=40)

    assert (beside.returncode, out, world(folder)) == (0, "All is paid.\n", "paid 3\n")
