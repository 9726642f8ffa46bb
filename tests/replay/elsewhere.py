"""Replaying in a process of its own, on a machine that knows nothing: no network, no variables."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import orjson

import harness

PROCESS = Path(__file__).with_name("replaying_process.py")

# The package that is tested, which need not be the one that is installed, and the tests themselves.
PACKAGES = str(Path(harness.__file__).parent.parent)


@dataclass(frozen=True)
class Replays:
    """What a process said of the runs it replayed."""

    runs: Sequence[Mapping[str, Any]]
    turns: int
    seconds: float
    cpu: float
    slow: float
    """How many times slower the machine was meanwhile than when the bars were set."""

    @property
    def faults(self) -> list[Mapping[str, Any]]:
        """What was not as recorded."""
        return [run for run in self.runs if not (run["exact"] and run["same_state"])]


ReplayElsewhere = Callable[..., Replays]


@cache
def without_network() -> tuple[str, ...]:
    """What to put before a command so that it has no network; nothing where that is not permitted."""
    command = ("unshare", "--net", "--map-root-user")
    try:
        done = subprocess.run([*command, "true"], capture_output=True, check=False)
    except OSError:
        return ()
    return () if done.returncode else command


def replay_in_process(folder: Path, *places: Path, times: int = 1, **environment: str) -> Replays:
    """Replay stores and bundles, each `times` times."""
    done = subprocess.run(
        [*without_network(), sys.executable, str(PROCESS), str(times), *map(str, places)],
        env={"PYTHONPATH": PACKAGES, "PATH": os.environ["PATH"], "HOME": str(folder), **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    *runs, cost = map(orjson.loads, done.stdout.splitlines())
    return Replays(runs, cost["turns"], cost["seconds"], cost["cpu"], cost["slow"])
