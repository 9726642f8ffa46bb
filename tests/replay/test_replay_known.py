"""Runs that everybody has: the examples', and the golden journals of every format."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.replay.elsewhere import ReplayElsewhere

REPOSITORY = Path(__file__).resolve().parents[2]
GOLDEN = sorted((REPOSITORY / "tests" / "journal" / "golden").glob("format-*.db"))


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda path: path.stem)
def test_journals_of_every_format_replay_exactly(
    golden: Path, tmp_path: Path, replay_elsewhere: ReplayElsewhere
):
    copy = tmp_path / golden.name
    copy.write_bytes(golden.read_bytes())

    replays = replay_elsewhere(copy, times=2)

    assert [run["wrong"] + run["missing"] for run in replays.runs if not run["exact"]] == []
    assert len(replays.runs) >= 6


@pytest.mark.parametrize("example", ["deep_research/team.yaml", "service/team.yaml"])
def test_runs_of_the_examples_replay_exactly(example: str, tmp_path: Path, replay_elsewhere: ReplayElsewhere):
    team = REPOSITORY / "examples" / example
    store = tmp_path / "runs.db"
    ran = subprocess.run(
        [sys.executable, "-m", "harness", "run", str(team), "How long does a refund take?", "--quiet"]
        + ["--store", str(store)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )
    assert ran.returncode == 0, ran.stderr

    replays = replay_elsewhere(store, times=2)

    assert replays.faults == []
    assert len(replays.runs) == 2
