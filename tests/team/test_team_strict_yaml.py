"""Scalars follow the YAML 1.2 core schema, and nothing but a `TeamError` escapes."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import TeamError
from harness.team import load_team, parse_team, starter_team
from harness.team.nodes import plain
from harness.team.strict_yaml import MAX_BYTES, decoded, parse_yaml

FULL = (Path(__file__).parent / "good" / "full.yaml").read_text()
LIBRARY = {file.stem: file for file in (Path(__file__).parent / "library").glob("*.yaml")}
AWKWARD = ["*a", "&a", "!t", "<<:", "? ", "- ", ": ", "\t", "'", '"', "{", "}", "[", "]", "|", ">", "%", "@", "#",
           "\n", "---\n", "...\n", "${", "${X}", "$${", "\\", "\x00", "\ud83d", "\ufeff", "1e999", "0o7", "\x85", "~"]  # fmt: skip


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("NO", "NO"), ("yes", "yes"), ("on", "on"), ("12:30", "12:30"), ("2026-01-01", "2026-01-01"), ("1_000", "1_000"),
        ("1.10", 1.1), ("0777", 777), ("0o17", 15), ("0xff", 255), ("-3", -3), ("+3", 3), (".5", 0.5), ("1e3", 1000.0),
        ("true", True), ("False", False), ("null", None), ("~", None), ("", None), ("'true'", "true"), ('"1"', "1"),
        ("0x", "0x"), ("1.2.3", "1.2.3"), ("=", "="), ("'\\ud83d'", "\\ud83d"), ('"\\ud83d\\ude00"', "😀"),
        ("|\n  a\n  b", "a\nb\n"), (">-\n  a\n  b", "a b"),
    ],
)  # fmt: skip
def test_a_scalar_means_what_yaml_1_2_says(written: str, meant: Any):
    (value,) = plain(parse_yaml(f"key: {written}\n", file="x")).values()

    assert (value, type(value)) == (meant, type(meant))


def test_every_key_and_value_knows_its_place():
    root: Any = parse_yaml("a:\n  b: [x,\n    y]\n", file="f.yaml")
    items = root.get("a").get("b").items

    assert str(root.get("a").entries["b"].key.mark) == "f.yaml:2:3"
    assert [str(item.mark) for item in items] == ["f.yaml:2:7", "f.yaml:3:5"]
    assert items[1].mark.source == "    y]"


def attempt(text: str, *overrides: str) -> None:
    with suppress(TeamError):
        parse_team(text, base=Path("."), overrides=overrides, environment={"X": "1"}, library=LIBRARY)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_mutated_file_raises_nothing_but_a_team_error(data: st.DataObject):
    text = data.draw(st.sampled_from([FULL, starter_team()]))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        length = data.draw(st.integers(0, 12))
        text = (
            text[:start] + data.draw(st.sampled_from(AWKWARD) | st.text(max_size=5)) + text[start + length :]
        )

    attempt(text)


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("ab:-?,[]{}&*!|>'\"%@`#\\ \n\t$1~<."), max_size=40))
def test_any_text_raises_nothing_but_a_team_error(text: str):
    attempt(text)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=30))
def test_any_override_raises_nothing_but_a_team_error(text: str):
    attempt(FULL, text, f"agents.{text}", f"name={text}")


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=8), below, max_size=3),
    max_leaves=6,
)
PLACES = [
    "name", "entry", "description", "models", "models.qwen", "models.qwen.api", "models.qwen.price",
    "models.script.script", "mcpServers", "mcpServers.corpus", "mcpServers.corpus.args", "mcpServers.issues.headers",
    "mcpServers.files.args", "mcpServers.files.env", "agents", "agents.lead", "agents.lead.use", "agents.lead.tools",
    "agents.lead.instructions", "agents.lead.instructions_file", "agents.researcher.report.schema",
    "agents.lead.delegates", "agents.lead.output", "limits", "limits.tokens", "permissions", "permissions.0", "servers",
]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(PLACES), JSON_VALUES)
def test_any_value_anywhere_raises_nothing_but_a_team_error(place: str, value: Any):
    attempt(FULL, f"{place}={value!r}".replace("None", "null").replace("True", "true"))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_raise_nothing_but_a_team_error(raw: bytes):
    with suppress(TeamError):
        attempt(decoded(raw + FULL[:100].encode(), file="x"))


def test_a_file_of_the_greatest_size_is_read_in_reasonable_time(tmp_path: Path):
    line = "# a comment that fills the file\n"
    file = tmp_path / "team.yaml"
    body = "harness: 1\nname: x\nentry: a\nagents:\n  a: {instructions: Hi.}\n"
    file.write_text(body + line * ((MAX_BYTES - len(body)) // len(line)))

    assert load_team(file).spec.name == "x"
