"""The commands on recorded runs: replay, export, import, fork, diff, runs and prune."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from inline_snapshot import snapshot

TEAM = """\
harness: 1
name: pair
entry: lead
models:
  lead:
    api: scripted
    script:
      - calls: [{tool: delegate, arguments: {agent: scout, objective: Find X., expected_output: A line., sources: "", boundaries: ""}}]
      - {say: X is at line 4.}
  other: {api: scripted, script: [{say: never}, {say: X is elsewhere.}]}
  scout: {api: scripted, script: [{say: Line 4.}]}
agents:
  lead: {instructions: Lead., model: lead, delegates: [scout]}
  scout: {instructions: Scout., model: scout}
"""


def harness(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness", *arguments],
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


def plain(text: str) -> str:
    text = re.sub(r"\d{8}-\d{6}-[0-9a-f]+", "ID", text)
    return re.sub(r"in [\d.]+ s, [\d,]+ a second", "in N s, N a second", text)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that is done; tests that add to it use a store of their own."""
    folder = tmp_path_factory.mktemp("recorded")
    (folder / "team.yaml").write_text(TEAM)
    assert harness(folder, "run", "team.yaml", "Where is X?", "--session", "owner").returncode == 0
    assert harness(folder, "export", "last", "-o", "run.harness").returncode == 0
    return folder


@pytest.fixture
def folder(recorded: Path, tmp_path: Path) -> Path:
    (tmp_path / "team.yaml").write_text(TEAM)
    (tmp_path / "run.harness").write_bytes((recorded / "run.harness").read_bytes())
    assert harness(tmp_path, "import", "run.harness").returncode == 0
    return tmp_path


def test_a_run_replays_exactly_from_store_and_bundle(recorded: Path):
    for reference in ("last", "run.harness"):
        done = harness(recorded, "replay", reference)
        assert (done.returncode, plain(done.stdout)) == (
            0,
            "run ID: 3 requests, byte-equal requests, every event the same\n",
        )
    assert plain(done.stderr) == "3 turns in N s, N a second\n"


def test_the_same_runs_make_the_same_bundle_and_no_path_of_the_machine_is_in_it(folder: Path):
    import gzip

    harness(folder, "export", "last", "-o", "again.harness")

    assert (folder / "again.harness").read_bytes() == (folder / "run.harness").read_bytes()
    assert str(folder).encode() not in gzip.decompress((folder / "again.harness").read_bytes())


def test_a_changed_team_is_told_from_which_turn_on_it_would_ask_otherwise(folder: Path):
    (folder / "changed.yaml").write_text(TEAM.replace("Scout.", "Scout well."))
    (folder / "harmless.yaml").write_text(TEAM.replace("name: pair", "name: couple"))

    changed = harness(folder, "replay", "run.harness", "--against", "changed.yaml")
    harmless = harness(folder, "replay", "run.harness", "--against", "harmless.yaml")

    assert changed.returncode == 1
    assert plain(changed.stdout) == snapshot("""\
run ID is not as recorded
team: agents.scout.instructions: "Scout." -> "Scout well."
lead/scout-1/turn-1: the request is not the recorded one
  entry 0 of the request (system)
    - Scout.
    + Scout well.
""")
    assert (harmless.returncode, plain(harmless.stdout).splitlines()[-1]) == (
        0,
        "run ID: 3 requests, the same requests",
    )


def test_a_tampered_journal_is_caught(folder: Path):
    with sqlite3.connect(folder / ".harness" / "journal.db") as store:
        changed = store.execute(
            "UPDATE events SET body = CAST(replace(body, 'Line 4.', 'Line 5.') AS BLOB) WHERE type = 'model_call.finished'"
        )
        assert changed.rowcount > 0

    done = harness(folder, "replay", "last", "--json")

    report = json.loads(done.stdout)
    assert (done.returncode, report["exact"]) == (1, False)
    assert report["differences"][0]["agent"] == "lead/scout-1"
    assert {"Line 5.", "Line 4."} == {report["differences"][0][side] for side in ("recorded", "now")}


@pytest.mark.parametrize("damage", [b"", b"nothing", None])
def test_a_damaged_bundle_is_refused(folder: Path, damage: bytes | None):
    whole = (folder / "run.harness").read_bytes()
    (folder / "bad.harness").write_bytes(whole[:-30] if damage is None else damage)

    for command in (("replay", "bad.harness"), ("import", "bad.harness")):
        done = harness(folder, *command)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("error: bad.harness is")
        assert "Traceback" not in done.stderr


def test_importing_twice_changes_nothing(folder: Path):
    before = harness(folder, "runs", "--json").stdout

    again = harness(folder, "import", "run.harness")

    assert (again.returncode, again.stdout, harness(folder, "runs", "--json").stdout) == (0, "", before)


def test_a_fork_with_another_model_and_what_it_differs_in(folder: Path):
    forked = harness(folder, "fork", "last", "--at", "lead/turn-2", "--set", "agents.lead.model=other", "-q")
    difference = harness(folder, "diff", "last~1", "last")

    assert (forked.returncode, forked.stdout) == (0, "X is elsewhere.\n")
    assert difference.returncode == 1
    assert re.sub(r"seconds .*", "seconds …", plain(difference.stdout)) == snapshot("""\
left   ID
right  ID
ID is a fork of ID at lead/turn-2 --set agents.lead.model=other
team   agents.lead.model: "lead" -> "other"

first divergence: lead/turn-2, reply
    - X is at line 4.
    + X is elsewhere.

outcome: 1 different
  the run answer
    - X is at line 4.
    + X is elsewhere.

windows: 1 different
  lead/entry-4 window entry
    - assistant: X is at line 4.
    + assistant: X is elsewhere.

               LEFT    RIGHT   CHANGE
agents         2       2
turns          3       3
tool calls     1       1
input tokens   1,800   1,800
output tokens  39      39
window tokens  118     118
USD            0       0
seconds …
""")
    assert harness(folder, "diff", "last", "last").returncode == 0
    assert "fork of" in harness(folder, "show", "last").stdout


def test_several_forks_report_their_spread(folder: Path):
    done = harness(folder, "fork", "last", "--at", "lead/turn-2", "--times", "3", "--json")

    spread = json.loads(done.stdout)
    assert (done.returncode, spread["stop_reasons"]) == (0, {"done": 3})
    assert spread["outputs"] == [{"output": "X is at line 4.", "times": 3}]


def test_forks_share_content_instead_of_copying_it(folder: Path):
    def contents() -> int:
        with sqlite3.connect(folder / ".harness" / "journal.db") as store:
            return store.execute("SELECT count(*) FROM content").fetchone()[0]

    before = contents()
    for _ in range(3):
        harness(folder, "fork", "last", "--at", "lead/turn-2", "-q")

    # Each fork differs in its beginning only: the team is the same, the task short.
    assert contents() <= before + 1


def test_a_fork_at_no_turn_lists_the_turns(folder: Path):
    done = harness(folder, "fork", "last", "--at", "lead/turn-7")

    assert (done.returncode, done.stdout) == (2, "")
    assert plain(done.stderr) == snapshot("""\
error: this run has no turn lead/turn-7; its turns are:
  lead/turn-1 … turn-2
  lead/scout-1/turn-1 … turn-1
""")


def test_runs_are_found_by_what_they_are(folder: Path):
    harness(folder, "run", "team.yaml", "What else?", "--set", "models.lead.script=[{say: Nothing.}]")
    harness(folder, "run", "team.yaml", "And then?", "--set", "models.lead.script=[{say: ''}]")
    harness(folder, "run", "team.yaml", "And so?", "--set", "limits.tokens=1")

    def found(*options: str) -> list[str]:
        lines = harness(folder, "runs", "--json", *options).stdout.splitlines()
        return [json.loads(line)["task"] for line in lines]

    assert found() == ["And so?", "What else?", "Where is X?"]
    assert found("--status", "limit") == ["And so?"]
    assert found("--session", "owner") == ["Where is X?"]
    assert found("--text", "NOTHING") == ["What else?"]
    assert found("--of", "nobody") == []
    assert found("--older", "1d") == []
    assert found("--newer", "1d", "--limit", "1") == ["And so?"]
    assert harness(folder, "runs", "--newer", "soon").returncode == 2


def test_pruning_forgets_what_is_asked_for_and_leaves_forks_whole(folder: Path):
    harness(folder, "fork", "last", "--at", "lead/turn-2", "-q")
    harness(folder, "run", "team.yaml", "And so?", "--set", "limits.tokens=1")

    dry = harness(folder, "prune", "--status", "done", "--keep", "2", "--dry-run")
    assert (dry.returncode, "1 run would go" in dry.stderr) == (0, True)
    pruned = harness(folder, "prune", "--status", "done", "--keep", "2")

    assert (pruned.returncode, "1 run gone" in pruned.stderr) == (0, True)
    assert len(harness(folder, "runs", "--json").stdout.splitlines()) == 2
    assert harness(folder, "replay", "last~1").returncode == 0


def test_pruning_by_size_takes_the_oldest_first(folder: Path):
    for task in ("b", "c", "d"):
        harness(folder, "run", "team.yaml", task, "-q")

    done = harness(folder, "prune", "--max-size", "1kB", "--keep", "1")

    assert done.returncode == 0
    tasks = [json.loads(line)["task"] for line in harness(folder, "runs", "--json").stdout.splitlines()]
    assert tasks == ["d"]


def test_a_run_is_written_as_one_page_and_its_path_is_printed(folder: Path):
    one = harness(folder, "view", "last")
    both = harness(folder, "view", "last", "last", "-o", "-")

    assert plain(one.stdout) == snapshot("harness-view-ID.html\n")
    assert "Where is X?" in (folder / one.stdout.strip()).read_text("utf-8")
    assert both.stdout.startswith("<!doctype html>")
    assert harness(folder, "view", "nothing").returncode == 2
    refused = harness(folder, "view", "last", "-o", "no/such/folder.html")
    assert (refused.returncode, refused.stderr) == snapshot(
        (2, "error: no/such/folder.html: there is no folder no/such\n")
    )
    (folder / "notes.json").write_text('{"a": 1}')
    assert harness(folder, "view", "notes.json").returncode == 2


def test_any_run_of_a_file_that_holds_several_is_shown(folder: Path):
    several = "".join(
        json.dumps([{"role": "user", "content": task}, {"role": "assistant", "content": "done"}]) + "\n"
        for task in ("the first task", "the second task")
    )
    (folder / "several.jsonl").write_text(several)

    first = harness(folder, "view", "several.jsonl", "-o", "-")
    second = harness(folder, "view", "several.jsonl#2", "-o", "-")
    third = harness(folder, "view", "several.jsonl#3", "-o", "-")

    assert "the first task" in first.stdout
    assert "several.jsonl#2" in first.stderr
    assert "the second task" in second.stdout
    assert second.stderr == ""
    assert (third.returncode, third.stderr) == (2, "error: several.jsonl holds no run 3\n")


def test_a_finding_is_confirmed_on_the_request_it_stands_in(folder: Path):
    report = "Wheels, sluices and sacks of flour stood by the water. " * 40
    setting = f"models.scout.script=[{{say: '{report}'}}]"
    assert harness(folder, "run", "team.yaml", "Where is X?", "--set", setting, "-q").returncode == 0
    confirming = ("diagnose", "last", "--confirm", "--live", "--detector", "report-bloat")

    shown = harness(folder, *confirming)
    view = json.loads(harness(folder, *confirming, "--json").stdout)

    assert (shown.returncode, plain(shown.stdout)) == snapshot(
        (
            0,
            """\
run ID: 1 of 1 finding confirmed
  info    report-bloat  lead/turn-1/0  461b5b3dc0575407
          the report of lead/scout-1 took 551 tokens, and 0% of what it says was used
          without it: 1 × report:lead/scout-1 left out
          lead/turn-2: 1,306 tokens ($0.00) -> 762 tokens ($0.00)
          saves 544 tokens ($0.00) in 1 request
          the finding's cost: 551 said, 551 measured
          did:       X is at line 4.
          would do:  X is at line 4.  (762 tokens, $0.00)
  the model answered 1 time: $0.00

""",
        )
    )
    (found,) = view["findings"]
    assert view["type"] == "confirmation"
    assert found["recorded"]["tokens"] - found["changed"]["tokens"] == found["saved"]["tokens"]
    assert found["finding"]["fingerprint"] in shown.stdout
    assert found["asked"]["reply"]["parts"][0]["text"] == "X is at line 4."
