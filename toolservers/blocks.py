"""The one text form in which our servers show a passage to a model.

<<< harness/loop/turn.py:10-31 | take_turn | score 7.31
…the lines, verbatim…
>>>
"""

from __future__ import annotations

from collections.abc import Sequence

from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import CallToolResult, TextContent
from pydantic import BaseModel

from toolservers.paths import PathRefused


def block(text: str, *, head: Sequence[str]) -> str:
    """A passage between its head, made of the locator and whatever else is said of it, and its end."""
    return f"<<< {' | '.join(head)}\n{text}\n>>>"


def result(text: str, structured: BaseModel) -> CallToolResult:
    """What the model reads, together with the same thing as data."""
    return CallToolResult(
        content=[TextContent(type="text", text=text)], structured_content=structured.model_dump(mode="json")
    )


def refusal(error: OSError | PathRefused | UnicodeError, path: str) -> ToolError:
    """The error as the model should read it: about the path it gave, without any path of this machine."""
    if isinstance(error, PathRefused):
        return ToolError(str(error))
    if isinstance(error, FileNotFoundError):
        return ToolError(f"There is no {path!r}.")
    if isinstance(error, NotADirectoryError):
        return ToolError(f"{path!r} is not a folder, or a part of it is not.")
    if isinstance(error, IsADirectoryError):
        return ToolError(f"{path!r} is a folder.")
    reason = (error.strerror or "it cannot be used") if isinstance(error, OSError) else "it is not UTF-8 text"
    return ToolError(f"{path!r}: {reason}.")


def cut_lines(
    lines: Sequence[str], *, first: int, last: int, most_lines: int, most_bytes: int
) -> tuple[list[str], str]:
    """The lines `first` to `last`, counted from 1, as far as the bounds allow, and a reason if they did not.

    At least one line is given; a single line over the bound is itself cut.
    """
    chosen: list[str] = []
    size = 0
    for line in lines[first - 1 : last]:
        size += len(line.encode("utf-8", "replace")) + 1
        if len(chosen) == most_lines:
            return chosen, f"after {most_lines} lines"
        if size > most_bytes:
            if chosen:
                return chosen, f"after {most_bytes // 1024} KB"
            return [
                line.encode("utf-8", "replace")[:most_bytes].decode("utf-8", "ignore")
            ], f"inside line {first}"
        chosen.append(line)
    return chosen, ""
