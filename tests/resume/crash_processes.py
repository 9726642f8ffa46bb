"""Processes that carry runs, and the stories told with them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

from crash_checks import Left, Story
from crash_points import Crash
from crash_teams import Scene
from outside_world import World

import harness
from harness.journal import open_journal

MAKER = Path(__file__).with_name("crashing_process.py")

# The package that is tested, which need not be the one that is installed.
PACKAGES = str(Path(harness.__file__).parent.parent)

KILLED = -9

AT_A_TIME = 3
"""Processes that are carried out side by side; most of their time goes into waiting for the disk."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class Ended:
    """How a process ended, and what it said if it was not killed."""

    status: int
    told: Mapping[str, Any]


class Processes:
    """Makes processes that carry runs, several at a time; see `crashing_process.py`."""

    def __init__(self, makers: Sequence[subprocess.Popen[str]]) -> None:
        self._idle: SimpleQueue[subprocess.Popen[str]] = SimpleQueue()
        for maker in makers:
            self._idle.put(maker)

    def run(self, act: str, folder: Path, scene: Scene, *, crash: Crash | None = None, **more: Any) -> Ended:
        """Play one act in a process of its own and wait for its end."""
        order = {"act": act, "folder": str(folder), "scene": asdict(scene), "run_id": "run", **more}
        order["crash"] = asdict(crash) if crash else None
        maker = self._idle.get()
        try:
            assert maker.stdin
            assert maker.stdout
            maker.stdin.write(json.dumps(order) + "\n")
            maker.stdin.flush()
            said = json.loads(maker.stdout.readline())
        finally:
            self._idle.put(maker)
        return Ended(said["status"], said["told"] or {})

    def tell_story(
        self, folder: Path, scene: Scene, crashes: Sequence[Crash], *, person: str = "truthful", **more: Any
    ) -> Story:
        """Start a run, kill each process that carries it at the next place, and resume it to its end.

        A process that does not come to the place where it should die ends the story.
        """
        waits = scene.effect in ("keyed", "once")
        lossless = all(not crash.lost and (crash.at != "effect" or waits) for crash in crashes)
        story = Story(scene, lossless=lossless)
        act = "start"
        for crash in (*crashes, None):
            ended = self.run(act, folder, scene, crash=crash, person=person, **more)
            story.left.append(left(folder, scene))
            act = "resume" if story.left[-1].recorded else "start"
            if ended.status != KILLED:
                assert ended.status == 0, f"a process ended with {ended.status}"
                assert "raised" not in ended.told, ended.told.get("trace")
                story.told = ended.told
                break
            assert crash is not None, "a process that nobody kills was killed"
        return story


def left(folder: Path, scene: Scene) -> Left:
    """Return what is there now."""
    store = folder / ("store" if scene.store == "directory" else "store.db")
    recorded = list(open_journal(store, write=False).read("run")) if store.exists() else []
    return Left(recorded, World(folder / "world").lines())


@contextmanager
def open_processes() -> Iterator[Processes]:
    """Start the processes that make the others."""
    environment = {**os.environ, "PYTHONPATH": PACKAGES}
    pipe = subprocess.PIPE
    with ExitStack() as stack:
        makers = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, str(MAKER)], stdin=pipe, stdout=pipe, text=True, env=environment
                )
            )
            for _ in range(AT_A_TIME)
        ]
        yield Processes(makers)


def side_by_side(tell: Callable[[Item], object], items: Iterable[Item]) -> None:
    """Do something for all items, several at a time; raises what the first of them to fail raised."""
    with ThreadPoolExecutor(AT_A_TIME) as threads:
        for _ in threads.map(tell, items):
            pass
