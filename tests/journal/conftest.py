from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from journal_postgres_proxy import Proxy
from postgres_cluster import PostgresCluster

import harness
from harness.journal.postgres import PostgresJournal

WRITER = Path(__file__).with_name("writing_process.py")

# The package that is tested, which need not be the one that is installed.
PACKAGES = str(Path(harness.__file__).parent.parent)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def in_process() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `writing_process.py` with arguments; what still runs at the end of the test is killed."""
    processes: list[subprocess.Popen[str]] = []

    def start(*arguments: object, before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*before, sys.executable, str(WRITER), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": PACKAGES},
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"mounting a small file system is not permitted: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture
async def journal(postgres: str) -> AsyncIterator[PostgresJournal]:
    """A PostgreSQL store open for writing; what holds for every kind is tested with one of each."""
    journal = PostgresJournal(postgres)
    yield journal
    await journal.close()


@pytest.fixture
async def other(postgres: str) -> AsyncIterator[PostgresJournal]:
    """What another process would hold."""
    journal = PostgresJournal(postgres)
    yield journal
    await journal.close()


@pytest.fixture
def proxy(postgres_cluster: PostgresCluster) -> Iterator[Proxy]:
    with tempfile.TemporaryDirectory(prefix="harness-proxy-") as folder:
        proxy = Proxy(Path(folder), postgres_cluster.folder)
        yield proxy
        proxy.stop()
