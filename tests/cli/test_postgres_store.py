"""The commands over a PostgreSQL store, which several processes share."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_people import DESK, TEAM, harness, world


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "team.yaml").write_text(TEAM)
    (tmp_path / "paydesk.py").write_text(DESK)
    return tmp_path


def test_a_run_waits_goes_on_replays_forks_and_goes_in_one_shared_store(folder: Path, postgres: str):
    store = ("--store", postgres)

    assert harness(folder, "run", "team.yaml", "Pay the bill.", *store).returncode == 5
    assert world(folder) == ""
    approved = harness(folder, "approve", "last", *store)
    assert (approved.returncode, approved.stdout, world(folder)) == (0, "All is paid.\n", "paid 3\n")
    assert harness(folder, "approve", "last", *store).returncode == 2
    assert harness(folder, "replay", "last", *store).returncode == 0

    forked = harness(folder, "fork", "last", "--at", "lead/turn-2", "-q", *store)
    assert (forked.returncode, world(folder)) == (0, "paid 3\n")
    assert harness(folder, "diff", "last~1", "last", *store).returncode == 0
    listed = [json.loads(line) for line in harness(folder, "runs", "--json", *store).stdout.splitlines()]
    assert [run["stop_reason"] for run in listed] == ["done", "done"]

    assert harness(folder, "export", "last", "-o", "run.harness", *store).returncode == 0
    assert harness(folder, "prune", *store).returncode == 0
    assert harness(folder, "runs", *store).stdout == ""
    assert harness(folder, "import", "run.harness", *store).returncode == 0
    assert harness(folder, "replay", "last", *store).returncode == 0


def test_a_store_that_does_not_answer_is_named_without_its_password(folder: Path):
    for command in ("runs", "doctor"):
        done = harness(folder, command, "--store", "postgresql://owner:secret@127.0.0.1:9/runs")

        said = done.stdout + done.stderr
        assert done.returncode in (1, 2, 3)
        assert "secret" not in said
        assert "127.0.0.1" in said
        assert "Traceback" not in said
