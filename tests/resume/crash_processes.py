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
from crash_points import Act, Crash
from crash_teams import Scene
from outside_world import World

import harness
from harness.journal import open_journal

MAKER = Path(__file__).with_name("crashing_process.py")

# The package that is tested, which need not be the one that is installed.
PACKAGES = str(Path(harness.__file__).parent.parent)

KILLED = -9

NOTHING_HAPPENS = Act()

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

    def run(self, begin: str, folder: Path, scene: Scene, act: Act = NOTHING_HAPPENS) -> Ended:
        """Have a process of its own `start` or `resume` a run, and wait for its end."""
        order = {"begin": begin, "folder": str(folder), "scene": asdict(scene), "act": asdict(act)}
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

    def tell_story(self, folder: Path, scene: Scene, *acts: Act | Crash) -> Story:
        """Start a run, stop each process that carries it as its act says, and resume it to its end.

        If the last act is a crash, one more process follows. The story ends with the run.
        """
        folder.mkdir(exist_ok=True)
        plays = [Act(act) if isinstance(act, Crash) else act for act in acts]
        if not plays or plays[-1].crash:
            plays.append(NOTHING_HAPPENS)
        story = Story(scene, lossless=all(_is_lossless(act.crash, scene) for act in plays))
        begin = "start"
        for act in plays:
            ended = self.run(begin, folder, scene, act)
            story.left.append(left(folder, scene))
            begin = "resume" if story.left[-1].recorded else "start"
            if ended.status != KILLED:
                assert ended.status == 0, f"a process ended with {ended.status}"
                assert "raised" not in ended.told, ended.told.get("trace")
                story.told.append(ended.told)
                if ended.told["stop_reason"] == "done":
                    break
        return story


def _is_lossless(crash: Crash | None, scene: Scene) -> bool:
    """Whether all that was recorded before a crash is on disk."""
    if crash is None or crash.how != "kill":
        return True
    return not crash.lost and (crash.at != "effect" or scene.effect in ("keyed", "once"))


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
