from __future__ import annotations

from pathlib import Path

import pytest

from harness.team import (
    AgentSpec,
    ConditionSpec,
    ModelSpec,
    PermissionSpec,
    ServeSpec,
    Team,
    TeamSpec,
    load_team,
    parse_team,
    starter_team,
)

GOOD = Path(__file__).parent / "good"


def load(name: str, library: dict[str, Path]) -> Team:
    return load_team(GOOD / f"{name}.yaml", library=library, environment={"API_KEY": "sk-from-environment"})


def test_a_block_pasted_from_claude_desktop_loads_as_it_is(library: dict[str, Path]):
    team = load("claude_desktop", library)

    servers = team.spec.mcpServers
    assert servers["filesystem"].args == ["-y", "@modelcontextprotocol/server-filesystem@2026.8.31", "/tmp"]
    assert servers["github"].env == {"GITHUB_PERSONAL_ACCESS_TOKEN": "ghp_written_out_here"}
    assert servers["remote"].url == "https://api.example.com/mcp"
    assert servers["remote"].headers["Authorization"].get_secret_value() == "Bearer sk-from-environment"
    assert "autoApprove" not in team.source["mcpServers"]["github"]


def test_a_block_pasted_from_cursor_loads_as_it_is(library: dict[str, Path]):
    server = load("cursor", library).spec.mcpServers["server-name"]

    assert server.args == [f"{GOOD.resolve()}/mcp-server.py"]
    assert server.env == {"API_KEY": "sk-from-environment"}
    assert server.envFile == f"{GOOD.resolve()}/.env"


def test_a_block_pasted_from_vs_code_loads_as_it_is(library: dict[str, Path]):
    servers = load("vscode", library).spec.mcpServers

    assert servers["github"].headers["Authorization"].get_secret_value() == "Bearer sk-from-environment"
    assert servers["playwright"].command == "npx"


def test_a_file_that_uses_everything_loads(library: dict[str, Path]):
    spec = load("full", library).spec

    qwen, researcher, critic = spec.models["qwen"], spec.agents["researcher"], spec.agents["critic"]
    assert (qwen.max_tokens, qwen.context_window, qwen.retries) == (4_000, 128_000, 2)
    assert qwen.base_url == "http://127.0.0.1:8000/v1"
    assert spec.limits.tokens == 500_000
    assert spec.agents["lead"].instructions == "Plan the research.\nA literal ${VARIABLE} stays.\n"
    assert (researcher.report.max_tokens, researcher.limits.turns) == (400, 12)
    assert critic.model == "default"
    assert [rule.allow for rule in spec.permissions] == ["no", "ask", "yes", "yes"]
    assert spec.models["script"].script is not None
    assert spec.models["script"].script[0].calls[0].arguments == {"query": "x"}


def test_short_forms_of_a_rule_are_read_as_what_they_stand_for(library: dict[str, Path]):
    _, asking, reading, _ = load("full", library).spec.permissions

    assert (asking.effect, reading.effect) == (["keyed", "once"], ["read"])
    assert asking.expires == 24 * 3600
    assert asking.when == {
        "project": ConditionSpec.model_validate({"is": ["infra"]}),
        "to.address": ConditionSpec.model_validate(
            {"is": ["*@example.com", "*@example.org"], "not": ["root@*"]}
        ),
        "items.0.amount": ConditionSpec.model_validate({"above": 100, "below": 5000}),
        "labels": ConditionSpec.model_validate({"is": ["urgent", 1]}),
        "draft": ConditionSpec.model_validate({"is": [False]}),
    }


@pytest.mark.parametrize(
    ("written", "seconds"), [("90s", 90), ("30m", 1_800), ("1.5 h", 5_400), ("24h", 86_400), ("3d", 259_200)]
)
def test_a_time_is_a_number_with_its_unit(written: str, seconds: float):
    assert PermissionSpec.model_validate({"tool": "*", "allow": "ask", "expires": written}).expires == seconds


@pytest.mark.parametrize(
    ("written", "size"),
    [(100, 100), ("100B", 100), ("1.5kB", 1_500), ("512 KB", 512_000), ("2MB", 2_000_000), ("1KiB", 1_024), ("1GiB", 1 << 30)],
)  # fmt: skip
def test_a_size_is_a_number_with_its_unit(written: str | int, size: int):
    assert ServeSpec.model_validate({"max_body": written}).max_body == size


def test_only_the_entry_agent_is_served_unless_the_file_says_more(library: dict[str, Path]):
    spec, silent = load("full", library).spec, load("cursor", library).spec

    assert (spec.exposed, silent.exposed) == (["lead", "critic"], ["lead"])
    assert (spec.serve.max_concurrent, spec.serve.requests_per_minute) == (4, 60)
    assert (spec.serve.max_body, silent.serve.max_body) == (512_000, 10_000_000)


def test_a_minimal_file_runs_offline(tmp_path: Path):
    team = parse_team(
        "{harness: 1, name: x, entry: a, agents: {a: {instructions: Hi.}}}", base=tmp_path, environment={}
    )

    assert team.spec == TeamSpec(
        harness=1,
        name="x",
        entry="a",
        models={"default": ModelSpec(api="offline")},
        agents={"a": AgentSpec(instructions="Hi.", model="default")},
    )
    assert (team.path, team.base, team.secrets) == (None, tmp_path, frozenset())


def test_the_only_model_is_the_default(tmp_path: Path):
    text = (
        "{harness: 1, name: x, entry: a, models: {small: {api: offline}}, agents: {a: {instructions: Hi.}}}"
    )

    assert parse_team(text, base=tmp_path).spec.agents["a"].model == "small"


def test_a_loaded_team_knows_where_it_came_from(library: dict[str, Path]):
    team = load("full", library)

    assert team.path == (GOOD / "full.yaml").resolve()
    assert team.base == GOOD.resolve()


def test_the_starter_needs_nothing_but_its_ready_agents(tmp_path: Path):
    team = parse_team(starter_team(), base=tmp_path, environment={})

    assert starter_team().startswith("# yaml-language-server: $schema=")
    assert team.spec.agents["lead"].delegates == ["researcher", "critic", "writer"]
    assert team.spec.agents["lead"].output.citations == "required"
    assert team.spec.mcpServers["corpus"].args == {"root": "."}


def test_the_commented_lines_of_the_starter_work_too(tmp_path: Path, library: dict[str, Path]):
    text = starter_team().replace("  default: {api: offline} ", "  # ")
    for line in (
        "default:",
        "  api:",
        "  base_url:",
        "  api_key:",
        "  model:",
        "  context_window:",
        "files:",
    ):
        text = text.replace(f"  # {line}", f"  {line}")
    text = text.replace("use: orchestrator", "use: scout").replace("use: researcher", "use: scout")
    text = text.replace("use: critic", "use: scout").replace("use: writer", "use: scout")

    spec = parse_team(text, base=tmp_path, environment={}, library=library).spec

    assert spec.models["default"].api == "openai-chat"
    assert spec.models["default"].context_window == 32_000
    assert spec.mcpServers["files"].args == ["-y", "@modelcontextprotocol/server-filesystem", str(tmp_path)]
