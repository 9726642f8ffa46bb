"""The law of replay: whatever happened in a run happens again from its record, byte for byte."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from harness.journal import open_journal
from tests.replay.scenes import play

REPOSITORY = Path(__file__).resolve().parents[2]
GOLDEN = sorted((REPOSITORY / "tests" / "journal" / "golden").glob("format-*.db"))

SCENES = 500
TURNS_A_SECOND = 1200
"""Per second of CPU time; about half of what a machine without other load gives."""


def replayed(store: Path) -> list[dict[str, Any]]:
    """Replay a store twice in a fresh process that has no network."""
    command = [sys.executable, "-m", "tests.replay.replaying_process", str(store)]
    if subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode == 0:
        command = ["unshare", "-n", *command]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.timeout(600)
def test_five_hundred_random_runs_happen_again_twice_without_a_network(tmp_path: Path):
    async def play_all() -> int:
        journal = open_journal(tmp_path / "runs.db", write=True)
        runs = 0
        for seed in range(SCENES):
            scene = await play(seed)
            for summary in scene.journal.runs():
                journal.append(scene.recorded(summary.run_id))
                runs += 1
        await journal.close()
        return runs

    runs = anyio.run(play_all)
    first, second = replayed(tmp_path / "runs.db")

    rate = second["turns"] / second["seconds"]
    print(f"{runs} runs, {second['turns']} turns, {rate:,.0f} turns a CPU second")
    assert (first["faults"], second["faults"]) == ([], [])
    assert (first["runs"], second["runs"]) == (runs, runs)
    assert runs >= SCENES
    assert rate > TURNS_A_SECOND


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda path: path.stem)
def test_journals_of_every_format_replay_exactly(golden: Path, tmp_path: Path):
    copy = tmp_path / golden.name
    copy.write_bytes(golden.read_bytes())

    assert [one["faults"] for one in replayed(copy)] == [[], []]


@pytest.mark.parametrize("example", ["deep_research/team.yaml", "service/team.yaml"])
def test_runs_of_the_examples_replay_exactly(example: str, tmp_path: Path):
    team = REPOSITORY / "examples" / example
    ran = subprocess.run(
        [sys.executable, "-m", "harness", "run", str(team), "How long does a refund take?", "--quiet"]
        + ["--store", str(tmp_path / "runs")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )
    assert ran.returncode == 0, ran.stderr

    assert [(one["runs"], one["faults"]) for one in replayed(tmp_path / "runs")] == [(1, []), (1, [])]
