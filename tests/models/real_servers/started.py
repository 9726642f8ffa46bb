"""Servers that other people wrote, started on the loopback interface from environments of their own.

`HARNESS_SERVERS_PYTHONS` names the interpreters, as in `transformers=/path/to/python,litellm=/path/to/python`;
without it the packages count that stand beside `harness`. Where they are not, the tests are skipped with what
installs them.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PACKAGE = HERE.parents[2] / "harness"
PYTHONS = dict(
    pair.partition("=")[::2] for pair in os.environ.get("HARNESS_SERVERS_PYTHONS", "").split(",") if pair
)
STARTS_WITHIN = 240
"""Seconds; both servers import for half a minute on a machine that is busy."""
QUIET = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "DO_NOT_TRACK": "1",
}
"""Keeps the servers from asking anything of anybody."""


def interpreter(name: str, *, needs: Sequence[str], install: str) -> str:
    """Return the interpreter in whose environment the server is; skip the test where there is none."""
    if python := PYTHONS.get(name):
        return python
    if all(find_spec(module) for module in needs):
        return sys.executable
    pytest.skip(
        f"{name} is not installed: python3 -m venv ENV && ENV/bin/pip install {install}; "
        f"then set HARNESS_SERVERS_PYTHONS={name}=ENV/bin/python"
    )


def environment(folder: Path) -> dict[str, str]:
    """Return the variables a server gets: no proxies, nothing of this checkout, caches in `folder`."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.lower().endswith("_proxy") and key != "PYTHONPATH"
    }
    return kept | QUIET | {"HF_HOME": str(folder), "HOME": str(folder)}


@contextmanager
def served(command: Sequence[str], port: int, folder: Path, *, health: str) -> Iterator[str]:
    """Run a server for as long as the context lasts and yield its address, once it says that it is well."""
    url, log = f"http://127.0.0.1:{port}", folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment(folder), cwd=folder, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + STARTS_WITHIN
        while not _is_well(url + health):
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"{command[0]} does not answer:\n{log.read_text()[-4000:]}")
            time.sleep(0.3)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


def free_port() -> int:
    """Return a port at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def _is_well(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False
