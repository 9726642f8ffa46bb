from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from harness.errors import Problem, TeamError
from harness.team import Team, restore_team

Parse = Callable[..., Team]
Problems = Callable[..., Sequence[Problem]]
HEAD = "harness: 1\nname: demo\nentry: lead\nagents:\n  lead:\n    instructions: "


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("${CITY}", "Bern"),
        ("${env:CITY}", "Bern"),
        ("in ${CITY}, ${CITY}", "in Bern, Bern"),
        ("${TOWN:-Thun}", "Thun"),
        ("${EMPTY:-Thun}", "Thun"),
        ("${CITY:-Thun}", "Bern"),
        ("x${EMPTY}", "x"),
        ("${TOWN:-}x", "x"),
        ("${input:the-city}", "Basel"),
        ("$${CITY}", "${CITY}"),
        ("$CITY costs $5", "$CITY costs $5"),
        ("'${TOWN:-a: b}'", "a: b"),
        ("${userHome}", str(Path.home())),
    ],
)
def test_variables_in_text(written: str, meant: str, parse: Parse):
    team = parse(HEAD + written, CITY="Bern", EMPTY="", THE_CITY="Basel")

    assert team.spec.agents["lead"].instructions == meant


def test_the_workspace_is_the_directory_of_the_file(parse: Parse, tmp_path: Path):
    assert parse(HEAD + "${workspaceFolder}/x").spec.agents["lead"].instructions == f"{tmp_path}/x"


def test_a_variable_is_not_looked_into_again(parse: Parse):
    assert parse(HEAD + "${OUTER}", OUTER="${INNER}").spec.agents["lead"].instructions == "${INNER}"


def test_filled_in_text_becomes_a_number_only_where_one_is_wanted(parse: Parse):
    text = HEAD + "x\n    limits: {turns: '${N}', tokens: '${T}', usd: '${N}'}\n"
    text += "mcpServers: {a: {module: m, args: {n: '${N}'}, required: '${YES}'}, b: {command: c, args: ['${N}']}}\n"

    spec = parse(text, N="5", T="10k", YES="true").spec

    assert (spec.agents["lead"].limits.turns, spec.agents["lead"].limits.tokens) == (5, 10_000)
    assert spec.agents["lead"].limits.usd == 5
    assert spec.mcpServers["a"].required is True
    assert spec.mcpServers["a"].args == {"n": "5"}
    assert spec.mcpServers["b"].args == ["5"]


def test_an_empty_variable_is_nothing_where_a_number_may_be_left_out(parse: Parse):
    assert parse(HEAD + "x\n    limits: {turns: '${N:-}'}\n").spec.agents["lead"].limits.turns is None


def test_a_wrong_value_from_a_variable_is_not_shown(problems: Problems):
    (problem,) = problems(HEAD + "x\n    limits: {turns: '${N}'}\n", N="sk-secret")

    assert problem.message == "agents.lead.limits.turns: expected a whole number, got text from a variable"


def test_secrets_are_what_the_environment_gave(parse: Parse):
    text = (
        HEAD
        + "x\nmodels: {default: {api: openai-chat, model: m, api_key: '${KEY}', headers: {A: 'Bearer ${TOKEN}'}}}\n"
    )
    text += "limits: {turns: '${SHORT}', usd: '${LONG_DEFAULT:-1000000}'}\n"

    team = parse(text, KEY="sk-123456", TOKEN="tok-abcdef", SHORT="5")

    assert team.secrets == {"sk-123456", "tok-abcdef"}


def test_the_source_keeps_variables_and_no_secrets(parse: Parse):
    text = (
        HEAD
        + "x\nmodels: {default: {api: openai-chat, model: m, api_key: sk-written-out, headers: {X-Api-Key: '${KEY}'}}}\n"
    )
    text += "mcpServers: {a: {url: 'https://x/mcp', headers: {Authorization: Bearer abcdefgh, Accept: text/html}}}\n"

    team = parse(text, KEY="sk-123456")

    assert team.source["models"]["default"]["api_key"] == "${MODELS_DEFAULT_API_KEY}"
    assert team.source["models"]["default"]["headers"] == {"X-Api-Key": "${KEY}"}
    assert team.source["mcpServers"]["a"]["headers"]["Accept"] == "text/html"
    assert team.secrets == {"sk-written-out", "sk-123456", "Bearer abcdefgh", "abcdefgh"}
    assert not any(secret in repr((team.source, team.spec)) for secret in team.secrets)


def test_the_digest_does_not_depend_on_the_environment(parse: Parse):
    assert parse(HEAD + "${X}", X="a").digest == parse(HEAD + "${X}", X="b").digest
    assert len(parse(HEAD + "x").digest) == 32


def test_a_team_is_restored_from_its_source(parse: Parse, tmp_path: Path, library: dict[str, Path]):
    text = HEAD + "'$${x} ${CITY}'\n  other: {use: editor}\n"
    team = parse(text, CITY="Bern")

    again = restore_team(team.source, base=tmp_path, environment={"CITY": "Bern"})
    changed = restore_team(
        team.source, base=tmp_path, overrides=["limits.turns=3"], environment={"CITY": "Bern"}
    )

    assert again == team
    assert changed.spec.limits.turns == 3
    with pytest.raises(TeamError, match="the stored team: the variable CITY is not set"):
        restore_team(team.source, base=tmp_path, environment={})
