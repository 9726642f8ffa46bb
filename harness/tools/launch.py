"""How a server of the team file becomes an MCP client: its module, its process or its address."""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from typing import Any

from mcp import Client

from harness.errors import ToolServerError
from harness.team import ServerSpec
from harness.tools.http import Endpoint, open_http
from harness.tools.session import Session
from harness.tools.stdio import ChildServer, open_stdio


def module_client(spec: ServerSpec, base: Path, session: Session) -> AbstractAsyncContextManager[Client]:
    """Return a client of a Python module that runs in this process.

    Raises:
        ToolServerError: The module wants to end this process.
        Exception: Whatever importing or creating it raises.
    """
    assert spec.module is not None
    module, _, attribute = spec.module.partition(":")
    try:
        create: Callable[..., Any] = getattr(importlib.import_module(module), attribute or "create")
        arguments: Mapping[str, Any] = spec.args if isinstance(spec.args, dict) else {}
        with root_logger_kept():
            return Client(create(base=base, **arguments), elicitation_callback=session.elicit)
    except SystemExit as error:
        raise ToolServerError(
            f"the module {module} called exit({error.code}) while it was imported"
        ) from error


@contextmanager
def root_logger_kept() -> Generator[None]:
    """Undo what the SDK does to the root logger, which belongs to the program that embeds us."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


def child_server(spec: ServerSpec, base: Path, session: Session) -> ChildServer:
    """Return the process to start, not yet started.

    Raises:
        OSError: Its `envFile` cannot be read.
    """
    assert spec.command is not None
    arguments = spec.args if isinstance(spec.args, list) else []
    environment = read_environment(_under(base, spec.envFile)) if spec.envFile else {}
    return ChildServer(
        [os.path.expanduser(spec.command), *arguments],
        environment | dict(spec.env),
        _under(base, spec.cwd) if spec.cwd else base,
        session.lose,
        session.sieve,
    )


def child_client(server: ChildServer, session: Session) -> AbstractAsyncContextManager[Client]:
    """Return a client of a process of its own."""
    return Client(open_stdio(server), elicitation_callback=session.elicit)


def http_client(spec: ServerSpec, session: Session) -> AbstractAsyncContextManager[Client]:
    """Return a client of a server reached over HTTP."""
    assert spec.url is not None
    headers = {name: value.get_secret_value() for name, value in spec.headers.items()}
    timeouts = spec.timeouts
    endpoint = Endpoint(spec.url, headers, timeouts.connect, timeouts.call, session.sieve)
    return open_http(endpoint, session.elicit)


def read_environment(path: Path) -> dict[str, str]:
    """Read `NAME=value` lines; blank lines, comments and lines without `=` are passed over."""
    environment: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8-sig").splitlines():
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and not name.startswith("#"):
            environment[name.strip()] = _unquoted(value.strip())
    return environment


def _unquoted(value: str) -> str:
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1] if quoted else value


def _under(base: Path, path: str) -> Path:
    return base / Path(path).expanduser()
