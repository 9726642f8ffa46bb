"""Tool servers that the program hands in, beside those of the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import TeamError
from harness.team import load_team, parse_team, restore_team

TEXT = """\
harness: 1
name: demo
entry: lead
agents:
  lead: {instructions: Answer., tools: [desk.read, "desk.w*", files]}
mcpServers: {files: {command: c}}
permissions: [{tool: desk.write, allow: no}]
"""


def test_the_file_may_use_servers_that_the_program_hands_in(tmp_path: Path):
    (tmp_path / "team.yaml").write_text(TEXT)

    loaded = load_team(tmp_path / "team.yaml", environment={}, servers=["desk"])
    parsed = parse_team(TEXT, base=tmp_path, environment={}, servers=["desk"])

    assert loaded.spec == parsed.spec
    assert parsed.spec.agents["lead"].tools == ["desk.read", "desk.w*", "files"]
    assert list(parsed.spec.mcpServers) == ["files"]


def test_a_server_that_nobody_has_is_an_error_that_names_the_ones_there_are(tmp_path: Path):
    with pytest.raises(TeamError) as caught:
        parse_team(TEXT, base=tmp_path, environment={}, servers=["disk"])

    assert {(p.message, p.hint) for p in caught.value.problems} == {
        ("there is no server 'desk'", "did you mean 'disk'?")
    }
    assert len(caught.value.problems) == 3


def test_a_restored_team_that_is_to_run_needs_its_servers_again(tmp_path: Path):
    team = parse_team(TEXT, base=tmp_path, environment={}, servers=["desk"])

    assert restore_team(team.source, base=tmp_path, environment={}, servers=["desk"]) == team
    with pytest.raises(TeamError, match="there is no server 'desk'"):
        restore_team(team.source, base=tmp_path, environment={})


def test_a_restored_team_that_is_not_to_run_needs_none_but_new_names_must_be_known(tmp_path: Path):
    team = parse_team(TEXT, base=tmp_path, environment={}, servers=["desk"])

    assert restore_team(team.source, base=tmp_path, environment={}, remembered={}) == team
    with pytest.raises(TeamError, match="there is no server 'web'"):
        restore_team(
            team.source, base=tmp_path, overrides=["agents.lead.tools.0=web"], environment={}, remembered={}
        )
