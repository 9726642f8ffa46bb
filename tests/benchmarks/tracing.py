"""What tracing costs: `python -m tests.benchmarks.tracing [--repetitions N]`.

W1 with tracing off, with spans and metrics posted to a collector in another process, and with what is
new in each request beside them. Rounds alternate, so that what else the machine does meets all alike.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from typing import Any

from tests.benchmarks import compare
from tests.benchmarks.model_server import model_server_process
from tests.benchmarks.workloads import BY_NAME

SWITCH = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
ALLOWED = {"content off": 1.25, "new only": 1.40}
SIZE = 1500
"""Turns: enough for several batches to be posted while the work goes on, so that they count."""


class _Receiver(BaseHTTPRequestHandler):
    """Takes whatever is posted."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _serve(tell: Connection) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Receiver)
    tell.send(server.server_port)
    server.serve_forever()


@contextmanager
def collector() -> Generator[str]:
    """Run a collector in another process; yield its address."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join()


def settings(url: str) -> dict[str, dict[str, str]]:
    """Return the variables of each way to trace."""
    posting = {
        "BENCH_TRACING": "collector",
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
    }
    return {
        "off": {"BENCH_TRACING": "off"},
        "content off": posting,
        "new only": {**posting, SWITCH: "SPAN_ONLY"},
    }


def main() -> int:
    """Measure and print; return 1 if tracing costs more than it may."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.tracing", description=__doc__)
    parser.add_argument("--repetitions", type=int, default=5)
    repetitions: int = parser.parse_args().repetitions
    workload = BY_NAME["w1"](SIZE)
    seconds: dict[str, list[float]] = {}
    with collector() as url, model_server_process() as base_url:
        for _ in range(repetitions):
            for name, variables in settings(url).items():
                measurement = compare.run_client(compare.HARNESS, workload, base_url, variables=variables)
                if not measurement.right:
                    raise SystemExit(f"{name}: {measurement.why}")
                seconds.setdefault(name, []).append(measurement.cpu_seconds)
    missed = False
    for name, measured in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(measured, seconds["off"], strict=True))
        missed |= ratio > ALLOWED.get(name, 2)
        turn = statistics.median(measured) / SIZE * 1000
        print(f"w1 tracing {name:12s} {turn:6.3f} ms CPU a turn, {ratio:.2f} of off")
    return int(missed)


if __name__ == "__main__":
    raise SystemExit(main())
