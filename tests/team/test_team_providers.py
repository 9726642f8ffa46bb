"""A model in one line, who serves it, and taking another for every agent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from harness.errors import Problem
from harness.team import ModelSpec, Team, restore_team
from harness.team.providers import PROVIDERS

Parse = Callable[..., Team]
Problems = Callable[..., Sequence[Problem]]

HEAD = "harness: 1\nname: demo\nentry: lead\n"
LEAD = "agents:\n  lead: {instructions: Answer.}\n"
TWO = "agents:\n  lead: {instructions: Answer., delegates: [scout]}\n  scout: {instructions: Look., model: %s}\n"
KEY = "sk-ant-0123456789"


def model_of(team: Team, agent: str) -> ModelSpec:
    name = team.spec.agents[agent].model
    assert name is not None
    return team.spec.models[name]


def key_of(model: ModelSpec) -> str:
    assert model.api_key is not None
    return model.api_key.get_secret_value()


def test_one_line_says_api_address_key_and_model(parse: Parse):
    team = parse(HEAD + "models: {default: anthropic/claude-sonnet-4-5}\n" + LEAD, ANTHROPIC_API_KEY=KEY)

    model = model_of(team, "lead")
    assert (model.api, model.model, key_of(model)) == ("anthropic", "claude-sonnet-4-5", KEY)
    assert model.base_url == "https://api.anthropic.com"


def test_the_key_is_hidden_and_not_kept_with_the_team(parse: Parse):
    team = parse(HEAD + "models: {default: anthropic/claude-sonnet-4-5}\n" + LEAD, ANTHROPIC_API_KEY=KEY)

    assert KEY in team.hidden
    assert KEY not in str(team.source)
    assert "ANTHROPIC_API_KEY" not in team.variables


def test_a_missing_key_is_found_where_the_model_is_named(problems: Problems):
    (problem,) = problems(HEAD + "models:\n  default: openai/gpt-5.2\n" + LEAD)

    assert "OPENAI_API_KEY is not set" in problem.message
    assert (problem.line, problem.column) == (5, 12)
    assert problem.hint == "set OPENAI_API_KEY in the environment"


def test_a_model_of_a_server_of_ones_own_needs_no_key(parse: Parse):
    text = HEAD + "models: {default: ollama/qwen3:8b}\n" + LEAD

    without = parse(text)
    assert key_of(model_of(without, "lead")) == ""
    assert without.hidden == frozenset()
    assert key_of(model_of(parse(text, OLLAMA_API_KEY="0123456789"), "lead")) == "0123456789"


@pytest.mark.parametrize(
    ("variable", "url"),
    [
        ("", "http://127.0.0.1:11434/v1"),
        ("gpu-box", "http://gpu-box:11434/v1"),
        ("gpu-box:8000", "http://gpu-box:8000/v1"),
        ("http://gpu-box", "http://gpu-box:11434/v1"),
        ("https://ollama.example.org", "https://ollama.example.org/v1"),
        ("https://example.org/ollama/v1/", "https://example.org/ollama/v1"),
    ],
)
def test_ollama_is_where_its_own_variable_says(parse: Parse, variable: str, url: str):
    team = parse(HEAD + "models: {default: ollama/qwen3:8b}\n" + LEAD, OLLAMA_HOST=variable)

    assert model_of(team, "lead").base_url == url


def test_the_first_variable_that_is_set_holds_the_key(parse: Parse):
    text = HEAD + "models: {default: gemini/gemini-2.5-flash}\n" + LEAD

    assert key_of(model_of(parse(text, GOOGLE_API_KEY="google-key"), "lead")) == "google-key"
    both = parse(text, GOOGLE_API_KEY="google-key", GEMINI_API_KEY="gemini-key")
    assert key_of(model_of(both, "lead")) == "gemini-key"


def test_what_a_mapping_says_itself_counts(parse: Parse):
    team = parse(
        HEAD + "models:\n  default: {provider: openai, api: openai-chat, model: gpt-5.2, "
        "base_url: 'http://127.0.0.1:9/v1', api_key: EMPTY, stream: true}\n" + LEAD
    )

    model = model_of(team, "lead")
    assert (model.api, model.base_url, key_of(model)) == ("openai-chat", "http://127.0.0.1:9/v1", "EMPTY")
    assert model.stream


def test_a_line_and_the_mapping_it_is_short_for_are_the_same_team(parse: Parse):
    line = parse(HEAD + "models: {default: vllm/Qwen/Qwen3-8B}\n" + LEAD)
    mapping = parse(HEAD + "models: {default: {provider: vllm, model: Qwen/Qwen3-8B}}\n" + LEAD)

    assert line.digest == mapping.digest
    assert line.spec == mapping.spec


def test_an_agent_may_name_its_model_in_a_line(parse: Parse):
    team = parse(HEAD + "models: {default: ollama/qwen3:8b}\n" + TWO % "vllm/Qwen/Qwen3-32B")

    assert model_of(team, "lead").model == "qwen3:8b"
    assert model_of(team, "scout").model == "Qwen/Qwen3-32B"


def test_a_line_of_one_agent_is_everybodys_model_where_there_is_no_other(parse: Parse):
    team = parse(HEAD + TWO % "vllm/Qwen/Qwen3-32B")

    assert model_of(team, "lead").model == "Qwen/Qwen3-32B"


def test_a_line_may_come_from_a_variable(parse: Parse, problems: Problems):
    text = HEAD + "models: {default: '${MODEL:-ollama/qwen3:8b}'}\n" + LEAD

    assert model_of(parse(text), "lead").model == "qwen3:8b"
    assert model_of(parse(text, MODEL="vllm/x"), "lead").dialect == "vllm"
    (problem,) = problems(text, MODEL="x")
    assert "'x' is no model" in problem.message


@pytest.mark.parametrize(
    ("models", "message", "hint"),
    [
        ("{default: antropic/claude}", "'antropic/claude' is no model", "did you mean 'anthropic'?"),
        ("{default: gpt-5.2}", "'gpt-5.2' is no model", "PROVIDER/MODEL"),
        ("{default: ollama/}", "'ollama/' is no model", "name the model after the slash"),
        ("{default: {provider: olama, model: x}}", "there is no provider 'olama'", "did you mean 'ollama'?"),
    ],
)
def test_a_wrong_line_is_told_with_what_was_perhaps_meant(
    problems: Problems, models: str, message: str, hint: str
):
    first = problems(HEAD + f"models: {models}\n" + LEAD)[0]

    assert message in first.message
    assert hint in first.hint
    assert first.line == 4


def test_an_agents_wrong_line_is_told_too(problems: Problems):
    (problem,) = problems(HEAD + "models: {default: ollama/x}\n" + TWO % "antropic/claude")

    assert "there is no model 'antropic/claude'" in problem.message
    assert "did you mean 'anthropic'?" in problem.hint


def test_one_setting_replaces_the_model_of_every_agent_and_asks_for_no_other_key(parse: Parse):
    text = HEAD + "models: {default: anthropic/claude-sonnet-4-5}\n" + TWO % "openai/gpt-5.2"

    team = parse(text, "model=ollama/qwen3:8b")

    assert {model_of(team, agent).model for agent in team.spec.agents} == {"qwen3:8b"}
    assert list(team.spec.models) == ["default"]


def test_it_may_be_an_entry_of_the_file_and_changed_further(parse: Parse):
    text = HEAD + "models: {default: anthropic/claude-sonnet-4-5, own: vllm/Qwen/Qwen3-8B}\n" + LEAD

    team = parse(text, "models.own.temperature=0.5", "model=own")

    assert model_of(team, "lead").model == "Qwen/Qwen3-8B"
    assert model_of(team, "lead").temperature == 0.5


def test_a_model_that_sums_up_windows_is_replaced_as_well(parse: Parse):
    context = "context: {strategies: [{summarise: {model: small}}]}\n"
    text = HEAD + "models: {default: openai/gpt-5.2, small: openai/gpt-5-nano}\n" + context + LEAD

    team = parse(text, "model=ollama/qwen3:8b")

    assert team.spec.context is not None
    summarise = team.spec.context.strategies[0].summarise
    assert summarise is not None
    assert summarise.model is None


@pytest.mark.parametrize(
    ("chosen", "hint"),
    [
        ("defalt", "did you mean 'default'?"),
        ("olama/qwen3:8b", "did you mean 'ollama'?"),
        ("gpt", "PROVIDER/MODEL, with one of the providers anthropic, dashscope"),
    ],
)
def test_a_choice_that_is_neither_is_told_with_what_there_is(problems: Problems, chosen: str, hint: str):
    (problem,) = problems(HEAD + "models: {default: openai/gpt-5.2}\n" + LEAD, f"model={chosen}")

    assert str(problem).startswith(f"--model {chosen}: there is no model '{chosen}'")
    assert hint in problem.hint


def test_a_kept_team_is_restored_from_its_line_without_any_key(parse: Parse, tmp_path: Path):
    team = parse(HEAD + "models: {default: anthropic/claude-sonnet-4-5}\n" + LEAD, ANTHROPIC_API_KEY=KEY)

    again = restore_team(team.source, base=tmp_path, environment={}, remembered=team.variables)

    assert again.digest == team.digest
    assert again.missing == {"ANTHROPIC_API_KEY"}
    assert model_of(again, "lead").model == "claude-sonnet-4-5"


@pytest.mark.parametrize("provider", sorted(PROVIDERS))
def test_every_provider_can_be_named(parse: Parse, provider: str):
    team = parse(
        HEAD + f"models: {{default: {provider}/some-model}}\n" + LEAD, **{PROVIDERS[provider].keys[0]: KEY}
    )

    model = model_of(team, "lead")
    assert (model.served_by, model.model, key_of(model)) == (provider, "some-model", KEY)


def test_who_serves_a_model_is_known_only_where_it_is_said(parse: Parse):
    def served_by(models: str) -> str:
        return model_of(parse(HEAD + f"models: {{default: {models}}}\n" + LEAD), "lead").served_by

    assert served_by("{api: openai-chat, model: gpt-5.2}") == "openai"
    assert served_by("{api: openai-chat, model: gpt-5.2, base_url: 'http://127.0.0.1:9/v1'}") == ""
    assert served_by("{api: openai-chat, dialect: vllm, model: x, base_url: 'http://h/v1'}") == "vllm"
    assert served_by("{api: anthropic, model: x}") == "anthropic"
