from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from harness.errors import Problem, TeamError
from harness.team import Team, parse_team

HERE = Path(__file__).parent
MINIMAL = "harness: 1\nname: demo\nentry: lead\nagents:\n  lead: {instructions: Answer.}\n"


@pytest.fixture
def library() -> dict[str, Path]:
    return {file.stem: file for file in (HERE / "library").glob("*.yaml")}


@pytest.fixture
def parse(library: dict[str, Path], tmp_path: Path) -> Callable[..., Team]:
    """Parse a team in an empty environment, with the ready agents of these tests."""

    def parsed(text: str, *overrides: str, base: Path = tmp_path, **environment: str) -> Team:
        return parse_team(text, base=base, overrides=overrides, environment=environment, library=library)

    return parsed


@pytest.fixture
def problems(parse: Callable[..., Team]) -> Callable[..., Sequence[Problem]]:
    """Parse a team that is wrong; return its problems."""

    def found(text: str, *overrides: str, **environment: str) -> Sequence[Problem]:
        with pytest.raises(TeamError) as caught:
            parse(text, *overrides, **environment)
        return caught.value.problems

    return found
