"""Runs the floor and the harness in turn, every figure from a fresh client process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import orjson

from tests.benchmarks.measure import Measurement
from tests.benchmarks.model_server import ROOT
from tests.benchmarks.workloads import Workload

FLOOR = "floor"
HARNESS = "harness_driver"
"""The two clients, by the module that is one."""

_SECONDS = 180
"""Longest a client process may take."""


@dataclass(frozen=True, slots=True)
class Pair:
    """The floor and the harness at the same work, one directly after the other."""

    floor: Measurement
    harness: Measurement | None
    """None where only the floor was asked for."""


def clean_environment() -> dict[str, str]:
    """Return this process's variables without those that would reach out or write elsewhere."""
    skipped = ("OTEL_", "HARNESS_", "PYTHON")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(skipped)}
    kept = {name: value for name, value in kept.items() if not name.lower().endswith("_proxy")}
    return kept | {"PYTHONPATH": str(ROOT), "NO_PROXY": "127.0.0.1"}


def run_client(
    module: str,
    workload: Workload,
    base_url: str,
    *,
    profile: Path | None = None,
    seconds: float = _SECONDS,
    variables: Mapping[str, str] = MappingProxyType({}),
) -> Measurement:
    """Do the workload once in a new process, which does not outlive this call."""
    command = [
        sys.executable,
        "-m",
        f"tests.benchmarks.{module}",
        workload.name,
        str(workload.size),
        base_url,
        "--api",
        workload.api,
        *(["--stream"] if workload.stream else []),
    ]
    if profile is not None:
        command += ["--profile", str(profile.resolve())]
    with (
        tempfile.TemporaryDirectory(prefix="benchmark-") as directory,
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=None if profile else subprocess.PIPE,
            cwd=directory,
            env=clean_environment() | dict(variables),
            text=True,
            start_new_session=True,
        ) as process,
    ):
        try:
            output, errors = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            return Measurement.failed(f"took longer than {seconds:g} s")
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    return _read(output, errors or "", process.returncode)


def _read(output: str, errors: str, code: int) -> Measurement:
    """Return the measurement a client printed last."""
    for line in reversed(output.splitlines()):
        if line.startswith("{"):
            fields: Mapping[str, object] = orjson.loads(line)
            return Measurement(**fields)
    return Measurement.failed(f"exit code {code} without a measurement: {errors[-500:].strip()}")


def run_pairs(workload: Workload, base_url: str, *, repetitions: int, clients: Sequence[str]) -> list[Pair]:
    """Return `repetitions` pairs; the order is floor, harness, floor, harness, …"""
    pairs: list[Pair] = []
    for number in range(1, repetitions + 1):
        floor = run_client(FLOOR, workload, base_url)
        harness = run_client(HARNESS, workload, base_url) if HARNESS in clients else None
        pairs.append(Pair(floor, harness))
        shown = f" harness {harness.wall_seconds:.2f} s" if harness else ""
        place = f"{workload.title} [{number}/{repetitions}]"
        print(f"{place} floor {floor.wall_seconds:.2f} s{shown}", file=sys.stderr, flush=True)
    return pairs
