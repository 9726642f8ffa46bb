"""`harness serve` as a process of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from anyio.abc import Process
from house import DEADLINE
from surroundings import environment

TEAM_THAT_ENDS = """\
harness: 1
name: short
entry: lead
models: {default: {api: scripted, script: [{say: X is at 4.}]}}
agents: {lead: {description: Answers., instructions: Answer.}}
"""


def harness(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "harness", *arguments],
        cwd=cwd,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


@asynccontextmanager
async def served(
    folder: Path, *options: str, port: int = 0, seconds: float = DEADLINE, **variables: str
) -> AsyncIterator[tuple[Process, str]]:
    """Run `harness serve`, and kill it if the test leaves it behind."""
    command = [sys.executable, "-m", "harness", "serve", "team.yaml", "--port", str(port), *options]
    async with running(command, folder, seconds=seconds, **variables) as (process, address):
        yield process, address


@asynccontextmanager
async def running(
    command: list[str], folder: Path, *, seconds: float = DEADLINE, **variables: str
) -> AsyncIterator[tuple[Process, str]]:
    """Run a server that says where it listens, and kill it if the test leaves it behind."""
    env = environment(**variables)
    env["PYTHONPATH"] += f":{folder}"
    process = await anyio.open_process(command, cwd=folder, env=env, stderr=subprocess.STDOUT)
    async with process:
        try:
            with anyio.fail_after(seconds):
                yield process, await _address(process)
        finally:
            if process.returncode is None:
                process.kill()


async def _address(process: Process) -> str:
    """Read where the server listens from what it says."""
    assert process.stdout is not None
    said = ""
    async for chunk in process.stdout:
        said += chunk.decode()
        found = re.search(r"http://\S+", said)
        if found:
            return found.group()
    raise AssertionError(f"the server did not start: {said}")
