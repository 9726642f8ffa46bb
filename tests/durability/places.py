"""Places to keep a store in that tests can fill, narrow and close."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MEMORY = ("tmpfs", "ramfs")


class NotPermitted(Exception):
    """This machine does not let us mount anything."""


def is_in_memory(place: Path) -> bool:
    """Whether files in a folder never reach a disk."""
    mounts = Path("/proc/self/mountinfo")
    if not mounts.exists():
        return False
    device = place.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    fields = [line.split() for line in mounts.read_text().splitlines()]
    kinds = [line[line.index("-") + 1] for line in fields if line[2] == number]
    return any(kind in _MEMORY for kind in kinds)


class PrivateDisk:
    """A small file system in a mount namespace of its own: processes see it that are started inside.

    This process sees it at `view`.
    """

    def __init__(self, place: Path, keeper: subprocess.Popen[str]) -> None:
        self.place = place
        """Where it is, for processes inside."""
        self.view = Path(f"/proc/{keeper.pid}/root{place}")
        user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        self.inside = ("nsenter", "--target", str(keeper.pid), "--mount", *user, "--")
        """What a command begins with that shall run inside."""

    @classmethod
    @contextmanager
    def mounted(cls, place: Path, size: str) -> Iterator[PrivateDisk]:
        """Have such a disk for a while.

        Raises:
            NotPermitted: This machine does not allow it.
        """
        place.mkdir()
        user = [] if os.geteuid() == 0 else ["--map-root-user"]
        mount = f"mount -t tmpfs -o size={size} tmpfs '{place}' && echo mounted && exec cat"
        with subprocess.Popen(
            ["unshare", "--mount", *user, "sh", "-c", mount],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as keeper:
            assert keeper.stdout
            assert keeper.stderr
            assert keeper.stdin
            try:
                if keeper.stdout.readline() != "mounted\n":
                    raise NotPermitted(keeper.stderr.read().strip())
                yield cls(place, keeper)
            finally:
                keeper.stdin.close()

    def remount(self, options: str) -> None:
        """Change its size, or whether it can be written to."""
        self.run("mount", "-o", f"remount,{options}", str(self.place))

    def fill(self, *, leaving: int = 0) -> None:
        """Take all room but that many bytes."""
        status = os.statvfs(self.view)
        with (self.view / "filler").open("ab") as filler:
            filler.write(bytes(status.f_bavail * status.f_frsize - leaving))

    def make_room(self) -> None:
        """Give the room back that `fill` took."""
        (self.view / "filler").unlink()

    def run(self, *command: str) -> None:
        """Run a command inside."""
        subprocess.run([*self.inside, *command], check=True, capture_output=True)
