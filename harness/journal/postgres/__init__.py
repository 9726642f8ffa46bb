"""Journals in PostgreSQL; needs the extra `postgres`."""

from harness.journal.postgres.address import Address
from harness.journal.postgres.journal import PostgresJournal
from harness.journal.postgres.leases import LeaseTimes
from harness.journal.postgres.reading import PostgresReader

__all__ = ["Address", "LeaseTimes", "PostgresJournal", "PostgresReader"]
