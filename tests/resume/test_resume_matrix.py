"""SIGKILL at every named point of a call, for every effect class, at every depth, and then a resume."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest
from crash_checks import check
from crash_points import POINTS, Crash, Point
from crash_processes import Processes, side_by_side
from crash_teams import EFFECTS, Scene

ROUTES = ((0, "delegate"), (1, "delegate"), (1, "plan"), (2, "delegate"), (2, "plan"))

# Who runs the tool makes a difference where the harness waits for the disk before it is run.
OUTSIDE = {
    "read": ("function",),
    "idempotent": ("function",),
    "keyed": ("function", "mcp"),
    "once": ("function", "mcp"),
}

# Every effect at every depth and by every route; the rest takes turns, so that each meets each of the others.
SCENES = [
    Scene(effect, depth, by, together, outside, "file" if together == (outside == "mcp") else "directory")
    for row, (effect, (depth, by)) in enumerate(product(EFFECTS, ROUTES))
    for column, outside in enumerate(OUTSIDE[effect])
    for together in [(row + column) % 2 == 0]
]


@pytest.mark.parametrize("scene", SCENES, ids=str)
def test_a_run_killed_at_any_point_of_a_call_comes_to_the_same_end(
    processes: Processes, uninterrupted: Callable[[Scene], str], tmp_path: Path, scene: Scene
):
    answer = uninterrupted(scene)
    key, label = scene.target

    def kill(point: Point) -> None:
        story = processes.tell_story(tmp_path / point, scene, Crash.of_call(point, key, label))

        assert story.crashes == 1
        check(story, answer=answer)
        begun = story.left[0].begun()
        waited = scene.effect in ("keyed", "once")
        if point == "after-intent" or (point == "after-effect" and waited):
            assert key in begun
        assert set(story.end["asked"]) == (begun if scene.effect == "once" else set())

    side_by_side(kill, POINTS)
