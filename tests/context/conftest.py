"""Fixtures of the tests of windows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.journal import Journal
from harness.models.port import Model
from tests.loop.stage import OpenTeam, RunTeam, Told, opener, told


@pytest.fixture
def open_team(tmp_path: Path) -> OpenTeam:
    return opener(tmp_path)


@pytest.fixture
def run_team(open_team: OpenTeam) -> RunTeam:
    async def run(
        agents: str,
        *,
        store: Journal | Path | None = None,
        toolsets: Sequence[Any] = (),
        desk: Sequence[Any] = (),
        **models: Model,
    ) -> Told:
        async with open_team(agents, store=store, toolsets=toolsets, desk=desk, **models) as opened:
            return await told(await opened.start("Where is X?"))

    return run
