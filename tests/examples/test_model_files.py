"""The team files for each provider are right, ask for nothing that is refused there, and their table is true."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.cli.models import EXAMPLES, thinking_table
from harness.cli.team_commands import check_team
from harness.team import load_team
from harness.team.providers import PROVIDERS

ROOT = Path(__file__).resolve().parents[2]
FOLDER, README = ROOT / "examples" / "models", ROOT / "README.md"
BEGIN, END = "<!-- harness models: begin -->\n", "<!-- harness models: end -->"


def test_every_provider_has_a_file_and_an_example():
    assert {file.stem for file in FOLDER.glob("*.yaml")} == set(PROVIDERS) == set(EXAMPLES)


@pytest.mark.parametrize("provider", sorted(PROVIDERS))
def test_a_file_is_checked_and_asks_for_nothing_that_is_refused(
    provider: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    file = FOLDER / f"{provider}.yaml"
    monkeypatch.setenv(PROVIDERS[provider].keys[0], "0123456789")

    assert check_team(str(file), (), as_json=True) == 0

    told = json.loads(capsys.readouterr().out)["models"]["default"]
    assert told["model"] == EXAMPLES[provider]
    assert told["assumed"] == []
    asked = load_team(file).spec.thinking
    if asked is not None:
        word = "budget" if asked.budget else "effort" if asked.effort else asked.mode
        assert told["thinking"][word]["enforcement"] in ("hard", "soft")
    assert len(file.read_text().splitlines()) <= 12


def test_the_table_of_thinking_is_what_the_code_says():
    """Mend it with: python -m tests.examples.test_model_files"""
    readme = README.read_text(encoding="utf-8")

    assert readme.partition(BEGIN)[2].partition(END)[0] == thinking_table()


def write_table() -> None:
    """Put the table that the code gives into the README."""
    before, begin, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    README.write_text(before + begin + thinking_table() + END + rest.partition(END)[2], encoding="utf-8")


if __name__ == "__main__":
    write_table()
