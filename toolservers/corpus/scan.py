"""What belongs to a corpus: the files of one folder that a scope lets in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from toolservers.corpus.kinds import Kind, is_skipped_folder, kind_of
from toolservers.globs import matches
from toolservers.paths import Root


@dataclass(frozen=True, slots=True)
class Stamp:
    """How a file looked from outside; a file with the same stamp is taken to be unchanged."""

    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Scope:
    """Which files of which folder are searched."""

    root: Root
    include: tuple[str, ...] = ()
    """Only files that one of these globs covers; they may name kinds of files that are otherwise left out."""
    exclude: tuple[str, ...] = ()
    max_file_bytes: int = 2_000_000

    def kind_of(self, path: str) -> Kind | None:
        """The kind of a file, or None if it stays out."""
        if self.exclude and matches(path, self.exclude):
            return None
        if not self.include:
            return kind_of(path)
        return (kind_of(path) or "text") if matches(path, self.include) else None

    def files(self) -> dict[str, Stamp]:
        """Every file of the corpus by its relative path, in order of paths.

        Symbolic links are not followed, whether to files or to folders; folders that cannot be listed are passed over.
        """
        return dict(sorted(self._walk()))

    def _walk(self) -> Iterator[tuple[str, Stamp]]:
        pending = [""]
        while pending:
            folder = pending.pop()
            try:
                with os.scandir(self.root.folder / folder) as listing:
                    entries = list(listing)
            except OSError:
                continue
            if folder and any(entry.name == "pyvenv.cfg" for entry in entries):
                continue
            for entry in entries:
                # A name that cannot be printed on one line could not be part of a locator.
                if not entry.name.isprintable() or entry.name.startswith("."):
                    continue
                path = f"{folder}{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    if not is_skipped_folder(entry.name) and not (
                        self.exclude and matches(path, self.exclude)
                    ):
                        pending.append(f"{path}/")
                elif self.kind_of(path) and (stamp := self._stamp(entry)):
                    yield path, stamp

    def _stamp(self, entry: os.DirEntry[str]) -> Stamp | None:
        try:
            if not entry.is_file(follow_symlinks=False):
                return None
            status = entry.stat(follow_symlinks=False)
        except OSError:
            return None
        return Stamp(status.st_size, status.st_mtime_ns) if status.st_size <= self.max_file_bytes else None
