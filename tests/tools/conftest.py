from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from servers_in_use import HttpServer, descendants

SERVERS = Path(__file__).parent / "servers"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def sdk_server_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SERVERS))


@pytest.fixture(autouse=True)
def no_process_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    before = descendants()
    yield
    assert descendants() <= before


@pytest.fixture
def http_server(no_process_is_left: None) -> Iterator[HttpServer]:
    server = HttpServer()
    server.start()
    yield server
    server.kill()
