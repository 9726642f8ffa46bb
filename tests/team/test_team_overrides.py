from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from harness.errors import Problem
from harness.team import Team

Parse = Callable[..., Team]
Problems = Callable[..., Sequence[Problem]]
TEXT = """\
harness: 1
name: demo
entry: lead
servers:
  corpus: {module: toolservers.corpus, args: {root: ./docs}}
agents:
  lead: {instructions: Answer., tools: [corpus.read, corpus.search], delegates: [scout]}
  scout: {use: scout}
"""


def test_a_value_is_read_as_yaml(parse: Parse):
    team = parse(
        TEXT, "limits.tokens=2M", "limits.usd=0.5", "agents.lead.tools=[corpus]", "description='1.0'"
    )

    assert (team.spec.limits.tokens, team.spec.limits.usd) == (2_000_000, 0.5)
    assert team.spec.agents["lead"].tools == ["corpus"]
    assert team.spec.description == "1.0"


def test_missing_mappings_are_created(parse: Parse):
    assert parse(TEXT, "models.big.api=offline", "models.default={api: offline}").spec.models.keys() == {
        "big",
        "default",
    }


def test_an_item_of_a_list_is_set_by_its_number_and_one_may_be_added(parse: Parse):
    team = parse(TEXT, "agents.lead.tools.0=corpus.list", "agents.lead.tools.2=corpus.find")

    assert team.spec.agents["lead"].tools == ["corpus.list", "corpus.search", "corpus.find"]


def test_an_override_reaches_into_a_ready_agent(parse: Parse):
    team = parse(TEXT, "agents.scout.report.max_tokens=99", "agents.scout.instructions=Scout.")

    assert team.spec.agents["scout"].report.max_tokens == 99
    assert team.spec.agents["scout"].instructions == "Scout."


def test_an_override_may_choose_another_ready_agent(parse: Parse):
    assert parse(TEXT, "agents.scout.use=editor").spec.agents["scout"].description == "Edits the answer."


def test_instructions_may_be_taken_from_a_file_instead(parse: Parse, tmp_path: Path):
    (tmp_path / "lead.md").write_text("From the file.")

    team = parse(TEXT, f"agents.lead.instructions_file={tmp_path / 'lead.md'}")

    assert team.spec.agents["lead"].instructions == "From the file."


@pytest.mark.parametrize("typed", ["./notes", "../notes", "."])
def test_a_path_means_the_directory_of_the_person_who_types_it(
    typed: str, parse: Parse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)

    team = parse(TEXT, f"mcpServers.corpus.args.root={typed}")

    assert team.spec.mcpServers["corpus"].args == {"root": str((here / typed).resolve())}


def test_servers_may_be_called_by_either_name(parse: Parse):
    assert parse(TEXT, "servers.corpus.scope=run").spec.mcpServers["corpus"].scope == "run"


def test_variables_work_in_overrides(parse: Parse):
    assert parse(TEXT, "limits.turns=${TURNS}", TURNS="7").spec.limits.turns == 7


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("limits", "this is not KEY=VALUE"),
        ("=3", "this is not KEY=VALUE"),
        ("a..b=3", "this is not KEY=VALUE"),
        ("limits.turns=", "there is no value after '='"),
        ("limits.turns=[1", "this '[' is never closed"),
        ("agents.lead.tools.7=x", "'agents.lead.tools' is a list of 2 and has no '7'"),
        ("agents.lead.tools.last=x", "'agents.lead.tools' is a list of 2 and has no 'last'"),
        ("name.first=x", "'name' is a single value and has no 'first'"),
        ("agents.lead.tools=*all", "aliases are not allowed: *all"),
        (".".join("a" * 100) + "=1", "the key has more than 64 parts"),
    ],
)
def test_a_malformed_override_is_refused_by_name(override: str, message: str, problems: Problems):
    (problem,) = problems(TEXT, override)

    assert problem.message == message
    assert problem.file == f"--set {override}"


def test_an_override_is_part_of_source_and_digest(parse: Parse):
    plain, changed = parse(TEXT), parse(TEXT, "limits.turns=3")

    assert changed.source["limits"] == {"turns": 3}
    assert changed.digest != plain.digest
