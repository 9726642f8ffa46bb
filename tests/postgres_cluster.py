"""A private PostgreSQL for tests: its own data, its own socket, gone afterwards."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

_USER = "harness"
_SHARED = "tests"
_SETTINGS = ("listen_addresses=''", "fsync=on", "max_connections=50", "recovery_init_sync_method=syncfs")


def _binaries() -> Path | None:
    """Return the folder of the newest PostgreSQL, as Debian installs it or as `PATH` finds it."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    initdb = shutil.which("initdb")
    return Path(initdb).resolve().parent if initdb else None


class PostgresCluster:
    """A running server that only this user can reach."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self.folder = folder
        self._binaries = binaries
        self._data = folder / "data"
        # The server refuses to run as root.
        self._as = ("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups") if _is_root() else ()
        if self._as:
            shutil.chown(folder, "postgres", "postgres")
        self._run("initdb", "--auth=trust", f"--username={_USER}", "--no-sync", "--encoding=UTF8")
        self.start()
        self.execute(f"CREATE DATABASE {_SHARED}")

    def emptied_database(self) -> str:
        """Return the address of the one database that tests use in turn, with nothing left in it."""
        ours = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        self.execute(f"SELECT pg_terminate_backend(pid) {ours}", _SHARED)
        self.execute("DROP SCHEMA IF EXISTS harness CASCADE", _SHARED)
        return self.address(_SHARED)

    def new_database(self) -> str:
        """Return the address of a fresh, empty database."""
        name = f"test_{secrets.token_hex(4)}"
        self.execute(f"CREATE DATABASE {name}")
        return self.address(name)

    def address(self, database: str) -> str:
        """Return the address of a database."""
        return f"postgresql://{_USER}@/{database}?host={quote(str(self.folder), safe='')}"

    def execute(self, statement: str, database: str = "postgres") -> None:
        """Run a statement as the owner of everything."""
        import psycopg

        with psycopg.connect(self.address(database), autocommit=True) as connection:
            connection.execute(statement.encode())

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = " ".join(
            f"-c {setting}" for setting in (*_SETTINGS, f"unix_socket_directories={self.folder}")
        )
        log = self.folder / "log"
        self._run("pg_ctl", "start", "--wait", "--silent", "--log", str(log), "--options", options)

    def stop(self, mode: str = "immediate") -> None:
        """Stop the server: `immediate` is a crash, `fast` is in good order."""
        self._run("pg_ctl", "stop", "--wait", "--silent", "--mode", mode)

    def _run(self, program: str, *arguments: str) -> None:
        # Without pipes of its own the server keeps ours open, and reading them would never end.
        with (self.folder.parent / f"{self.folder.name}.out").open("w+") as said:
            command = [*self._as, str(self._binaries / program), *arguments, "--pgdata", str(self._data)]
            done = subprocess.run(command, stdout=said, stderr=said, stdin=subprocess.DEVNULL, cwd="/")
            if done.returncode:
                said.seek(0)
                raise RuntimeError(f"{program} failed: {said.read()}")


def _is_root() -> bool:
    return os.geteuid() == 0


@contextlib.contextmanager
def running_cluster() -> Iterator[PostgresCluster | None]:
    """Run a server of this machine's PostgreSQL; None if there is none."""
    binaries = _binaries()
    if binaries is None:
        yield None
        return
    # Not in pytest's folders, whose paths are too long for a socket and closed to the server's user.
    folder = Path(tempfile.mkdtemp(prefix="harness-pg-"))
    try:
        cluster = PostgresCluster(binaries, folder)
        try:
            yield cluster
        finally:
            cluster.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        folder.with_name(f"{folder.name}.out").unlink(missing_ok=True)


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[PostgresCluster]:
    """One server for all tests of a session."""
    with running_cluster() as cluster:
        if cluster is None:
            pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
        yield cluster


@pytest.fixture
def postgres(postgres_cluster: PostgresCluster) -> str:
    """The address of an empty database, this test's own until its end."""
    # Emptied, not made: three hundred files for each test would be synced at every restart.
    return postgres_cluster.emptied_database()
