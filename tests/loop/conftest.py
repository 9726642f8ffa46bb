"""Fixtures of the loop's tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from stage import ALONE, OpenTeam, RunTeam, Told, opener, told

from harness.journal import Journal
from harness.models.port import Model


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def open_team(tmp_path: Path) -> OpenTeam:
    return opener(tmp_path)


@pytest.fixture
def run_team(open_team: OpenTeam) -> RunTeam:
    async def run(
        agents: str = ALONE,
        *,
        store: Journal | Path | None = None,
        toolsets: Sequence[Any] = (),
        desk: Sequence[Any] = (),
        **models: Model,
    ) -> Told:
        async with open_team(agents, store=store, toolsets=toolsets, desk=desk, **models) as opened:
            return await told(await opened.start("What is X?"))

    return run
