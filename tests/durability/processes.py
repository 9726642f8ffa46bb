"""Processes that use the package as it stands here: programs of this folder, and the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import harness

HERE = Path(__file__).parent
# The package that is tested, which need not be the one that is installed.
_PATHS = (str(Path(harness.__file__).parent.parent), str(HERE))

TIMEOUT = 100
"""Seconds after which a process is taken to hang."""


@dataclass(frozen=True)
class Ended:
    """What a process that is over said."""

    code: int
    out: str
    err: str

    @property
    def told(self) -> Any:
        """The last line of what it said, which is JSON."""
        return json.loads(self.out.splitlines()[-1])


class Processes:
    """Starts processes, and kills those that still run in the end."""

    def __init__(self) -> None:
        self._started: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._started:
            process.kill()
            process.communicate()

    def start(self, program: str, *arguments: object, before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        """Start a program of this folder, or the `harness` command.

        Args:
            before: What the command begins with.
        """
        what = ["-m", "harness"] if program == "harness" else [str(HERE / program)]
        environment = {name: value for name, value in os.environ.items() if name != "HARNESS_STORE"}
        process = subprocess.Popen(
            [*before, sys.executable, *what, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**environment, "PYTHONPATH": os.pathsep.join(_PATHS), "NO_COLOR": "1"},
        )
        self._started.append(process)
        return process

    def run(self, program: str, *arguments: object, before: tuple[str, ...] = ()) -> Ended:
        """Start a process and wait for its end."""
        return ended(self.start(program, *arguments, before=before))


def ended(process: subprocess.Popen[str]) -> Ended:
    """Wait for the end of a process."""
    out, err = process.communicate(timeout=TIMEOUT)
    return Ended(process.returncode, out, err)
