"""What a turn costs depends on what is new in it, whatever the wire API: counted in bytes, not in time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import anyio
import orjson
import pytest

from tests.benchmarks.harness_driver import environment, open_harness
from tests.benchmarks.model_server import model_server_process
from tests.benchmarks.wires import APIS
from tests.benchmarks.workloads import w3

DEADLINE_SECONDS = 60
FIRST, STEP = 4, 16
KILOBYTE = 1024

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    with model_server_process() as url:
        yield url


class Counter:
    """Counts the bytes that orjson, which encodes all that the harness writes and reads, was given or gave."""

    def __init__(self) -> None:
        self.written = 0
        self.read = 0
        self._dumps, self._loads = orjson.dumps, orjson.loads

    def dumps(
        self, value: Any, default: Callable[[Any], Any] | None = None, option: int | None = None
    ) -> bytes:
        """Encode and count."""
        encoded = self._dumps(value, default, option)
        self.written += len(encoded)
        return encoded

    def loads(self, data: Any) -> Any:
        """Decode and count."""
        self.read += len(data)
        return self._loads(data)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("api", APIS)
async def test_late_turns_encode_and_decode_no_more_than_early_ones(
    api: str, stream: bool, base_url: str, monkeypatch: pytest.MonkeyPatch
):
    workload = replace(w3(1), api=api, stream=stream)
    for name, value in environment(workload, base_url).items():
        monkeypatch.setenv(name, value)
    # Spans are written when there is time for it, so that they would count for the run that comes next.
    monkeypatch.setenv("BENCH_TRACING", "off")
    counter = Counter()
    totals: list[tuple[int, int]] = []
    with anyio.fail_after(DEADLINE_SECONDS):
        async with open_harness(workload, base_url) as ask:
            monkeypatch.setattr(orjson, "dumps", counter.dumps)
            monkeypatch.setattr(orjson, "loads", counter.loads)
            for turns in (FIRST, FIRST + STEP, FIRST + 2 * STEP):
                counter.written = counter.read = 0
                assert await ask(f"SCRIPT: turns={turns} tool=blob kb=1") == f"DONE {turns}"
                totals.append((counter.written, counter.read))

    early, late = [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(totals)]

    # Each turn has a result of a kilobyte. A turn that walked its window would meet STEP more of them.
    assert early[0] > STEP * KILOBYTE
    assert late[0] - early[0] < STEP * KILOBYTE // 4
    assert late[1] - early[1] < STEP * KILOBYTE // 4
