"""What can be done with the files of a folder, by descriptors only, so that no path is looked up twice."""

from __future__ import annotations

import fnmatch
import os
import posixpath
import re
import secrets
import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from toolservers.paths import PathRefused, Root

EntryKind: TypeAlias = Literal["file", "folder", "link", "other"]
LARGEST_FILE = 10_000_000
_UNEXPLORED = {".git", ".hg", ".svn", "node_modules", "__pycache__"}
_SEARCH_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing in a folder."""

    path: str
    kind: EntryKind
    size: int


@dataclass(frozen=True, slots=True)
class Match:
    """One line that holds what was searched."""

    path: str
    line: int
    text: str


class Folder:
    """The files below one root; changes to them wait for each other."""

    def __init__(self, root: Root) -> None:
        self.root = root
        self._changing = threading.Lock()

    def entries(self, path: str, *, depth: int) -> Iterator[Entry]:
        """What is in a folder and, from depth 2 on, in its folders; each folder in order of names.

        Links are named but not followed, and folders of version control and packages not opened.

        Raises: PathRefused, OSError.
        """
        path = self.root.relative(path)
        with self.root.folder_open(path) as descriptor:
            listed = sorted(_listing(descriptor))
        for name in listed:
            below = name if path == "." else f"{path}/{name}"
            entry = self._entry(below)
            if entry is None:
                continue
            yield entry
            if entry.kind == "folder" and depth > 1 and name not in _UNEXPLORED:
                try:
                    yield from self.entries(below, depth=depth - 1)
                except (OSError, PathRefused):
                    continue

    def text(self, path: str) -> str:
        """The whole of a text file, line ends as they are.

        Raises: PathRefused for binary, very large and special files and for paths outside; OSError.
        """
        data, status = self.root.read(path, limit=LARGEST_FILE + 1)
        if len(data) > LARGEST_FILE:
            raise PathRefused(f"{path!r} has {status.st_size} bytes; files over {LARGEST_FILE} are not read.")
        if b"\0" in data:
            raise PathRefused(f"{path!r} is a binary file of {status.st_size} bytes.")
        return data.decode("utf-8", errors="surrogateescape")

    def search(self, pattern: str, *, path: str, names: str, ignore_case: bool) -> Iterator[Match]:
        """The lines that hold `pattern` as it is written, file by file; gives up with TimeoutError after a while.

        Raises: PathRefused, OSError for the path where the search begins; TimeoutError.
        """
        deadline = time.monotonic() + _SEARCH_SECONDS
        sought = re.compile(re.escape(pattern), re.IGNORECASE if ignore_case else 0)
        for file in self._files(path):
            if time.monotonic() > deadline:
                raise TimeoutError
            if not fnmatch.fnmatchcase(posixpath.basename(file), names):
                continue
            try:
                text = self.text(file)
            except (OSError, PathRefused):
                continue
            if sought.search(text):
                for number, line in enumerate(text.split("\n"), start=1):
                    if sought.search(line):
                        yield Match(file, number, line.rstrip("\r"))

    def write(self, path: str, content: str) -> bool:
        """Makes `content` the whole content of the file, at once or not at all, and says whether it is new.

        Folders on the way are made.

        Raises: PathRefused, OSError; UnicodeEncodeError for text that UTF-8 cannot hold.
        """
        data = content.encode()
        with self._changing:
            return self._replace(path, data)

    def edit(self, path: str, old: str, new: str) -> int:
        """Puts `new` in the place of the only `old` and gives the line where it begins, counted from 1.

        In a file with CRLF line ends, LF in `old` and `new` stands for CRLF.

        Raises: PathRefused where `old` does not occur exactly once, and as `write` does.
        """
        if not old:
            raise PathRefused("old is empty; give the text to be replaced.")
        with self._changing:
            text = self.text(path)
            if "\r\n" in text and old not in text:
                old, new = (part.replace("\r\n", "\n").replace("\n", "\r\n") for part in (old, new))
            count = text.count(old)
            if count != 1:
                how = (
                    "Read the file and copy the text exactly"
                    if not count
                    else "Add lines around it to name one place"
                )
                raise PathRefused(f"old occurs {count} times in {path!r}, not once. {how}.")
            self._replace(path, text.replace(old, new).encode("utf-8", errors="surrogateescape"))
            return text.count("\n", 0, text.index(old)) + 1

    def _files(self, path: str) -> Iterator[str]:
        path = self.root.relative(path)
        first = self._entry(path)
        if first is None:
            raise FileNotFoundError(path)
        if first.kind != "folder":
            yield path
            return
        for entry in self.entries(path, depth=64):
            if entry.kind == "file":
                yield entry.path

    def _entry(self, path: str) -> Entry | None:
        parent, name = posixpath.split(path)
        try:
            with self.root.folder_open(parent or ".") as descriptor:
                status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
        except (OSError, PathRefused):
            return None
        return Entry(path, _kind(status.st_mode), status.st_size)

    def _replace(self, path: str, data: bytes) -> bool:
        path = self.root.relative(path)
        parent, name = posixpath.split(path)
        if not name or name == ".":
            raise PathRefused(f"{path!r} is a folder.")
        self._make_folders(parent)
        with self.root.folder_open(parent or ".") as descriptor:
            before = _status(name, descriptor)
            if before is not None and not stat.S_ISREG(before.st_mode):
                raise PathRefused(f"{path!r} is a {_kind(before.st_mode)}, so it is not written.")
            _write_whole(name, data, folder=descriptor, mode=stat.S_IMODE(before.st_mode) if before else None)
        return before is None

    def _make_folders(self, path: str) -> None:
        """Makes each missing folder inside its parent's descriptor, so that a swapped link leads nowhere new."""
        parts = [part for part in path.split("/") if part not in ("", ".")]
        for count, part in enumerate(parts):
            with self.root.folder_open("/".join(parts[:count]) or ".") as descriptor:
                if _status(part, descriptor) is None:
                    os.mkdir(part, dir_fd=descriptor)


def _listing(descriptor: int) -> list[str]:
    # A name that is not text could neither be shown nor asked for.
    return [name for name in os.listdir(descriptor) if name.isprintable()]


def _status(name: str, folder: int) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _kind(mode: int) -> EntryKind:
    if stat.S_ISDIR(mode):
        return "folder"
    if stat.S_ISLNK(mode):
        return "link"
    return "file" if stat.S_ISREG(mode) else "other"


def _write_whole(name: str, data: bytes, *, folder: int, mode: int | None) -> None:
    """Writes beside the file and renames over it; the rename replaces a link instead of following it."""
    temporary = f".{secrets.token_hex(8)}.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with open(os.open(temporary, flags, 0o666, dir_fd=folder), "wb") as file:
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        if _status(temporary, folder) is not None:
            os.unlink(temporary, dir_fd=folder)
        raise
