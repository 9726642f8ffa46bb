"""The pytest plugin, as the tests of a team use it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import harness
from harness.journal import open_journal
from harness.replay.bundle import write_bundle

pytest_plugins = ["pytester"]

TEAM = """\
harness: 1
name: tested
entry: lead
models:
  lead: {api: scripted, script: [{calls: [{tool: delegate, arguments: {agent: scout, objective: Find X., expected_output: "", sources: "", boundaries: ""}}]}, {say: Found.}]}
  default: {api: scripted, script: [{say: It is there.}]}
agents:
  lead: {instructions: Lead., model: lead, delegates: [scout]}
  scout: {instructions: Scout.}
"""

TEST = """\
def test_team(replay, harness_bundle):
    runs = replay(harness_bundle, against="team.yaml")
    assert [run.replay.requests for run in runs] == [3]
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project with a team and two bundles of it."""
    pytester.makefile(".yaml", team=TEAM)
    for name in ("tests/good", "tests/deeper/better"):
        store = pytester.path / f"{name.replace('/', '-')}.db"
        result = harness.run_sync(pytester.path / "team.yaml", "Where is X?", store=store)
        (pytester.path / name).parent.mkdir(parents=True, exist_ok=True)
        write_bundle(open_journal(store, write=False), [result.run_id], pytester.path / f"{name}.harness")
    return pytester


def outcomes(ran: pytest.RunResult) -> dict[str, int]:
    return ran.parseoutcomes()


def test_a_test_replays_every_bundle_against_the_team_file(project: pytest.Pytester):
    project.makepyfile(TEST)

    ran = project.runpytest("-v", "-p", "no:cacheprovider")

    assert outcomes(ran) == {"passed": 2}
    ran.stdout.fnmatch_lines(["*::test_team[[]deeper/better] PASSED*", "*::test_team[[]good] PASSED*"])


def test_a_changed_team_fails_the_test_with_what_differs(project: pytest.Pytester):
    project.makepyfile(TEST)
    project.makefile(".yaml", team=TEAM.replace("Scout.", "Scout about."))

    ran = project.runpytest("-p", "no:cacheprovider")

    assert outcomes(ran) == {"failed": 2}
    ran.stdout.fnmatch_lines(
        [
            "*good.harness: 1 of 1 runs",
            "run * is not as recorded",
            'team: agents.scout.instructions: "Scout." -> "Scout about."',
            "lead/scout-1/turn-1: the request is not the recorded one",
            "  entry 0 of the request (system)",
            "    - Scout.",
            "    + Scout about.",
        ]
    )
    ran.stdout.no_fnmatch_line("*def test_team*")


def test_without_a_team_file_everything_must_be_as_recorded(project: pytest.Pytester):
    project.makepyfile('def test_run(replay):\n    assert replay("tests/good.harness")[0].exact')

    assert outcomes(project.runpytest("-p", "no:cacheprovider")) == {"passed": 1}


def test_a_bundle_is_found_from_wherever_the_tests_are_run(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
):
    project.makepyfile('def test_run(replay):\n    replay("deeper/better.harness", against="team.yaml")')
    monkeypatch.chdir(project.path / "tests")

    ran = project.runpytest(f"--rootdir={project.path}", str(project.path), "-p", "no:cacheprovider")

    assert outcomes(ran) == {"passed": 1}


@pytest.mark.parametrize("place", ["the command line", "the configuration"])
def test_bundles_may_live_in_another_folder(project: pytest.Pytester, place: str):
    project.makepyfile(TEST)
    if place == "the configuration":
        project.makeini("[pytest]\nharness_bundles = tests/deeper")
    options = ["--harness-bundles=tests/deeper"] if place == "the command line" else []

    assert outcomes(project.runpytest("-p", "no:cacheprovider", *options)) == {"passed": 1}


def test_where_there_are_no_bundles_the_test_is_skipped(project: pytest.Pytester):
    project.makepyfile(TEST)

    ran = project.runpytest("-p", "no:cacheprovider", "--harness-bundles=nowhere")

    assert outcomes(ran) == {"skipped": 1}


def test_a_bundle_that_cannot_be_read_fails_the_test_with_the_reason(project: pytest.Pytester):
    project.makepyfile(TEST)
    (project.path / "tests" / "good.harness").write_bytes(b"not a bundle")
    (project.path / "tests" / "deeper" / "better.harness").unlink()

    ran = project.runpytest("-p", "no:cacheprovider")

    assert outcomes(ran) == {"failed": 1}
    ran.stdout.fnmatch_lines(["*good.harness is not a bundle, or is damaged*"])


def test_an_async_test_may_replay_too(project: pytest.Pytester):
    project.makepyfile(
        """
        import pytest

        @pytest.mark.anyio
        async def test_run(replay):
            assert replay("good.harness")[0].exact

        @pytest.fixture
        def anyio_backend():
            return "asyncio"
        """
    )

    assert outcomes(project.runpytest("-p", "no:cacheprovider")) == {"passed": 1}


def test_the_plugin_costs_nothing_where_it_is_not_used(tmp_path: Path):
    (tmp_path / "test_nothing.py").write_text("def test_nothing(): pass\n")
    code = (
        "import sys, pytest\n"
        "assert pytest.main(['-q', '-p', 'no:cacheprovider']) == 0\n"
        "print(sorted(name for name in sys.modules if name.startswith('harness')))\n"
    )
    packages = str(Path(harness.__file__).parent.parent)

    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": packages},
        capture_output=True,
        text=True,
        check=True,
    )

    assert ran.stdout.splitlines()[-1] == "['harness', 'harness.pytest_plugin']"
