"""A connection that comes back."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import psycopg

from harness.journal.postgres.address import Address, Connection

T = TypeVar("T")

# What passes by itself: a deadlock was resolved at our cost; the server is a standby (a failover
# went on), shuts down, starts up, or has no room for one more connection.
_PASSES = {"40001", "40P01", "25006", "57P01", "57P02", "57P03", "53300"}
_LONGEST_PAUSE = 1.0


class Line:
    """A connection for one thread, opened again whenever it is lost.

    Args:
        address: Where to connect.
        patience: Seconds after which a server that does not come back is given up.
        prepare: What to do with every new connection.
    """

    def __init__(
        self, address: Address, *, patience: float, prepare: Callable[[Connection], None] | None = None
    ) -> None:
        self._address = address
        self._prepare = prepare
        self._patience = patience
        self._connection: Connection | None = None

    def connected(self) -> Connection:
        """Return the connection, opened if there is none.

        Raises:
            psycopg.Error: It cannot be opened.
        """
        if self._connection is None or self._connection.closed:
            self._connection = None
            connection = self._address.connect()
            if self._prepare is not None:
                try:
                    self._prepare(connection)
                except BaseException:
                    connection.close()
                    raise
            self._connection = connection
        return self._connection

    def run(self, act: Callable[[Connection], T]) -> T:
        """Do something, again and again as long as the connection gets lost meanwhile.

        Every time but the first, `act` must reckon with an earlier one having had its effect.

        Raises:
            psycopg.Error: It failed for a reason that does not pass, or did not pass in time.
        """
        give_up: float | None = None
        pause = 0.05
        while True:
            try:
                return act(self.connected())
            except psycopg.Error as error:
                if not self._passes(error):
                    raise
                now = time.monotonic()
                give_up = now + self._patience if give_up is None else give_up
                if now >= give_up:
                    raise
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def last(self, act: Callable[[Connection], None] | None = None) -> None:
        """Do something if the connection is there, and close it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            if act is not None and not connection.closed:
                act(connection)
            connection.close()

    def _passes(self, error: psycopg.Error) -> bool:
        if self._connection is None or self._connection.closed:
            return True
        if error.sqlstate not in _PASSES:
            return False
        if error.sqlstate not in ("40001", "40P01"):
            self._connection.close()
        return True
