"""`harness models`, `--model`, and what `harness check` takes for granted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness import open as open_harness
from harness import run_sync
from harness.errors import UsageError
from harness.team import load_team
from tests.models.server import answer, fault_server

TEAM = """\
harness: 1
name: pair
entry: lead
models: {default: anthropic/claude-sonnet-4-5, quiet: {api: scripted, script: [{say: Here.}]}}
agents:
  lead: {instructions: Lead., delegates: [scout]}
  scout: {instructions: Scout., model: openai/gpt-5.2}
"""


def harness(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user without any key would."""
    bare = {name: value for name, value in os.environ.items() if not name.endswith(("_API_KEY", "_BASE_URL"))}
    return subprocess.run(
        [sys.executable, "-m", "harness", *arguments],
        cwd=cwd,
        env={**bare, "NO_COLOR": "1", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "team.yaml").write_text(TEAM)
    return tmp_path


def test_run_takes_another_model_for_every_agent(folder: Path):
    done = harness("run", "team.yaml", "Where?", "--model", "quiet", cwd=folder)

    assert (done.returncode, done.stdout) == (0, "Here.\n")


def test_without_its_key_a_model_is_refused_by_the_name_of_the_variable(folder: Path):
    done = harness("run", "team.yaml", "Where?", "--model", "deepseek/deepseek-v4-pro", cwd=folder)

    assert done.returncode == 2
    assert "--model deepseek/deepseek-v4-pro: the variable DEEPSEEK_API_KEY is not set" in done.stderr


def test_serve_and_check_take_it_too(folder: Path):
    assert "olama" in harness("serve", "team.yaml", "--model", "olama/x", cwd=folder).stderr
    done = harness("check", "team.yaml", "--model", "vllm/Qwen/Qwen3-8B", cwd=folder)

    assert done.returncode == 0, done.stderr
    assert "model default: Qwen/Qwen3-8B (vllm): 40,960 tokens, price unknown" in done.stdout


def test_check_says_what_is_assumed_of_a_model_nobody_knows(folder: Path):
    told = harness("check", "team.yaml", "--model", "vllm/my-own", cwd=folder).stdout
    as_json = harness("check", "team.yaml", "--model", "vllm/my-own", "--json", cwd=folder).stdout

    assumed = (
        "the model my-own is of no known family: its context window is unknown, its price is unknown, "
        "it is taken to think as its server has it"
    )
    assert assumed in told
    assert json.loads(as_json)["models"]["default"]["assumed"] == [assumed]


def test_a_profile_in_the_team_file_says_what_such_a_model_is_like(folder: Path):
    profile = (
        "models.own={provider: vllm, model: my-own, context_window: 8k, "
        "profile: {like: qwen3, thinking: {always: true}}}"
    )
    told = json.loads(
        harness("check", "team.yaml", "--set", profile, "--model", "own", "--json", cwd=folder).stdout
    )
    wrong = harness(
        "check", "team.yaml", "--set", profile.replace("qwen3", "qwen33"), "--model", "own", cwd=folder
    )

    assert told["models"]["own"]["assumed"] == []
    assert told["models"]["own"]["context_window"] == 8_000
    assert told["models"]["own"]["thinking"]["off"]["enforcement"] == "refused"
    assert wrong.returncode == 2
    assert "did you mean 'qwen3'?" in wrong.stderr


def test_models_lists_providers_and_whether_their_keys_are_there(tmp_path: Path):
    rows = json.loads(harness("models", "--json", cwd=tmp_path, MOONSHOT_API_KEY="0123456789").stdout)
    by_name = {row["provider"]: row for row in rows}

    assert by_name["kimi"]["key_set"]
    assert not by_name["deepseek"]["key_set"]
    assert not by_name["vllm"]["needs_key"]
    assert "0123456789" not in str(rows)


def test_models_tells_what_is_known_of_one(tmp_path: Path):
    done = harness("models", "vllm/Qwen/Qwen3-8B", cwd=tmp_path)

    assert done.stdout.startswith("Qwen/Qwen3-8B (vllm): 40,960 tokens, price unknown\n  thinking off: hard")
    assert harness("models", "vlm/x", cwd=tmp_path).returncode == 2


def test_from_python_a_model_is_chosen_the_same_way(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    result = run_sync(folder / "team.yaml", "Where?", model="quiet", store=":memory:")

    assert result.output == "Here."
    team = load_team(folder / "team.yaml", overrides=["model=quiet"])
    with pytest.raises(UsageError, match="loaded already"):
        run_sync(team, "Where?", model="quiet", store=":memory:")


@pytest.mark.anyio
async def test_a_refused_key_of_a_model_in_one_line_is_called_by_its_usual_variable(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    refusal = answer({"error": {"type": "authentication_error", "message": "bad key"}}, status=401)
    async with fault_server(refusal) as server:
        monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-test-0123456789")
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.base_url)
        team = load_team(folder / "team.yaml", overrides=["model=anthropic/claude-sonnet-4-5"])
        async with open_harness(team, store=":memory:") as opened:
            result = await opened.run("Where?")

    assert result.error.endswith("its key came from the variable ANTHROPIC_API_KEY")
