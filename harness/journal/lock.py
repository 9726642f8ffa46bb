"""One process writes a journal file: SQLite before 3.51.3 may corrupt a WAL that two write to."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from harness.errors import StoreError


class StoreTaken(StoreError):
    """Another process is writing this file."""

    def __init__(self, path: Path, owner: str) -> None:
        self.path = path
        self.owner = owner
        """Id of that process, or `unknown`."""
        super().__init__(
            f"{path} is being written by process {owner}; wait until it ends, or choose another store "
            "(a directory store gives every process a file of its own)"
        )


class WriterLock:
    """The right to write one file, held until `release` or the end of the process.

    The lock is the kernel's, on `PATH.lock`; the file stays behind and a stale one is harmless. It
    holds the id of the process that took the lock last, for the message to the next one.
    """

    def __init__(self, path: Path) -> None:
        """Take the lock.

        Raises:
            StoreTaken: Another journal, here or in another process, holds it.
            OSError: The lock file cannot be made.
        """
        self._file = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(self._file, 20, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._file)
            raise StoreTaken(path, owner) from None
        except OSError:
            os.close(self._file)
            raise
        # Only the message to others would suffer if this failed, on a full disk for instance.
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let others write; does nothing the second time."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
