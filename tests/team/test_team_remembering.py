"""What is kept of a team so that a run of it can be carried out again anywhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import TeamError
from harness.team import Team, parse_team, restore_team

Parse = Callable[..., Team]
ELSEWHERE = Path("/somewhere/else")
TEXT = """\
harness: 1
name: demo
description: ${ABOUT:-A team.}
entry: lead
models:
  default:
    api: openai-chat
    base_url: ${URL}/v1
    api_key: ${KEY}
    headers: {X-Team: "${HEADER}"}
    model: ${MODEL}
    temperature: "${HEAT:-0.5}"
    timeout_seconds: "${PATIENCE:-30}"
mcpServers:
  corpus:
    module: toolservers.corpus
    args: {root: "${DOCS}", home: "${userHome}", team: "${workspaceFolder}"}
    required: "${REQUIRED}"
    scope: "${SCOPE}"
    timeouts: {call: "${CALL}"}
  web: {url: "${SCHEME}://web.example/mcp", headers: {Authorization: "Bearer ${BEARER}"}}
agents:
  lead:
    instructions: Answer in ${LANGUAGE}. The documents are in ${DOCS}, the team in ${workspaceFolder}.
    tools: [corpus, web.get]
    limits: {turns: "${TURNS}", usd: "${USD:-}"}
permissions:
  - {tool: "corpus.*", when: {path: "${userHome}/*", size: {above: "${SIZE}"}}, allow: "${ALLOW}", expires: "${WAIT:-1h}"}
"""
ENVIRONMENT = {
    "URL": "https://llm.example",
    "KEY": "sk-1234567",
    "HEADER": "research",
    "MODEL": "small",
    "DOCS": "/data/docs",
    "REQUIRED": "false",
    "SCOPE": "run",
    "CALL": "5",
    "SCHEME": "https",
    "BEARER": "abcdefgh",
    "LANGUAGE": "Latin",
    "TURNS": "7",
    "SIZE": "1000",
    "ALLOW": "ask",
}


def behaviour(team: Team) -> tuple[Any, ...]:
    spec = team.spec
    return spec.agents, spec.limits, spec.permissions, spec.entry, spec.description


def test_what_shaped_the_team_is_remembered_and_how_this_machine_reaches_things_is_not(
    parse: Parse, tmp_path: Path
):
    assert parse(TEXT, **ENVIRONMENT).variables == {
        "ABOUT": "",
        "ALLOW": "ask",
        "DOCS": "/data/docs",
        "HEAT": "",
        "LANGUAGE": "Latin",
        "MODEL": "small",
        "PATIENCE": "",
        "SIZE": "1000",
        "TURNS": "7",
        "USD": "",
        "WAIT": "",
        "userHome": str(Path.home()),
        "workspaceFolder": str(tmp_path),
    }  # fmt: skip


def test_a_team_is_restored_where_nothing_is_set(parse: Parse):
    team = parse(TEXT, **ENVIRONMENT)

    again = restore_team(
        json.loads(json.dumps(team.source)), base=ELSEWHERE, environment={}, remembered=team.variables
    )

    assert behaviour(again) == behaviour(team)
    assert (again.digest, again.source, again.variables) == (team.digest, team.source, team.variables)
    assert again.missing == {"URL", "KEY", "HEADER", "REQUIRED", "SCOPE", "CALL", "SCHEME", "BEARER"}
    assert again.spec.models["default"].base_url == "http://unset.invalid"
    assert again.spec.mcpServers["web"].url == "http://unset.invalid"
    assert team.missing == frozenset()


def test_what_is_remembered_wins_and_servers_find_the_folders_of_their_machine(parse: Parse):
    team = parse(TEXT, **ENVIRONMENT)

    again = restore_team(
        team.source,
        base=ELSEWHERE,
        environment={"LANGUAGE": "Greek", "ABOUT": "Another.", "KEY": "sk-7654321", "CALL": "9"},
        remembered=team.variables,
    )

    assert behaviour(again) == behaviour(team)
    assert again.spec.models["default"].api_key.get_secret_value() == "sk-7654321"  # pyright: ignore[reportOptionalMemberAccess]
    assert again.spec.mcpServers["corpus"].args["team"] == str(ELSEWHERE)  # pyright: ignore[reportArgumentType, reportCallIssue]
    assert again.spec.mcpServers["corpus"].timeouts.call == 9


def test_without_what_was_remembered_a_variable_that_is_not_set_is_an_error(parse: Parse):
    team = parse(TEXT, **ENVIRONMENT)

    with pytest.raises(TeamError, match="the variable KEY is not set"):
        restore_team(team.source, base=ELSEWHERE, environment={})


def test_a_variable_that_must_be_known_and_is_not_remembered_is_an_error(parse: Parse):
    team = parse(TEXT.replace("entry: lead", "entry: ${ENTRY}"), ENTRY="lead", **ENVIRONMENT)

    with pytest.raises(TeamError, match="the variable ENTRY is not set"):
        restore_team(team.source, base=ELSEWHERE, environment={}, remembered={})


def test_a_variable_in_an_override_must_be_set(parse: Parse):
    team = parse(TEXT, **ENVIRONMENT)

    with pytest.raises(TeamError) as caught:
        restore_team(
            team.source,
            base=ELSEWHERE,
            overrides=["limits.turns=${NEW}"],
            environment={},
            remembered=team.variables,
        )

    assert caught.value.problems[0].message == "the variable NEW is not set"
    assert "KEY" not in str(caught.value)


@pytest.mark.parametrize(
    ("secretly", "values"),
    [
        ("models: {default: {api: openai-chat, model: m, api_key: '${X}'}}", {}),
        ("models: {default: {api: openai-chat, model: m, api_key: '${OTHER}'}}", {"OTHER": "shared-value"}),
        ("models: {default: {api: openai-chat, model: m, api_key: shared-value}}", {}),
        ("models: {default: {api: openai-chat, model: m, headers: {X-Team: '${X}'}}}", {}),
        ("mcpServers: {a: {url: 'https://x/mcp', headers: {Accept: '${X}'}}}", {}),
        ("mcpServers: {a: {command: c, env: {A_TOKEN: '${X}'}}}", {}),
        ("mcpServers: {a: {command: c, args: ['--token=${MY_TOKEN}']}}", {"MY_TOKEN": "shared-value"}),
        ("mcpServers: {a: {url: 'https://x/mcp?key=${SECRET}'}}", {"SECRET": "shared-value"}),
    ],
)
def test_a_variable_that_is_used_as_a_secret_anywhere_is_not_remembered(
    secretly: str, values: dict[str, str], parse: Parse
):
    text = f"harness: 1\nname: x\nentry: a\nagents: {{a: {{instructions: 'In ${{X}} ${{Y}}'}}}}\n{secretly}\n"

    assert parse(text, X="shared-value", Y="shown", **values).variables == {"Y": "shown"}


@pytest.mark.parametrize(("field", "kept"), [("session_token", False), ("max_output_tokens", True)])
def test_a_field_of_the_request_is_remembered_unless_it_is_called_like_a_secret(
    field: str, kept: bool, parse: Parse
):
    text = f"harness: 1\nname: x\nentry: a\nmodels: {{m: {{api: offline, extra: {{{field}: '${{X}}'}}}}}}\n"

    variables = parse(text + "agents: {a: {instructions: Hi.}}\n", X="123456").variables

    assert variables == ({"X": "123456"} if kept else {})


def test_a_short_value_that_is_also_a_key_does_not_hide_another_variable(parse: Parse):
    text = "harness: 1\nname: x\nentry: a\nagents: {a: {instructions: 'In ${X}'}}\n"
    text += "models: {default: {api: openai-chat, model: m, api_key: '${KEY:-none}'}}\n"

    assert parse(text, X="none").variables == {"X": "none"}
    assert parse(text.replace("KEY:-none", "X"), X="none").variables == {}


PLACES = {
    "agents.a.instructions": st.text("ab $", min_size=1).map(lambda text: f"x{text}"),
    "agents.a.description": st.text("ab ${}"),
    "agents.a.limits.turns": st.integers(1, 9),
    "agents.a.report.max_tokens": st.sampled_from(["1k", "500"]),
    "limits.usd": st.floats(0.5, 9),
    "limits.tokens": st.sampled_from(["", "20k", "2000000"]),
    "permissions.0.tool": st.sampled_from(["*", "s.read"]),
    "permissions.0.allow": st.sampled_from(["yes", "ask", "no"]),
    "permissions.0.when.path": st.sampled_from(["/tmp/*", "5"]),
    "permissions.0.when.size.above": st.integers(1, 9),
    "mcpServers.s.cwd": st.just("/tmp"),
    "mcpServers.s.timeouts.call": st.integers(1, 9),
    "mcpServers.s.required": st.booleans(),
    "mcpServers.s.trust": st.sampled_from(["trusted", "untrusted"]),
    "models.m.base_url": st.just("https://example.com/v1"),
    "models.m.api_key": st.just("sk-something"),
    "models.m.temperature": st.floats(0, 1),
    "models.m.max_tokens": st.sampled_from(["1k", "500"]),
}


@given(st.data())
def test_a_restored_team_does_the_same(data: st.DataObject):
    """Each place holds a variable of its own, with or without a default, which is set or not."""
    overrides: list[str] = []
    environment: dict[str, str] = {}
    for number, place in enumerate(data.draw(st.lists(st.sampled_from(sorted(PLACES)), unique=True))):
        value, default, other = (str(data.draw(PLACES[place])).lower() for _ in range(3))
        if data.draw(st.booleans()):
            environment[f"V{number}"] = value
            overrides.append(f"{place}='${{V{number}}}'")
        else:
            overrides.append(f"{place}='${{V{number}:-{default.replace('}', '').replace('{', '')}}}'")
            environment.update({f"V{number}": ""} if data.draw(st.booleans()) else {})
    text = "harness: 1\nname: x\nentry: a\nagents: {a: {instructions: Hi., tools: [s]}}\n"
    text += "models: {m: {api: openai-chat, model: m}}\nmcpServers: {s: {command: c}}\n"
    text += "permissions: [{tool: '*', allow: ask}]\n"
    team = parse_team(text, base=Path("/here"), overrides=overrides, environment=environment, library={})

    for surroundings in ({}, dict.fromkeys(team.variables, "other")):
        again = restore_team(team.source, base=ELSEWHERE, environment=surroundings, remembered=team.variables)
        assert behaviour(again) == behaviour(team)
        assert again.digest == team.digest
