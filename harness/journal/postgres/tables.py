"""The tables of a PostgreSQL store, in a schema of their own."""

from __future__ import annotations

from typing import LiteralString, cast

from harness.errors import StoreError
from harness.events import FORMAT
from harness.journal.migrations import steps_from
from harness.journal.postgres.address import Address, Connection

# `runs` says who may write to a run. `uses` says which runs refer to which content, so that a run
# can be deleted without passing over all others. `deletions` in `meta` counts the deletions: every
# writer locks that row for sharing, so that no content is deleted while somebody comes to use it.
_TABLES = """
CREATE TABLE harness.meta (key text PRIMARY KEY, value text NOT NULL);
CREATE TABLE harness.writers (
    owner text COLLATE "C" PRIMARY KEY,
    process text NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE TABLE harness.runs (
    run_id text COLLATE "C" PRIMARY KEY,
    owner text COLLATE "C" NOT NULL,
    epoch bigint NOT NULL
);
CREATE TABLE harness.events (
    run_id text COLLATE "C" NOT NULL,
    sequence bigint NOT NULL,
    at double precision NOT NULL,
    agent text NOT NULL,
    type text NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (run_id, sequence)
);
CREATE TABLE harness.content (hash text COLLATE "C" PRIMARY KEY, body bytea NOT NULL);
CREATE TABLE harness.uses (
    hash text COLLATE "C",
    run_id text COLLATE "C",
    PRIMARY KEY (hash, run_id)
);
CREATE TABLE harness.answers (
    run_id text COLLATE "C",
    key text COLLATE "C",
    number bigint,
    body bytea NOT NULL,
    PRIMARY KEY (run_id, key, number)
);
INSERT INTO harness.meta VALUES ('deletions', '0');
"""

_SETTING_UP = 7_094_165_032
"""Number of the lock under which tables are made or changed."""


def found_format(connection: Connection, address: Address) -> int:
    """Return the format of the store, 0 if there is none in this database.

    Raises:
        StoreError: It needs a newer harness.
    """
    # Not `to_regclass`, which may answer from before the lock was waited for.
    query = "SELECT FROM pg_catalog.pg_tables WHERE schemaname = 'harness' AND tablename = 'meta'"
    if not connection.execute(query).rowcount:
        return 0
    meta = dict(connection.execute("SELECT key, value FROM harness.meta").fetchall())
    found = int(meta.get("format", "0"))
    if found > FORMAT:
        raise StoreError(
            f"{address.name} was written by a newer harness ({meta.get('harness_version')}) in format "
            f"{found}; this one reads formats up to {FORMAT}: upgrade harness, or choose another store"
        )
    return found


def bring_up_to_date(connection: Connection, address: Address) -> None:
    """Make the tables, or change those of an older format, unless they are as they must be.

    Raises:
        StoreError: The store needs a newer harness.
    """
    if found_format(connection, address) == FORMAT:
        return
    from harness.version import version

    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_SETTING_UP])
        # Looked up again, because another process may have done it while this one waited.
        found = found_format(connection, address)
        if found == 0:
            # Not if it is there: that would take a right to the database which is not needed then.
            query = "SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'harness'"
            if not connection.execute(query).rowcount:
                connection.execute("CREATE SCHEMA harness")
            connection.execute(_TABLES)
        for step in steps_from(found or FORMAT):
            for statement in step.postgres:
                connection.execute(cast(LiteralString, statement))
        for key, value in (("format", str(FORMAT)), ("harness_version", version())):
            connection.execute(
                "INSERT INTO harness.meta VALUES (%s, %s) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                [key, value],
            )
