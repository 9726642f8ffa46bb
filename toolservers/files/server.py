"""A folder as MCP tools: `list`, `read`, `search` and, where granted, `write` and `edit`."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated, Literal

import anyio.from_thread
from mcp.server.mcpserver import MCPServer
from mcp.types import CallToolResult, ToolAnnotations
from pydantic import BaseModel, Field

from toolservers.blocks import block, cut_lines, refusal, result
from toolservers.files.folder import Entry, Folder, Match
from toolservers.paths import PathRefused, Root

_MOST_ENTRIES = 500
_MOST_LINES = 2000
_MOST_BYTES = 64 * 1024
_LONGEST_LINE = 300
_READS = ToolAnnotations(
    read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)
_WRITES = ToolAnnotations(
    read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False
)
_EDITS = ToolAnnotations(
    read_only_hint=False, destructive_hint=True, idempotent_hint=False, open_world_hint=False
)

_AnyPath = Annotated[str, Field(description="Relative to the root folder; `.` is the root.")]
_FilePath = Annotated[str, Field(description="The file, relative to the root folder.")]


class EntryFound(BaseModel):
    path: str
    kind: Literal["file", "folder", "link", "other"]
    size: int = Field(description="Bytes.")


class ListResult(BaseModel):
    entries: list[EntryFound]
    cut: bool = Field(description="Whether there is more than is listed.")


class ReadResult(BaseModel):
    source: str
    locator: str
    text: str
    line_count: int = Field(description="Lines in the whole file.")
    next: int | None = Field(description="The line to read on at, where there is more.")


class MatchFound(BaseModel):
    path: str
    line: int
    text: str


class SearchResult(BaseModel):
    matches: list[MatchFound]
    cut: bool = Field(description="Whether there may be more than is given.")


class ChangeResult(BaseModel):
    path: str
    line: int = Field(description="Where the change begins.")
    created: bool


def make_server(*, base: Path | None, root: str, write: bool) -> MCPServer:
    """A server over one folder; the tools that change files exist only where they are granted."""
    if not isinstance(write, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError(f"write must be true or false, not {write!r}.")
    tools = _Tools(Folder(Root.at(root, base=base)))
    granted = "read and change" if write else "only read"
    server = MCPServer(
        "files", instructions=f"The files of one folder, which you can {granted}.", log_level="WARNING"
    )
    server.add_tool(tools.list_entries, name="list", annotations=_READS)
    server.add_tool(tools.read, annotations=_READS)
    server.add_tool(tools.search, annotations=_READS)
    if write:
        server.add_tool(tools.write, annotations=_WRITES)
        server.add_tool(tools.edit, annotations=_EDITS)
    return server


class _Tools:
    """The tools of one folder; the SDK runs each call in a worker thread."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    def list_entries(
        self,
        path: _AnyPath = ".",
        depth: Annotated[int, Field(description="How many levels of folders to show.", ge=1, le=20)] = 1,
    ) -> Annotated[CallToolResult, ListResult]:
        """Lists a folder: names, sizes in bytes, folders ending in `/`, links in `@`; at most 500 entries."""
        with _refusals(path):
            entries = list(islice(self._folder.entries(path, depth=depth), _MOST_ENTRIES + 1))
        cut = len(entries) > _MOST_ENTRIES
        entries = entries[:_MOST_ENTRIES]
        text = "\n".join(map(_shown, entries)) or "The folder is empty."
        if cut:
            text += f"\nCut after {_MOST_ENTRIES} entries; list a folder further down or with less depth."
        found = [EntryFound(path=entry.path, kind=entry.kind, size=entry.size) for entry in entries]
        return result(text, ListResult(entries=found, cut=cut))

    def read(
        self,
        path: _FilePath,
        start: Annotated[int, Field(description="First line, counted from 1.", ge=1)] = 1,
        lines: Annotated[int, Field(description="How many lines.", ge=1, le=_MOST_LINES)] = 200,
    ) -> Annotated[CallToolResult, ReadResult]:
        """Reads lines of a text file verbatim; at most 64 KB at once."""
        with _refusals(path):
            path = self._folder.root.relative(path)
            text = self._folder.text(path).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            every = text.removesuffix("\n").split("\n")
            if start > len(every):
                raise PathRefused(f"{path} has {len(every)} lines, so line {start} does not exist.")
        stop = min(len(every), start + lines - 1)
        chosen, reason = cut_lines(
            every, first=start, last=stop, most_lines=_MOST_LINES, most_bytes=_MOST_BYTES
        )
        stop = start + len(chosen) - 1
        following = stop + 1 if stop < len(every) else None
        locator, body = f"{path}:{start}-{stop}", "\n".join(chosen)
        shown = block(body, head=(locator, f"{len(every)} lines"))
        if reason:
            shown += f"\nCut {reason}."
        if following:
            shown += f"\nNext: start={following}"
        read = ReadResult(source=path, locator=locator, text=body, line_count=len(every), next=following)
        return result(shown, read)

    def search(
        self,
        pattern: Annotated[
            str, Field(description="Text to find, taken literally, within one line.", min_length=1)
        ],
        path: _AnyPath = ".",
        names: Annotated[
            str, Field(description="Only files whose name matches this glob, like `*.py`.")
        ] = "*",
        ignore_case: Annotated[bool, Field(description="Whether capitals count as small letters.")] = False,
        limit: Annotated[int, Field(description="Most lines to return.", ge=1, le=500)] = 50,
    ) -> Annotated[CallToolResult, SearchResult]:
        """Finds the lines of text files that hold a text; each as `path:LINE: text`."""
        matches: list[Match] = []
        reason = ""
        with _refusals(path):
            try:
                for match in self._folder.search(pattern, path=path, names=names, ignore_case=ignore_case):
                    anyio.from_thread.check_cancelled()
                    if len(matches) == limit:
                        reason = f"after {limit} lines"
                        break
                    matches.append(match)
            except TimeoutError:
                reason = "because it took long"
        found = [MatchFound(path=one.path, line=one.line, text=_readable(one.text)) for one in matches]
        text = "\n".join(f"{one.path}:{one.line}: {one.text}" for one in found) or "No line matches."
        if reason:
            text += f"\nCut {reason}; narrow the search by path, names or a longer text."
        return result(text, SearchResult(matches=found, cut=bool(reason)))

    def write(
        self,
        path: _FilePath,
        content: Annotated[str, Field(description="The whole new content.")],
    ) -> Annotated[CallToolResult, ChangeResult]:
        """Writes a whole file, replacing what it held; folders on the way are made."""
        with _refusals(path):
            path = self._folder.root.relative(path)
            created = self._folder.write(path, content)
        text = f"{'Created' if created else 'Replaced'} {path} ({len(content.encode())} bytes)."
        return result(text, ChangeResult(path=path, line=1, created=created))

    def edit(
        self,
        path: _FilePath,
        old: Annotated[
            str, Field(description="Text that occurs exactly once, with its blanks and line breaks.")
        ],
        new: Annotated[str, Field(description="What to put in its place.")],
    ) -> Annotated[CallToolResult, ChangeResult]:
        """Replaces one text in a file by another."""
        with _refusals(path):
            path = self._folder.root.relative(path)
            line = self._folder.edit(path, old, new)
        return result(f"Edited {path} at line {line}.", ChangeResult(path=path, line=line, created=False))


@contextmanager
def _refusals(path: str) -> Generator[None, None, None]:
    """Turns what the folder refuses into an error that the model can read."""
    try:
        yield
    except (OSError, PathRefused, UnicodeError) as error:
        raise refusal(error, path) from None


def _shown(entry: Entry) -> str:
    if entry.kind == "folder":
        return f"{entry.path}/"
    return f"{entry.path}@" if entry.kind == "link" else f"{entry.path}  {entry.size}"


def _readable(line: str) -> str:
    text = line.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return text if len(text) <= _LONGEST_LINE else f"{text[:_LONGEST_LINE]}…"
