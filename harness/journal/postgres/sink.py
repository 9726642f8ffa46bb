"""How batches get into PostgreSQL."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import psycopg

from harness.errors import StoreError
from harness.events import RunFinished
from harness.journal.codec import references
from harness.journal.postgres.address import Address, Connection
from harness.journal.postgres.deletion import delete_runs
from harness.journal.postgres.leases import Leases, LeaseTimes, overtaken
from harness.journal.postgres.line import Line
from harness.journal.postgres.tables import bring_up_to_date
from harness.journal.rows import ContentRow, EventRow, first_rows
from harness.journal.writer import Recent

# One statement is one transaction and one round trip. It writes the rows of those runs only whose
# leases still carry the epoch we know, or can be taken; locking them keeps others from taking them
# before the commit. A run that is finished is anybody's again. If anything was deleted since we last looked, nothing is written but the number
# of deletions comes back: contents we believe to be there may be gone.
_WRITE = """
WITH gate AS MATERIALIZED (
    SELECT value FROM harness.meta WHERE key = 'deletions' FOR SHARE
), held AS MATERIALIZED (
    SELECT run.run_id, run.epoch
    FROM harness.runs AS run
    JOIN unnest(%(held)b::text[], %(epochs)b::bigint[]) AS known (run_id, epoch) USING (run_id, epoch)
    WHERE run.owner = %(owner)b
    ORDER BY run.run_id
    FOR NO KEY UPDATE OF run
), freed AS (
    UPDATE harness.runs AS run SET owner = '' FROM held
    WHERE run.run_id = held.run_id AND run.run_id = ANY(%(finished)b::text[])
        AND (SELECT value FROM gate) = %(deletions)b
), taken AS (
    INSERT INTO harness.runs AS run (run_id, owner, epoch)
    SELECT run_id, CASE WHEN run_id = ANY(%(finished)b::text[]) THEN '' ELSE %(owner)b END, 1
    FROM unnest(%(new)b::text[]) AS wanted (run_id)
    WHERE (SELECT value FROM gate) = %(deletions)b
    ORDER BY run_id
    ON CONFLICT (run_id) DO UPDATE SET owner = excluded.owner, epoch = run.epoch + 1
    WHERE run.owner = %(owner)b OR NOT EXISTS (
        SELECT FROM harness.writers AS writer
        WHERE writer.owner = run.owner AND writer.expires_at > clock_timestamp()
    )
    RETURNING run_id, epoch
), mine AS (
    SELECT run_id, epoch FROM held UNION ALL SELECT run_id, epoch FROM taken
), stored AS (
    INSERT INTO harness.content (hash, body)
    SELECT hash, body FROM unnest(%(hashes)b::text[], %(contents)b::bytea[]) AS new (hash, body)
    WHERE (SELECT value FROM gate) = %(deletions)b
    ORDER BY hash
    ON CONFLICT DO NOTHING
), used AS (
    INSERT INTO harness.uses (hash, run_id)
    SELECT hash, run_id FROM unnest(%(used)b::text[], %(users)b::text[]) AS new (hash, run_id) JOIN mine USING (run_id)
    WHERE (SELECT value FROM gate) = %(deletions)b
    ON CONFLICT DO NOTHING
), written AS (
    INSERT INTO harness.events (run_id, sequence, at, agent, type, body)
    SELECT run_id, sequence, at, agent, type, body
    FROM unnest(
        %(runs)b::text[], %(sequences)b::bigint[], %(ats)b::float8[],
        %(agents)b::text[], %(types)b::text[], %(bodies)b::bytea[]
    ) AS new (run_id, sequence, at, agent, type, body) JOIN mine USING (run_id)
    WHERE (SELECT value FROM gate) = %(deletions)b
)
SELECT 'deletions', value, 0 FROM gate
UNION ALL
SELECT 'run', run_id, epoch FROM mine
"""

_FOUND = """
SELECT run_id, event.at = ours.at AND event.body = ours.body
FROM harness.events AS event
JOIN unnest(%(runs)b::text[], %(sequences)b::bigint[], %(ats)b::float8[], %(bodies)b::bytea[])
    AS ours (run_id, sequence, at, body) USING (run_id, sequence)
"""

_FINISHED: str = RunFinished.__dataclass_fields__["type"].default


class _Pending:
    """A batch on its way, and what has become of it so far."""

    def __init__(self, events: Sequence[EventRow], contents: Sequence[ContentRow]) -> None:
        self.events = list(events)
        """Those not known to be committed."""
        self.contents = contents
        self.finished = {row[0] for row in {row[0]: row for row in events}.values() if row[4] == _FINISHED}
        """Runs whose last event in the batch is their end."""
        self.lost: dict[str, StoreError] = {}
        self.tried = False

    def settle(self, run_ids: Collection[str]) -> None:
        """Take these runs out: committed or lost."""
        self.events = [row for row in self.events if row[0] not in run_ids]


class PostgresSink:
    """Writes through one connection, which is opened again when it is lost.

    Args:
        address: Where the database is.
        durable: False to survive only a crash of the process, not one of the server.
        times: How leases are kept alive.
        patience: Seconds after which a server that does not come back is given up.
    """

    def __init__(self, address: Address, *, durable: bool, times: LeaseTimes, patience: float) -> None:
        self.name = address.name
        self._address = address
        self._durable = durable
        self._leases = Leases(times)
        self._line = Line(address, prepare=self._prepare, patience=patience)
        self._deletions = ""
        self._known = Recent()
        self._used = Recent()

    def open(self) -> None:
        """Connect, make the tables if need be, and give the first sign of life.

        Raises:
            StoreError: The store needs a newer harness.
            psycopg.Error: There is no server, or it does not let us in.
        """
        connection = self._line.connected()
        bring_up_to_date(connection, self._address)
        self._leases.forget_the_dead(connection)
        self._leases.refresh(connection)
        query = "SELECT value FROM harness.meta WHERE key = 'deletions'"
        [(self._deletions,)] = connection.execute(query).fetchall()

    def write(self, events: Sequence[EventRow], contents: Sequence[ContentRow]) -> Mapping[str, StoreError]:
        """Commit all rows whose runs are this process's; new runs become so.

        Whether a batch was committed whose connection was lost is seen from the events that are
        there, so it is neither lost nor doubled.
        """
        pending = _Pending(events, contents)
        self._line.run(lambda connection: self._write(connection, pending))
        return pending.lost

    def tend(self) -> float | None:
        """Give a sign of life if it is due; a server that is away is not waited for."""
        if not self._leases.until_due():
            # What fails here is left to the next batch, which waits for the server or says what is wrong.
            with contextlib.suppress(psycopg.Error):
                self._leases.refresh(self._line.connected())
        return self._leases.until_due()

    def claim(self, run_id: str) -> int:
        """Become the one that writes to a run; return the sequence its next event must have.

        Raises:
            RunTaken: A process that is alive writes to it.
        """

        def act(connection: Connection) -> int:
            self._leases.take(connection, [run_id])
            query = "SELECT max(sequence) + 1 FROM harness.events WHERE run_id = %s"
            [(following,)] = connection.execute(query, [run_id]).fetchall()
            return following or 0

        return self._line.run(act)

    def delete(self, run_ids: Collection[str]) -> int:
        """Remove runs and what only they refer to; return the bytes of what was removed.

        Raises:
            RunTaken: A process that is alive writes to one of them.
        """

        def act(connection: Connection) -> int:
            query = "SELECT run_id FROM harness.runs WHERE run_id = ANY(%s)"
            there = [run_id for (run_id,) in connection.execute(query, [list(run_ids)]).fetchall()]
            self._leases.take(connection, there)
            freed = delete_runs(connection, run_ids)
            for run_id in there:
                self._leases.held.pop(run_id, None)
            return freed

        return self._line.run(act)

    def close(self) -> None:
        """Let others have our runs, and close the connection."""
        self._line.last(self._leases.release_all)

    def _prepare(self, connection: Connection) -> None:
        level = "on" if self._durable else "off"
        # A server may be set to promise more than `on`, which is left so.
        query = """
            SELECT set_config('synchronous_commit', %s, false)
            WHERE %s OR current_setting('synchronous_commit') = 'off'
        """
        connection.execute(query, [level, not self._durable])
        # A deletion must see what others committed while it waited for them.
        connection.execute("SET default_transaction_isolation TO 'read committed'")

    def _write(self, connection: Connection, pending: _Pending) -> None:
        if pending.tried and pending.events:
            self._settle(connection, pending)
        pending.tried = True
        while pending.events:
            try:
                answer = connection.execute(_WRITE, self._values(pending), prepare=True).fetchall()
            except psycopg.errors.UniqueViolation:
                before = len(pending.events)
                self._settle(connection, pending)
                if len(pending.events) == before:
                    raise
                continue
            [deletions] = [value for kind, value, _ in answer if kind == "deletions"]
            if deletions != self._deletions:
                self._deletions = deletions
                self._known.clear()
                self._used.clear()
                continue
            self._done(
                connection, pending, {run_id: epoch for kind, run_id, epoch in answer if kind == "run"}
            )
        for run_id in pending.finished:
            self._leases.held.pop(run_id, None)

    def _values(self, pending: _Pending) -> dict[str, Any]:
        runs, sequences, ats, agents, types, bodies = map(list, zip(*pending.events, strict=True))
        held = self._leases.held
        ours = {run_id for run_id in runs if run_id in held}
        contents = [row for row in pending.contents if self._known.adds(row[0])]
        uses = {(key, row[0]): None for row in pending.events for key in references(row[5])}
        new_uses = [use for use in uses if self._used.adds(use)]
        return {
            "owner": self._leases.owner,
            "deletions": self._deletions,
            "held": list(ours),
            "epochs": [held[run_id] for run_id in ours],
            "finished": list(pending.finished),
            "new": list(dict.fromkeys(run_id for run_id in runs if run_id not in ours)),
            "hashes": [key for key, _ in contents],
            "contents": [body for _, body in contents],
            "used": [key for key, _ in new_uses],
            "users": [run_id for _, run_id in new_uses],
            "runs": runs,
            "sequences": sequences,
            "ats": ats,
            "agents": agents,
            "types": types,
            "bodies": bodies,
        }

    def _done(self, connection: Connection, pending: _Pending, mine: Mapping[str, int]) -> None:
        """Note which runs were written, and which were not because they are not ours."""
        refused = {row[0] for row in pending.events if row[0] not in mine}
        if refused:
            self._lose(pending, self._leases.refusal(connection, refused))
        self._leases.held.update(mine)
        pending.events = []

    def _settle(self, connection: Connection, pending: _Pending) -> None:
        """Find out what has become of the rows: committed earlier, overtaken, or still to be written."""
        firsts = list(first_rows(pending.events).values())
        values = {
            "runs": [row[0] for row in firsts],
            "sequences": [row[1] for row in firsts],
            "ats": [row[2] for row in firsts],
            "bodies": [row[5] for row in firsts],
        }
        found = dict(connection.execute(_FOUND, values).fetchall())
        overtakers = {run_id for run_id, same in found.items() if not same}
        self._lose(pending, {run_id: overtaken(run_id, "another process") for run_id in overtakers})
        pending.settle(found)
        # What was sent along may be there or not.
        self._known.clear()
        self._used.clear()

    def _lose(self, pending: _Pending, lost: Mapping[str, StoreError]) -> None:
        pending.lost.update(lost)
        for run_id in lost:
            self._leases.held.pop(run_id, None)
        self._used.clear()
