"""The world outside: a file that grows by one line for everything that is done to it or asked of it.

Each line is on disk before whoever caused it learns of it, as with any real service, and it does not
matter how that process ends. It imports nothing of the harness, as the tool server uses it too.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Line:
    """One thing that happened in the world."""

    what: str
    """`effect`; `repeat` for a call with a key that the world knows; or `request`, of a model."""
    name: str
    """The label of the effect, or the name of the model."""
    key: str = ""
    """The idempotency key, or the digest of the request."""
    receipt: str = ""
    """What makes this effect known again in the result it was reported with."""


class World:
    """The world, as tools and models see it.

    Args:
        path: The file.
        victim: The process that `kill_after` is about.
    """

    def __init__(self, path: Path, *, victim: int = 0) -> None:
        self.path = path
        self._victim = victim
        self._order = path.with_suffix(".kill")
        self._servers = path.with_suffix(".servers")
        self._gate = path.with_suffix(".gate")
        self._arrivals = path.with_suffix(".arrivals")

    def act(self, label: str, key: str = "") -> str:
        """Have an effect, once for each key, and say so."""
        self._wait_until_open(label)
        self._obey(f"before {label}")
        with self._locked() as file:
            known = [line for line in self.lines() if key and line.what == "effect" and line.key == key]
            receipt = known[0].receipt if known else secrets.token_hex(4)
            _append(file, Line("repeat" if known else "effect", label, key, receipt))
        self._obey(f"after {label}")
        return f"{label} is done (receipt {receipt})"

    def ask(self, model: str, digest: str) -> None:
        """Take a request to a model."""
        with self._locked() as file:
            _append(file, Line("request", model, digest))

    def lines(self) -> list[Line]:
        """Everything that happened so far."""
        text = self.path.read_text() if self.path.exists() else ""
        return [Line(**json.loads(line)) for line in text.splitlines()]

    def effects(self) -> list[Line]:
        """The effects that took place."""
        return [line for line in self.lines() if line.what == "effect"]

    def kill_after(self, label: str) -> None:
        """Have the victim killed right after the next effect with this label."""
        self._order.write_text(f"after {label}")

    def kill_before(self, label: str) -> None:
        """Have the victim killed, and the world's server too, instead of the next effect with this label."""
        self._order.write_text(f"before {label}")

    @contextmanager
    def closed_to(self, label: str) -> Iterator[None]:
        """Let nothing have the effect with this label meanwhile: whoever tries to waits."""
        os.mkfifo(self._arrivals)
        with self._gate.open("w") as gate:
            fcntl.flock(gate, fcntl.LOCK_EX)
            gate.write(label)
            gate.flush()
            yield
        self._gate.unlink()
        self.settle()

    def await_caller(self) -> None:
        """Wait until somebody tries to have the effect that is not let through."""
        self._arrivals.read_bytes()

    @contextmanager
    def served(self) -> Iterator[None]:
        """Be a server through which the world is reached."""
        with self._servers.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            yield

    def settle(self) -> None:
        """Wait until no server is left that could still do something for a client that is dead."""
        with self._servers.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)

    @contextmanager
    def _locked(self) -> Iterator[Any]:
        with self.path.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file

    def _wait_until_open(self, label: str) -> None:
        if self._gate.exists() and self._gate.read_text() == label:
            self._arrivals.write_bytes(b"here")
            with self._gate.open() as gate:
                fcntl.flock(gate, fcntl.LOCK_SH)

    def _obey(self, moment: str) -> None:
        if self._order.exists() and self._order.read_text() == moment:
            self._order.unlink()
            os.kill(self._victim, signal.SIGKILL)
            if moment.startswith("before"):
                os.kill(os.getpid(), signal.SIGKILL)


def _append(file: Any, line: Line) -> None:
    file.write(json.dumps(line.__dict__).encode() + b"\n")
    file.flush()
    os.fsync(file.fileno())
