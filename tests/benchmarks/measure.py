"""What a client process does: warm up, work, and print one line of JSON about it.

CPU is user plus system time of this process alone; the model server and a stdio tool server have
their own. Imports, connecting and the warm-up are outside the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import http.client
import pstats
import resource
import statistics
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from tests.benchmarks.model_server import allow_many_connections
from tests.benchmarks.wires import APIS
from tests.benchmarks.workloads import BY_NAME, Workload

Ask = Callable[[str], Awaitable[str]]
"""Does a task and returns the answer."""

OpenClient = Callable[[Workload, str], AbstractAsyncContextManager[Ask]]
"""Opens a client for a workload against a base URL."""

_EDGE = 100
"""How many gaps from either end tell how a turn's cost grows."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One client process's work."""

    right: bool
    """Right answer, exact number of requests, and none of them malformed."""
    why: str = ""
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_mb: float = 0.0
    """Most memory ever resident in the process, imports included."""
    first_gap_ms: float = 0.0
    """Median time between a reply and the next request, over the first turns."""
    last_gap_ms: float = 0.0
    server_ms_per_request: float = 0.0
    """What the model server spent, to show that it is not what was measured."""

    @classmethod
    def failed(cls, why: str) -> Measurement:
        """Return the measurement of a client that did not get through."""
        return cls(right=False, why=why)


def ask_server(base_url: str, path: str) -> Any:
    """Return what the model server says at `path`, one of `/stats`, `/gaps`, `/reset`."""
    connection = http.client.HTTPConnection(urlsplit(base_url).netloc, timeout=30)
    try:
        connection.request("GET", path)
        return orjson.loads(connection.getresponse().read())
    finally:
        connection.close()


def peak_mb() -> float:
    """Return this process's peak resident memory, not that of the process it was forked from."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024**2 if sys.platform == "darwin" else peak / 1024


def cpu_seconds() -> float:
    """Return user plus system time of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def measure(
    open_client: OpenClient, workload: Workload, base_url: str, profile: cProfile.Profile | None = None
) -> Measurement:
    """Return what doing the workload once costs after a warm-up."""
    async with open_client(workload, base_url) as ask:
        warm = await ask(workload.warm_up)
        if not warm.startswith("DONE"):
            problems = ask_server(base_url, "/stats")["problems"]
            return Measurement.failed(f"the warm-up ended with {warm[:300]!r}; {problems[:3]}")
        ask_server(base_url, "/reset")
        gc.collect()
        with profile or nullcontext():
            cpu_before, before = cpu_seconds(), time.perf_counter()
            answer = await ask(workload.task)
            wall, cpu = time.perf_counter() - before, cpu_seconds() - cpu_before
        stats, gaps = ask_server(base_url, "/stats"), ask_server(base_url, "/gaps")
    why = _fault(workload, answer, stats)
    edge = max(1, min(_EDGE, len(gaps) // 4))
    return Measurement(
        right=not why,
        why=why,
        wall_seconds=wall,
        cpu_seconds=cpu,
        peak_mb=peak_mb(),
        first_gap_ms=statistics.median(gaps[:edge]) / 1000 if gaps else 0.0,
        last_gap_ms=statistics.median(gaps[-edge:]) / 1000 if gaps else 0.0,
        server_ms_per_request=stats["cpu_seconds"] * 1000 / max(1, stats["requests"]),
    )


def _fault(workload: Workload, answer: str, stats: dict[str, Any]) -> str:
    if answer.strip() != workload.answer:
        return f"the answer is {answer[:200]!r}, not {workload.answer!r}; {stats['problems'][:3]}"
    if stats["bad"]:
        return f"{stats['bad']} faults in what was sent, such as {stats['problems'][:3]}"
    if stats["requests"] != workload.requests:
        return f"{stats['requests']} requests instead of {workload.requests}"
    return ""


def _reason() -> str:
    """Return the innermost exception being handled and where it was raised, on one line."""
    error: BaseException | None = sys.exception()
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert error is not None
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})"[:600]


def main(open_client: OpenClient) -> None:
    """Be a client process: read the arguments, measure, print a line of JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("workload", choices=sorted(BY_NAME))
    parser.add_argument("size", type=int)
    parser.add_argument("base_url")
    parser.add_argument("--api", choices=APIS, default="openai-chat")
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--profile", type=Path, help="write a cProfile file here and its top to stderr")
    arguments = parser.parse_args()
    allow_many_connections()
    workload = replace(
        BY_NAME[arguments.workload](arguments.size), api=arguments.api, stream=arguments.stream
    )
    profile = cProfile.Profile() if arguments.profile else None
    try:
        measurement = asyncio.run(measure(open_client, workload, arguments.base_url, profile))
    except Exception:
        traceback.print_exc()
        measurement = Measurement.failed(_reason())
    if profile is not None:
        profile.dump_stats(arguments.profile)
        statistics_of_profile = pstats.Stats(profile, stream=sys.stderr).strip_dirs()
        statistics_of_profile.sort_stats("tottime").print_stats(30)
        statistics_of_profile.sort_stats("cumulative").print_stats(40)
    print(orjson.dumps(asdict(measurement)).decode(), flush=True)
