"""Who may write to which run, when several processes share a database.

A process is one row of `writers`, which it refreshes every few seconds; all times are those of the
database's clock. A run names the process that writes to it. A run may be taken when its process
has fallen silent, has closed the store, or has finished the run; each taking raises the run's
epoch, and whoever comes with an older one is refused.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Collection
from dataclasses import dataclass

import psycopg

from harness.errors import Fenced, RunTaken, StoreError
from harness.journal.postgres.address import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTimes:
    """How leases are kept alive."""

    refreshed: float = 5.0
    """Seconds between two signs of life."""
    dead: float = 30.0
    """Seconds of silence after which a process has lost its runs to whoever wants them."""


_REFRESH = """
INSERT INTO harness.writers (owner, process, expires_at)
VALUES (%(owner)s, %(process)s, clock_timestamp() + make_interval(secs => %(dead)s))
ON CONFLICT (owner) DO UPDATE SET expires_at = excluded.expires_at
"""

_TAKE = """
INSERT INTO harness.runs AS run (run_id, owner, epoch)
SELECT run_id, %(owner)s, 1 FROM unnest(%(runs)s::text[]) AS wanted (run_id) ORDER BY run_id
ON CONFLICT (run_id) DO UPDATE SET owner = excluded.owner, epoch = run.epoch + 1
WHERE run.owner = excluded.owner OR NOT EXISTS (
    SELECT FROM harness.writers AS writer
    WHERE writer.owner = run.owner AND writer.expires_at > clock_timestamp()
)
RETURNING run_id, epoch
"""

_HOLDERS = """
SELECT run.run_id, writer.process, extract(epoch FROM writer.expires_at - clock_timestamp())::float8
FROM harness.runs AS run LEFT JOIN harness.writers AS writer USING (owner)
WHERE run.run_id = ANY(%s)
"""


class Leases:
    """The runs that this process may write to."""

    def __init__(self, times: LeaseTimes) -> None:
        self.owner = secrets.token_hex(12)
        """Id of this process in the database, different at every start."""
        self.held: dict[str, int] = {}
        """The epoch of each run that is ours, as far as we know."""
        self._times = times
        self._process = f"{os.getpid()} on {socket.gethostname()}"
        self._due = 0.0

    def until_due(self) -> float:
        """Return in how many seconds the next sign of life is due."""
        return max(0.0, self._due - time.monotonic())

    def refresh(self, connection: Connection) -> None:
        """Give a sign of life."""
        self._due = time.monotonic() + self._times.refreshed
        values = {"owner": self.owner, "process": self._process, "dead": self._times.dead}
        connection.execute(_REFRESH, values)

    def take(self, connection: Connection, run_ids: Collection[str]) -> None:
        """Become the one that writes to these runs, which need not exist.

        Raises:
            RunTaken: A process that is alive has one of them; then none is taken.
        """
        with connection.transaction():
            rows = connection.execute(_TAKE, {"owner": self.owner, "runs": list(run_ids)}).fetchall()
            taken = {run_id: epoch for run_id, epoch in rows}
            refused = [run_id for run_id in run_ids if run_id not in taken]
            if refused:
                raise self.refusal(connection, refused)[refused[0]]
        self.held.update(taken)

    def refusal(self, connection: Connection, run_ids: Collection[str]) -> dict[str, StoreError]:
        """Return what to say about runs that another process has."""
        holders = {
            run_id: (process, seconds)
            for run_id, process, seconds in connection.execute(_HOLDERS, [list(run_ids)]).fetchall()
        }
        return {run_id: self._refusal(run_id, *holders.get(run_id, (None, None))) for run_id in run_ids}

    def _refusal(self, run_id: str, process: str | None, seconds: float | None) -> StoreError:
        if run_id not in self.held:
            return RunTaken(
                f"run {run_id} is being written by process {process or 'unknown'}, which counts as alive for "
                f"another {max(0.0, seconds or 0.0):.0f} s; wait until it ends, or end it, and try again"
            )
        return overtaken(run_id, f"process {process}" if process else "another process")

    def release_all(self, connection: Connection) -> None:
        """Let whoever wants have all runs; the last thing done with a connection."""
        try:
            connection.execute("DELETE FROM harness.writers WHERE owner = %s", [self.owner])
        except psycopg.Error:
            # They expire by themselves.
            return

    def forget_the_dead(self, connection: Connection) -> None:
        """Clear away what processes left that died long ago."""
        connection.execute("DELETE FROM harness.writers WHERE expires_at < now() - interval '1 day'")


def overtaken(run_id: str, by: str) -> Fenced:
    """Return the error for a run that was ours and is another process's now."""
    return Fenced(f"run {run_id} has been taken over by {by}; this process must not go on with it")
