from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from harness.team import starter_team, team_schema
from harness.team.nodes import plain
from harness.team.strict_yaml import parse_yaml

HERE = Path(__file__).parent


def properties_of(schema: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(schema, dict):
        for name, value in schema.items():
            if name == "properties":
                yield from ((f"{place}.{key}", about) for key, about in value.items())
            yield from properties_of(value, f"{place}.{name}")
    elif isinstance(schema, list):
        for item in schema:
            yield from properties_of(item, place)


def errors_of(text: str) -> list[str]:
    return [
        error.message
        for error in Draft202012Validator(team_schema()).iter_errors(plain(parse_yaml(text, file="x")))
    ]


def test_the_schema_is_a_schema():
    schema = team_schema()

    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"]
    assert schema["title"]


def test_every_property_has_a_description():
    found = list(properties_of(team_schema()))

    assert len(found) > 70
    assert [place for place, about in found if not about.get("description")] == []


@pytest.mark.parametrize("file", sorted((HERE / "good").glob("*.yaml")), ids=lambda file: file.stem)
def test_a_good_file_satisfies_the_schema(file: Path):
    assert errors_of(file.read_text()) == []


def test_the_starter_satisfies_the_schema():
    assert errors_of(starter_team()) == []


@pytest.mark.parametrize(
    "name",
    ["unknown_key", "unknown_top_key", "missing_name", "wrong_api", "bad_token_count", "bad_agent_name", "norway",
     "server_without_shape", "missing_instructions", "allow_maybe", "number_in_env", "negative_limit",
     "unknown_effect", "no_effects", "bad_duration", "expires_without_unit", "when_without_conditions",
     "condition_on_a_mapping_of_values", "condition_word_of_another_language", "condition_with_no_values", "bad_size", "nothing_exposed"],
)  # fmt: skip
def test_the_schema_refuses_what_an_editor_can_see(name: str):
    assert errors_of((HERE / "bad" / f"{name}.yaml").read_text())


def test_short_forms_are_described():
    tokens = team_schema()["$defs"]["LimitsSpec"]["properties"]["tokens"]

    assert [form["description"] for form in tokens["anyOf"] if "description" in form] == [
        "A number of tokens.",
        "A short form: 500k is 500,000 and 2M is 2,000,000.",
    ]
