"""The corpus as MCP tools: `search`, `read` and `outline`."""

from __future__ import annotations

import difflib
import posixpath
import re
import sqlite3
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import CallToolResult, ToolAnnotations
from pydantic import BaseModel, Field

from toolservers.blocks import block, cut_lines, refusal, result
from toolservers.corpus.index import Index, Indexed
from toolservers.corpus.passages import lines_of, readable
from toolservers.corpus.progress import Progress
from toolservers.corpus.scan import Scope
from toolservers.paths import PathRefused, Root

_MOST_LINES = 400
_MOST_BYTES = 32 * 1024
_READS = ToolAnnotations(
    read_only_hint=True, idempotent_hint=True, destructive_hint=False, open_world_hint=False
)
_INSTRUCTIONS = (
    "A searchable folder of text and source. Search first; each passage comes with a locator `path:START-END` of "
    "file lines. Cite locators, and read them with more context where a passage is not enough."
)


class PassageFound(BaseModel):
    source: str = Field(description="Path of the file.")
    locator: str = Field(description="path:START-END, lines counted from 1.")
    title: str = Field(description="Nearest heading or definition.")
    score: float = Field(description="Higher is better.")
    text: str = Field(description="The lines, verbatim.")


class SearchResult(BaseModel):
    passages: list[PassageFound]


class ReadResult(BaseModel):
    source: str
    locator: str
    title: str
    text: str
    line_count: int = Field(description="Lines in the whole file.")
    next: str | None = Field(description="Locator to read on at, where the text was cut.")


class OutlineResult(BaseModel):
    files: int
    passages: int
    folders: dict[str, int] = Field(description="Files below each top-level folder.")
    kinds: dict[str, int] = Field(description="Files of each kind.")


@dataclass(frozen=True, slots=True)
class Options:
    """Everything a server is made of, checked."""

    scope: Scope
    cache: str | None
    refresh_seconds: float
    terminal_progress: bool


def options(*, base: Path | None, root: str, include: object, exclude: object, **others: Any) -> Options:
    """Checks what a configuration says.

    Raises: ValueError with a sentence for the one who wrote it.
    """
    max_file_bytes, cache = others["max_file_bytes"], others["cache"]
    if isinstance(max_file_bytes, bool) or not isinstance(max_file_bytes, int) or max_file_bytes < 1:
        raise ValueError(f"max_file_bytes must be a positive whole number, not {max_file_bytes!r}.")
    seconds = others["refresh_seconds"]
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds < 0:
        raise ValueError(f"refresh_seconds must be a number of seconds, not {seconds!r}.")
    if cache is not None and (not isinstance(cache, str) or not cache):
        raise ValueError(f"cache must be the path of a file or ':memory:', not {cache!r}.")
    scope = Scope(
        Root.at(root, base=base), _globs("include", include), _globs("exclude", exclude), max_file_bytes
    )
    if cache is not None and cache != ":memory:":
        cache = str((base or Path.cwd()) / Path(cache).expanduser())
    return Options(scope, cache, float(seconds), bool(others["terminal_progress"]))


def _globs(name: str, given: object) -> tuple[str, ...]:
    listed = [given] if isinstance(given, str) else given
    if not isinstance(listed, Sequence) or not all(
        isinstance(glob, str) for glob in cast("Sequence[object]", listed)
    ):
        raise ValueError(f"{name} must be a glob or a list of globs, not {given!r}.")
    return tuple(cast("Sequence[str]", listed))


def make_server(given: Options) -> MCPServer:
    """A server over one index, which is opened at the first call."""
    server = MCPServer("corpus", instructions=_INSTRUCTIONS, log_level="WARNING")
    tools = _Tools(given)
    server.add_tool(tools.search, annotations=_READS)
    server.add_tool(tools.read, annotations=_READS)
    server.add_tool(tools.outline, annotations=_READS)
    return server


class _Tools:
    """The tools of one corpus; the SDK runs each call in a worker thread."""

    def __init__(self, given: Options) -> None:
        self._scope = given.scope
        self._index = Index(given.scope, cache=given.cache, refresh_seconds=given.refresh_seconds)
        self._terminal_progress = given.terminal_progress

    def search(
        self,
        request: Context,
        query: Annotated[
            str, Field(description="Plain words or names; no query syntax. Rare words count most.")
        ],
        limit: Annotated[int, Field(description="Most passages to return.", ge=1, le=50)] = 8,
    ) -> Annotated[CallToolResult, SearchResult]:
        """Finds the passages of the corpus that match a question best, each verbatim with its locator to cite."""
        with self._progress(request) as progress:
            hits = self._index.search(query, limit=limit, report=progress)
        found = [
            PassageFound(
                source=hit.path,
                locator=f"{hit.path}:{hit.start}-{hit.stop}",
                title=hit.title,
                score=hit.score,
                text=hit.text,
            )
            for hit in hits
        ]
        blocks = [block(one.text, head=(one.locator, one.title, f"score {one.score:.2f}")) for one in found]
        text = "\n\n".join(blocks) or (
            "No passages match. Try fewer, other or more specific words, or the names the files would use; "
            "outline shows what the corpus holds."
        )
        return result(text, SearchResult(passages=found))

    def read(
        self,
        request: Context,
        locator: Annotated[
            str, Field(description="`path`, `path:LINE` or `path:START-END`, as search gives it.")
        ],
        context: Annotated[int, Field(description="Lines to add before and after.", ge=0, le=200)] = 0,
    ) -> Annotated[CallToolResult, ReadResult]:
        """Reads lines of one file of the corpus verbatim; at most 400 lines or 32 KB at once."""
        with self._progress(request) as progress:
            file, first, last = self._located(locator, progress)
            lines = self._lines(file)
            first, last = _bounded(file.path, first, last, line_count=len(lines), around=context)
            chosen, reason = cut_lines(
                lines, first=first, last=last, most_lines=_MOST_LINES, most_bytes=_MOST_BYTES
            )
            title = self._index.title_at(file.path, first, progress) or posixpath.basename(file.path)
        stop = first + len(chosen) - 1
        following = f"{file.path}:{stop + 1}-{last}" if reason and stop < last else None
        exact = f"{file.path}:{first}-{stop}"
        text = block("\n".join(chosen), head=(exact, title))
        if reason:
            text += f"\nCut {reason}; the file has {len(lines)} lines." + (
                f" Next: {following}" if following else ""
            )
        read = ReadResult(
            source=file.path,
            locator=exact,
            title=title,
            text="\n".join(chosen),
            line_count=len(lines),
            next=following,
        )
        return result(text, read)

    def outline(self, request: Context) -> Annotated[CallToolResult, OutlineResult]:
        """Shows what the corpus holds: how many files and passages, in which top-level folders, of which kinds."""
        with self._progress(request) as progress:
            overview = self._index.overview(progress)
        folders = [
            f"{name}/ {count}" if name != "." else f"(top level) {count}"
            for name, count in overview.folders.items()
        ]
        if len(folders) > 40:
            folders[40:] = [f"and {len(folders) - 40} more"]
        text = (
            f"{overview.files} files, {overview.passages} passages\n"
            f"folders: {', '.join(folders) or 'none'}\n"
            f"kinds: {', '.join(f'{kind} {count}' for kind, count in overview.kinds.items()) or 'none'}"
        )
        return result(
            text,
            OutlineResult(
                files=overview.files,
                passages=overview.passages,
                folders=overview.folders,
                kinds=overview.kinds,
            ),
        )

    @contextmanager
    def _progress(self, request: Context) -> Generator[Progress, None, None]:
        progress = Progress(request, terminal=self._terminal_progress)
        try:
            yield progress
        except sqlite3.Error as error:
            raise ToolError(f"The index could not be used ({error}); trying again may help.") from error
        finally:
            progress.finish()

    def _located(self, locator: str, progress: Progress) -> tuple[Indexed, int, int | None]:
        """The file a locator means, and its lines if it names any; a name that ends like a range is still a name."""
        try:
            wanted = self._scope.root.relative(locator)
        except PathRefused as error:
            raise refusal(error, locator) from None
        if file := self._index.file(wanted, progress):
            return file, 1, None
        path, first, last = _parsed(wanted)
        if first and (file := self._index.file(path, progress)):
            return file, first, last
        raise ToolError(_unknown(path, list(self._index.files(progress))))

    def _lines(self, file: Indexed) -> list[str]:
        try:
            data, _ = self._scope.root.read(file.path, limit=self._scope.max_file_bytes, links=False)
        except (OSError, PathRefused) as error:
            raise refusal(error, file.path) from None
        return readable(lines_of(data), path=file.path, kind=file.kind)[0]


_LINES = re.compile(r"(.+):(\d{1,9})(?:-(\d{1,9}))?", re.DOTALL)


def _parsed(locator: str) -> tuple[str, int, int | None]:
    found = _LINES.fullmatch(locator)
    if not found:
        return locator, 0, None
    first = int(found[2])
    return found[1], max(first, 1), int(found[3]) if found[3] else first


def _bounded(path: str, first: int, last: int | None, *, line_count: int, around: int) -> tuple[int, int]:
    last = line_count if last is None else last
    if first > line_count:
        raise ToolError(f"{path} has {line_count} lines, so line {first} does not exist.")
    if last < first:
        raise ToolError(f"The lines {first}-{last} run backwards; write {path}:{last}-{first}.")
    return max(1, first - around), min(line_count, last + around)


def _unknown(path: str, known: list[str]) -> str:
    """Says that there is no such file, and which ones may have been meant."""
    name = posixpath.basename(path).lower()
    same = [one for one in known if posixpath.basename(one).lower() == name]
    near = same or difflib.get_close_matches(path, known[:5000], n=3, cutoff=0.6)
    hint = (
        f" Did you mean {' or '.join(near[:3])}?" if near else " Use search or outline to see what there is."
    )
    return f"There is no {path!r} in the corpus.{hint}"
