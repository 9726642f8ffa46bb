from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import TeamError
from harness.team import Team, agent_library, load_team

Parse = Callable[..., Team]


def team_with(lead: str) -> str:
    return f"harness: 1\nname: demo\nentry: lead\nagents:\n  lead: {lead}\n"


def test_what_stands_beside_use_overrides_the_ready_agent(parse: Parse):
    lead = parse(team_with("{use: scout, report: {schema: {type: object}}, limits: {turns: 3}}")).spec.agents[
        "lead"
    ]

    assert lead.description == "Looks for sources."
    assert (lead.report.max_tokens, lead.report.json_schema) == (800, {"type": "object"})
    assert (lead.limits.turns, lead.limits.tokens) == (3, 100_000)


def test_use_leaves_no_trace_in_the_source(parse: Parse):
    assert "use" not in parse(team_with("{use: scout}")).source["agents"]["lead"]


def test_a_ready_agent_may_build_on_another_and_read_its_own_files(parse: Parse):
    lead = parse(team_with("{use: editor}")).spec.agents["lead"]

    assert lead.instructions == "Edit the answer.\nKeep ${this} as it is.\n"
    assert lead.limits.turns == 12


def test_new_instructions_replace_a_file_and_the_other_way_round(parse: Parse, tmp_path: Path):
    (tmp_path / "mine.md").write_text("Mine.")

    assert (
        parse(team_with("{use: editor, instructions: Short.}")).spec.agents["lead"].instructions == "Short."
    )
    assert (
        parse(team_with("{use: scout, instructions_file: mine.md}")).spec.agents["lead"].instructions
        == "Mine."
    )


def test_instructions_files_are_relative_to_the_team_file(tmp_path: Path):
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "lead.md").write_text("Lead well.")
    file = tmp_path / "team.yaml"
    file.write_text(team_with("{instructions_file: prompts/lead.md}"))

    assert load_team(file).spec.agents["lead"].instructions == "Lead well."


def test_a_fault_in_a_ready_agent_is_shown_in_its_own_file(parse: Parse, library: dict[str, Path]):
    with pytest.raises(TeamError) as caught:
        parse(team_with("{use: broken}"))

    assert caught.value.problems[0].file == str(library["broken"])


def test_an_unreadable_ready_agent_is_reported_where_it_is_used(
    tmp_path: Path, parse: Parse, library: dict[str, Path]
):
    library["gone"] = tmp_path / "gone.yaml"

    with pytest.raises(TeamError, match="the ready agent cannot be read: no such file"):
        parse(team_with("{use: gone}"))


def test_every_ready_agent_of_the_library_loads(parse: Parse, library: dict[str, Path]):
    library.clear()
    library.update(agent_library())

    for name in library:
        assert parse(team_with(f"{{use: {name}, tools: [], delegates: []}}")).spec.agents["lead"].instructions
