"""Processes to run, kill and resume teams in."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from crash_processes import Processes, open_processes
from crash_teams import Scene

Answer = Callable[[Scene], str]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def processes() -> Iterator[Processes]:
    with open_processes() as made:
        yield made


@pytest.fixture(scope="session")
def uninterrupted(processes: Processes, tmp_path_factory: pytest.TempPathFactory) -> Answer:
    """Return the answer of a run that nothing happens to."""
    answers: dict[Scene, str] = {}

    def answer(scene: Scene) -> str:
        if scene not in answers:
            ended = processes.run("start", tmp_path_factory.mktemp("uninterrupted"), scene)
            answers[scene] = ended.told["output"]
        return answers[scene]

    return answer
