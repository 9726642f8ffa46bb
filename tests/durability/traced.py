"""What a process asked of its disk, in order, and making some of that fail: strace."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

_CALL = re.compile(r"(?P<thread>\d+) +(?P<name>\w+)\(\d+<(?P<path>[^>]*)>(?P<rest>.*)")
_RESUMED = re.compile(r"(?P<thread>\d+) +<\.\.\. (?P<name>\w+) resumed>(?P<rest>.*)")
_PLACE = re.compile(r", (?P<size>\d+), (?P<offset>\d+)(?:\)| <unfinished)")


@dataclass(frozen=True)
class Asked:
    """One call that ended: something written, or made to stay."""

    name: str
    path: str
    result: str
    """What it returned: `0`, a number of bytes, or `-1 EIO (...)`."""
    size: int = 0
    offset: int = 0

    @property
    def syncs(self) -> bool:
        """Whether it waits for the disk."""
        return self.name in ("fsync", "fdatasync")

    @property
    def failed(self) -> bool:
        """Whether it returned an error."""
        return self.result.startswith("-1")


class Tracer:
    """Writes down what a process does with its files, and makes the disk fail it.

    Args:
        log: Where it is written.
        fail_sync: From the how-many-eth one on in each thread, the disk fails; 0 for never.
        once: Only that one fails.
    """

    def __init__(self, log: Path, *, fail_sync: int = 0, once: bool = True) -> None:
        strace = shutil.which("strace")
        if strace is None:
            pytest.skip("strace, which shows what reaches the disk, is not installed: apt-get install strace")
        if subprocess.run([strace, "-o", "/dev/null", "true"], capture_output=True).returncode:
            pytest.skip("tracing a process is not permitted")
        self._log = log
        inject = f"fsync,fdatasync:error=EIO:when={fail_sync}{'' if once else '+'}"
        self.before = (
            *(strace, "-f", "-y", "-qq", "-s", "0", "-o", str(log)),
            *("-e", "trace=write,pwrite64,ftruncate,fsync,fdatasync"),
            *(("-e", f"inject={inject}") if fail_sync else ()),
        )
        """What the command of the process begins with."""

    def asked(self) -> Iterator[Asked]:
        """Yield what the process did, in the order in which it was done with."""
        begun: dict[str, re.Match[str]] = {}
        for line in self._log.read_text(errors="replace").splitlines():
            if call := _CALL.match(line):
                if line.endswith("<unfinished ...>"):
                    begun[call["thread"]] = call
                else:
                    yield _asked(call, call["rest"])
            elif (resumed := _RESUMED.match(line)) and resumed["thread"] in begun:
                yield _asked(begun.pop(resumed["thread"]), resumed["rest"])


def _asked(call: re.Match[str], end: str) -> Asked:
    place = _PLACE.search(call["rest"]) if call["name"] == "pwrite64" else None
    size, offset = (int(place["size"]), int(place["offset"])) if place else (0, 0)
    return Asked(call["name"], call["path"], end.rpartition(" = ")[2].strip(), size, offset)
