"""Where a PostgreSQL store is, and how its connections are made."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from harness.errors import StoreError, UsageError

Connection = psycopg.Connection[tuple[Any, ...]]

# A server that is gone without a word must not be waited for longer than a lease lives.
_DEFAULTS = {
    "application_name": "harness",
    "connect_timeout": "10",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
}


class Address:
    """The address of a database: what libpq takes as a URL, `postgresql://USER:PASSWORD@HOST:PORT/NAME?…`.

    Raises:
        UsageError: It cannot be understood.
    """

    def __init__(self, url: str) -> None:
        authority, _, path = url.partition("://")[2].partition("/")
        try:
            if authority.count("@") > 1 or "@" in path.partition("?")[0]:
                # Libpq would take a part of the password for the host, and name it in messages.
                raise ValueError
            parts = {key: str(value) for key, value in conninfo_to_dict(url).items()}
        except (psycopg.Error, ValueError):
            raise UsageError(
                "the address of the PostgreSQL store cannot be understood; it must look like "
                "postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with every special character of the "
                "password percent-encoded (@ is %40, / is %2F)"
            ) from None
        self._password = parts.get("password", "")
        self._conninfo = make_conninfo(**(_DEFAULTS | parts))
        user = f"{parts['user']}@" if "user" in parts else ""
        port = f":{parts['port']}" if "port" in parts else ""
        self.name = f"postgresql://{user}{parts.get('host', '')}{port}/{parts.get('dbname', '')}"
        """What messages call it: without the password."""

    def connect(self) -> Connection:
        """Open a connection that commits each statement.

        Raises:
            psycopg.OperationalError: There is no server, or it does not let us in.
        """
        try:
            return psycopg.connect(self._conninfo, autocommit=True)
        except psycopg.Error as error:
            raise psycopg.OperationalError(self.explain(error)) from None

    def explain(self, error: Exception) -> str:
        """Return in one line what an error says, without the password."""
        said = " ".join(str(error).split())
        return said.replace(self._password, "***") if self._password else said

    @contextlib.contextmanager
    def refusing(self) -> Generator[None]:
        """Turn what PostgreSQL complains about into a StoreError that names the store."""
        try:
            yield
        except psycopg.Error as error:
            raise StoreError(f"{self.name} cannot be used: {self.explain(error)}") from error
