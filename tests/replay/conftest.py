"""Fixtures of the tests of replay."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.replay.elsewhere import ReplayElsewhere, replay_in_process


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def replay_elsewhere(tmp_path: Path) -> ReplayElsewhere:
    """Replays stores and bundles in a fresh process that has no network and none of our variables."""
    return partial(replay_in_process, tmp_path)
