"""`harness doctor`: what this machine offers, what is missing, what to do about it."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as distribution_version
from pathlib import Path
from typing import Literal

from harness.cli.store import store_name
from harness.errors import HarnessError
from harness.journal import open_journal
from harness.models.tokens import token_counter
from harness.team import agent_library
from harness.version import version
from harness.views import json_line

Verdict = Literal["ok", "note", "problem"]

WAL_RESET_FIX = (3, 51, 3)
"""SQLite before this can corrupt a WAL file that two connections write and reset at once."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    verdict: Verdict
    text: str


def examine(store: str | None, *, as_json: bool) -> int:
    """Print all findings; return 1 if any is a problem."""
    findings = [
        check() for check in (_python, _packages, _sqlite, _search, _tokens, _library, _node, _telemetry)
    ]
    findings.append(_store(store_name(store)))
    if as_json:
        print(json_line([{"subject": f.subject, "verdict": f.verdict, "text": f.text} for f in findings]))
    else:
        for finding in findings:
            print(f"{finding.verdict:8s} {finding.subject:12s} {finding.text}")
    return 1 if any(finding.verdict == "problem" for finding in findings) else 0


def _python() -> Finding:
    return Finding("python", "ok", f"{platform.python_version()} on {platform.system()}, harness {version()}")


def _packages() -> Finding:
    names = ("pydantic", "anyio", "mcp", "aiohttp", "tiktoken", "opentelemetry-sdk")
    found: list[str] = []
    missing: list[str] = []
    for name in names:
        try:
            found.append(f"{name} {distribution_version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        return Finding("packages", "problem", f"missing: {', '.join(missing)}; install harness-agents again")
    return Finding("packages", "ok", ", ".join(found))


def _sqlite() -> Finding:
    if sqlite3.sqlite_version_info < WAL_RESET_FIX:
        text = "older than 3.51.3; safe here, because each journal file has one writer; let nothing else write to it"
        return Finding("sqlite", "note", f"{sqlite3.sqlite_version}: {text}")
    return Finding("sqlite", "ok", sqlite3.sqlite_version)


def _search() -> Finding:
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute("create virtual table t using fts5(body)")
    except sqlite3.OperationalError:
        return Finding(
            "search", "problem", "this Python's SQLite has no FTS5; the corpus tool server needs it"
        )
    finally:
        connection.close()
    return Finding("search", "ok", "FTS5 full-text search is there")


def _tokens() -> Finding:
    source = token_counter().source
    if source == "estimate":
        text = "estimated: no tiktoken vocabulary on this machine; set TIKTOKEN_CACHE_DIR to a folder that has one"
        return Finding("tokens", "note", text)
    return Finding("tokens", "ok", f"counted with {source}")


def _library() -> Finding:
    names = sorted(agent_library())
    if not names:
        return Finding(
            "agents", "problem", "the library of ready agents is missing; install harness-agents again"
        )
    return Finding("agents", "ok", f"ready for `use:`: {', '.join(names)}")


def _node() -> Finding:
    if shutil.which("npx"):
        return Finding("npx", "ok", "servers from npm can be started")
    return Finding("npx", "note", "not found; only needed for MCP servers that are started with npx")


def _telemetry() -> Finding:
    endpoint = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or os.environ.get(
        "OTEL_EXPORTER_OTLP_ENDPOINT"
    )
    if endpoint:
        return Finding("traces", "ok", f"sent to {endpoint}")
    return Finding(
        "traces", "ok", "kept here; set OTEL_EXPORTER_OTLP_ENDPOINT or --trace FILE to export them"
    )


def _store(location: str) -> Finding:
    if "://" in location:
        return _database(location)
    path = Path(location)
    nearest = next((place for place in (path, *path.resolve().parents) if place.exists()), Path("/"))
    if not os.access(nearest, os.W_OK):
        return Finding("store", "problem", f"{location} cannot be written; use --store or HARNESS_STORE")
    free = shutil.disk_usage(nearest).free
    verdict: Verdict = "ok" if free > 200e6 else "note"
    return Finding("store", verdict, f"{location}, {free / 1e9:.1f} GB free")


def _database(location: str) -> Finding:
    """Say whether a database store answers, without its password."""
    try:
        runs = len(open_journal(location, write=False).runs())
    except HarnessError as error:
        return Finding("store", "problem", str(error))
    return Finding("store", "ok", f"the database answers, and holds {runs} runs")
