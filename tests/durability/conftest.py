"""Fixtures of the tests of durability: places on real disks and on small ones, and processes that may die."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from places import NotPermitted, PrivateDisk, is_in_memory
from processes import Processes


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A folder whose files have to be waited for."""
    for place in (tmp_path, Path("/var/tmp"), Path.cwd()):
        if not is_in_memory(place) and os.access(place, os.W_OK):
            with tempfile.TemporaryDirectory(dir=place, prefix="durability-") as folder:
                yield Path(folder)
            return
    pytest.skip("there is no disk here: all places for temporary files are in memory")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[PrivateDisk]:
    """A file system of 256 KB, which can grow."""
    try:
        with PrivateDisk.mounted(tmp_path / "disk", "256k") as disk:
            yield disk
    except NotPermitted as refused:
        pytest.skip(f"mounting a small file system is not permitted: {refused}")


@pytest.fixture
def processes() -> Iterator[Processes]:
    """Starts processes; what still runs at the end of the test is killed."""
    with Processes() as started:
        yield started
