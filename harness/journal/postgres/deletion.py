"""Taking runs out of a PostgreSQL store."""

from __future__ import annotations

from collections.abc import Collection

from harness.journal.codec import references
from harness.journal.postgres.address import Connection

_EVENTS_AT_ONCE = 512

# Everyone who writes holds the row of the deletions for sharing, so from here to the commit nobody
# comes to use a content that is being deleted. Should this process be frozen in between, the server
# ends the transaction, so that the others can go on.
_CLOSE_THE_GATE = """
SET LOCAL idle_in_transaction_session_timeout = '10s';
UPDATE harness.meta SET value = (value::bigint + 1)::text WHERE key = 'deletions';
"""

_DELETE_UNUSED = """
WITH deleted AS (
    DELETE FROM harness.content AS content
    WHERE content.hash = ANY(%s) AND NOT EXISTS (SELECT FROM harness.uses AS uses WHERE uses.hash = content.hash)
    RETURNING octet_length(body) AS size
)
SELECT coalesce(sum(size), 0)::bigint FROM deleted
"""

_DELETE_EVENTS = """
WITH deleted AS (DELETE FROM harness.events WHERE run_id = ANY(%s) RETURNING octet_length(body) AS size)
SELECT coalesce(sum(size), 0)::bigint FROM deleted
"""


def delete_runs(connection: Connection, run_ids: Collection[str]) -> int:
    """Remove runs that are ours, and the content that only they refer to; return the bytes of both.

    The space is used again; giving it back to the file system is the database's own affair.
    """
    runs = list(run_ids)
    hashes = list({key for run_id in runs for key in _used_by(connection, run_id)})
    with connection.transaction():
        connection.execute(_CLOSE_THE_GATE)
        connection.execute(
            "DELETE FROM harness.uses WHERE hash = ANY(%s) AND run_id = ANY(%s)", [hashes, runs]
        )
        [(content,)] = connection.execute(_DELETE_UNUSED, [hashes]).fetchall()
        [(events,)] = connection.execute(_DELETE_EVENTS, [runs]).fetchall()
        connection.execute("DELETE FROM harness.answers WHERE run_id = ANY(%s)", [runs])
        connection.execute("DELETE FROM harness.runs WHERE run_id = ANY(%s)", [runs])
    return content + events


def _used_by(connection: Connection, run_id: str) -> set[str]:
    """Return the hashes of the content that a run refers to."""
    hashes: set[str] = set()
    start = 0
    query = """
        SELECT sequence, body FROM harness.events WHERE run_id = %s AND sequence >= %s
        ORDER BY sequence LIMIT %s
    """
    while rows := connection.execute(query, [run_id, start, _EVENTS_AT_ONCE]).fetchall():
        for _, body in rows:
            hashes.update(references(body))
        start = rows[-1][0] + 1
    return hashes
