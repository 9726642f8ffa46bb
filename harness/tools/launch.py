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
from harness.tools.environment import read_environment
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
    endpoint = Endpoint(spec.url, headers, timeouts.connect, timeouts.call, session.sieve, session.is_called)
    return open_http(endpoint, session.elicit)


def _under(base: Path, path: str) -> Path:
    return base / Path(path).expanduser()
