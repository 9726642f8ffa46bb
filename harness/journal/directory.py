"""A directory of journal files that looks like one journal.

A file has one writer, yet two runs in two terminals should just work: each process writes the
first file whose lock is free, and reading presents all files as one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import chain, count, groupby
from pathlib import Path

import anyio

from harness.errors import RunTaken, StoreError
from harness.events import Recorded
from harness.journal.answers import AnswerFile
from harness.journal.database import SEGMENT_NAME, Durability, refusing
from harness.journal.lock import StoreTaken
from harness.journal.order import newest_first
from harness.journal.port import Answer, RunSummary
from harness.journal.reading import SqliteReader, opened_for_reading
from harness.journal.sqlite import SqliteJournal


def segments(directory: Path) -> list[Path]:
    """Return the journal files of a directory, the first one first; none if it does not exist."""
    if not directory.is_dir():
        return []
    numbered = [
        (int(match[1] or 1), path)
        for path in directory.iterdir()
        if (match := SEGMENT_NAME.fullmatch(path.name))
    ]
    return [path for _, path in sorted(numbered)]


class DirectoryReader:
    """All journal files of a directory, only read; files that appear later are seen too."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._answers = AnswerFile.of_directory(directory)

    def append(self, recorded: Sequence[Recorded]) -> None:
        """Refuse.

        Raises:
            StoreError: Always.
        """
        raise opened_for_reading(self.directory, "append to it")

    async def durable(self, run_id: str = "") -> None:
        """Return at once: nothing is pending."""

    def read(self, run_id: str, *, start: int = 0) -> Iterator[Recorded]:
        """Yield the events of a run in order, from sequence `start`.

        Raises:
            StoreError: A file cannot be read, or needs a newer harness.
        """
        readers = (SqliteReader(path) for path in segments(self.directory))
        return chain.from_iterable(reader.read(run_id, start=start) for reader in readers)

    def runs(self) -> list[RunSummary]:
        """Return the runs of all files, newest first.

        Raises:
            StoreError: A file cannot be read, or needs a newer harness.
        """
        readers = (SqliteReader(path) for path in segments(self.directory))
        return newest_first(chain.from_iterable(reader.runs() for reader in readers))

    async def claim(self, run_id: str) -> None:
        """Refuse.

        Raises:
            StoreError: Always.
        """
        raise opened_for_reading(self.directory, f"carry on run {run_id}")

    def answer(self, run_id: str, answer: Answer) -> None:
        """Leave the answer to a question, durably; whoever writes to the run will find it.

        Raises:
            StoreError: It cannot be written.
            UsageError: The question has been answered before.
        """
        self._answers.leave(run_id, answer)

    def answers(self, run_id: str) -> list[Answer]:
        """Return the answers left for a run.

        Raises:
            StoreError: They cannot be read.
        """
        return self._answers.left(run_id)

    async def delete(self, run_ids: Collection[str]) -> int:
        """Refuse.

        Raises:
            StoreError: Always.
        """
        raise opened_for_reading(self.directory, "delete from it")

    async def close(self) -> None:
        """Do nothing: nothing is open."""


class DirectoryJournal:
    """A directory open for writing: new runs go to a file of this process's own.

    A run that began in another file is continued there, if no other process is writing that file.

    Args:
        directory: Made if it is missing, for this user only, with a `.gitignore` that hides it.
        durability: `durable` survives a crash of the machine, `buffered` one of the process.

    Raises:
        StoreError: The directory or its files cannot be used.
    """

    def __init__(self, directory: str | Path, *, durability: Durability = "durable") -> None:
        self.directory = Path(directory)
        self._durability: Durability = durability
        self._answers = AnswerFile.of_directory(self.directory)
        _make(self.directory)
        self._own = self._open_first_free()
        self._opened: dict[Path, SqliteJournal] = {self._own.path: self._own}
        self._homes: dict[str, SqliteJournal] = {}
        self._reader = DirectoryReader(self.directory)
        self._taking = anyio.Lock()

    @property
    def path(self) -> Path:
        """The file that new runs of this process go to."""
        return self._own.path

    @property
    def commits(self) -> int:
        """How many transactions this object has committed."""
        return sum(journal.commits for journal in self._opened.values())

    def append(self, recorded: Sequence[Recorded]) -> None:
        """Take events in order and return at once.

        Raises:
            RunTaken: Another process is writing the file of this run.
            StoreError: An earlier write failed, a sequence is missing or was used before, or the
                journal is closed.
            TypeError: An event holds something that has no JSON form.
        """
        if len({item.run_id for item in recorded}) == 1:
            self._home(recorded[0].run_id).append(recorded)
            return
        for run_id, its in groupby(recorded, key=lambda item: item.run_id):
            self._home(run_id).append(list(its))

    async def durable(self, run_id: str = "") -> None:
        """Wait until everything appended so far is committed; returns at once if it is.

        Raises:
            StoreError: It could not be written.
        """
        if run_id:
            # What is in no file yet was not appended.
            if home := self._homes.get(run_id):
                await home.durable(run_id)
            return
        for journal in tuple(self._opened.values()):
            await journal.durable()

    def read(self, run_id: str, *, start: int = 0) -> Iterator[Recorded]:
        """Yield the events of a run in order, from sequence `start`; blocks until they are committed.

        Raises:
            StoreError: A file cannot be read, or needs a newer harness.
        """
        home = self._homes.get(run_id)
        return (home or self._reader).read(run_id, start=start)

    def runs(self) -> list[RunSummary]:
        """Return the runs of all files, newest first; blocks until what was appended is committed.

        Raises:
            StoreError: A file cannot be read, or needs a newer harness.
        """
        files = (self._opened.get(path) or SqliteReader(path) for path in segments(self.directory))
        return newest_first(chain.from_iterable(file.runs() for file in files))

    async def claim(self, run_id: str) -> None:
        """Open the file that a run lives in for writing, and keep it until `close`.

        Raises:
            RunTaken: Another process is writing that file; the message names it.
            StoreError: A file cannot be used, an earlier write failed, or the journal is closed.
        """
        async with self._taking:
            await self._home(run_id).claim(run_id)

    def answer(self, run_id: str, answer: Answer) -> None:
        """Leave the answer to a question, durably.

        Raises:
            StoreError: It cannot be written.
            UsageError: The question has been answered before.
        """
        self._answers.leave(run_id, answer)

    def answers(self, run_id: str) -> list[Answer]:
        """Return the answers left for a run.

        Raises:
            StoreError: They cannot be read.
        """
        return self._answers.left(run_id)

    async def delete(self, run_ids: Collection[str]) -> int:
        """Forget whole runs, and content that nothing refers to any more; return the bytes freed.

        Takes every file that holds one of them, so all or none can be deleted. Each is read whole
        and written anew.

        Raises:
            RunTaken: Another process is writing a file that one of them lives in.
            StoreError: A file cannot be used, or the journal is closed.
        """
        async with self._taking:
            await self.durable()
            found = {path: SqliteReader(path).among(run_ids) for path in segments(self.directory)}
            before = set(self._opened)
            try:
                journals = [(self._open(path, its[0]), its) for path, its in found.items() if its]
                freed = sum([await journal.delete(its) for journal, its in journals])
                self._answers.forget(run_ids)
                for run_id in run_ids:
                    self._homes.pop(run_id, None)
            finally:
                await self._release(self._opened.keys() - before)
        return freed

    async def close(self) -> None:
        """Write what is pending and let others write the files; does nothing the second time.

        Raises:
            StoreError: Something was lost and no call has said so yet.
        """
        failure: StoreError | None = None
        for journal in self._opened.values():
            try:
                await journal.close()
            except StoreError as error:
                failure = error
        if failure is not None:
            raise failure

    def _open_first_free(self) -> SqliteJournal:
        for number in count(1):
            path = self.directory / ("journal.db" if number == 1 else f"journal-{number}.db")
            try:
                return SqliteJournal(path, durability=self._durability, answers=self._answers)
            except StoreTaken:
                continue
        raise AssertionError("numbers do not end")

    def _home(self, run_id: str) -> SqliteJournal:
        """Return the file that holds a run, opened for writing; the own one for a new run."""
        home = self._homes.get(run_id)
        if home is None:
            home = self._homes[run_id] = self._find_home(run_id)
        return home

    def _find_home(self, run_id: str) -> SqliteJournal:
        for path in segments(self.directory):
            if path != self._own.path and SqliteReader(path).among([run_id]):
                return self._open(path, run_id)
        return self._own

    def _open(self, path: Path, run_id: str) -> SqliteJournal:
        """Return a file opened for writing, for the sake of a run that lives in it."""
        if path not in self._opened:
            try:
                journal = SqliteJournal(path, durability=self._durability, answers=self._answers)
            except StoreTaken as taken:
                raise RunTaken(
                    f"run {run_id} is in {path}, which is being written by process {taken.owner}; "
                    "wait until that process ends, or end it, and try again"
                ) from taken
            self._opened[path] = journal
        return self._opened[path]

    async def _release(self, paths: Collection[Path]) -> None:
        """Let others write these files, except those that runs have come to live in meanwhile."""
        homes = set(self._homes.values())
        for path in paths:
            if self._opened[path] not in homes:
                await self._opened.pop(path).close()


def _make(directory: Path) -> None:
    with refusing(directory):
        if not directory.exists():
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            (directory / ".gitignore").write_text("*\n", encoding="utf-8")
