"""Telling the caller, and a person at a terminal, how far indexing is."""

from __future__ import annotations

import sys
import time

import anyio.from_thread
from mcp.server.mcpserver import Context

_EVERY_SECONDS = 0.2
_QUIET_SECONDS = 1.0
_BAR_WIDTH = 30


class Progress:
    """A report of one tool call, made from the worker thread that serves it.

    Sends MCP progress; draws a bar on standard error only where that is a terminal and the work takes over a
    second. Raises what anyio raises for cancellation as soon as the caller has given up.
    """

    def __init__(self, context: Context, *, terminal: bool) -> None:
        self._context = context
        self._terminal = terminal and sys.stderr.isatty()
        self._began = time.monotonic()
        self._told_at = float("-inf")
        self._told = -1
        self._drawn = False

    def __call__(self, done: int, total: int) -> None:
        anyio.from_thread.check_cancelled()
        now = time.monotonic()
        if total == 0 or done <= self._told or (now - self._told_at < _EVERY_SECONDS and done < total):
            return
        self._told, self._told_at = done, now
        anyio.from_thread.run(self._context.report_progress, done, total, f"Indexed {done} of {total} files")
        if self._terminal and now - self._began > _QUIET_SECONDS:
            filled = _BAR_WIDTH * done // total
            sys.stderr.write(f"\rIndexing [{'#' * filled}{'.' * (_BAR_WIDTH - filled)}] {done}/{total} files")
            sys.stderr.flush()
            self._drawn = True

    def finish(self) -> None:
        """Takes the bar away."""
        if self._drawn:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()
