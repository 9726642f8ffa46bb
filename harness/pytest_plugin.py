"""A pytest plugin: recorded runs as regression tests of a team file.

    def test_the_team_still_makes_the_same_requests(replay, harness_bundle):
        replay(harness_bundle, against="team.yaml")

`harness_bundle` is every `*.harness` file below the folder that `--harness-bundles`, or the ini option
`harness_bundles`, names (`tests` if neither does); `replay` fails the test with the first divergence of
every agent. Neither a model, nor a tool, nor the network is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from harness.models.port import Model
    from harness.replaying import Replayed

SUFFIX = ".harness"


class ReplayBundle(Protocol):
    """Replays the runs of a bundle; fails the test if one of them is not as recorded."""

    def __call__(
        self,
        bundle: str | Path,
        *,
        against: str | Path | None = None,
        models: Mapping[str, Model] | None = None,
    ) -> Sequence[Replayed]:
        """Return what came of the runs.

        Args:
            bundle: A file, relative to the working directory, the folder of bundles or the root of the tests.
            against: A team file whose requests must be the recorded ones; without it everything must be
                as recorded.
            models: Models that the program handed in when the runs were made.
        """
        ...


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that say where bundles are."""
    described = "folder of the bundles that the fixture harness_bundle stands for"
    parser.getgroup("harness").addoption("--harness-bundles", metavar="FOLDER", help=described)
    parser.addini("harness_bundles", described, default="tests")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes `harness_bundle` once for each bundle."""
    if "harness_bundle" in metafunc.fixturenames:
        folder = _folder(metafunc.config)
        bundles = sorted(path for path in folder.rglob(f"*{SUFFIX}") if path.is_file())
        names = [bundle.relative_to(folder).with_suffix("").as_posix() for bundle in bundles]
        metafunc.parametrize("harness_bundle", bundles, ids=names)


@pytest.fixture
def replay(request: pytest.FixtureRequest) -> ReplayBundle:
    """Return a function that replays a bundle, and fails where a run leaves its record."""

    def check(
        bundle: str | Path,
        *,
        against: str | Path | None = None,
        models: Mapping[str, Model] | None = None,
    ) -> Sequence[Replayed]:
        __tracebackhide__ = True
        # Only tests that replay something pay for what that needs.
        from harness.errors import HarnessError
        from harness.replaying import replay_sync

        path = _found(request.config, bundle)
        try:
            replayed = _outside_of_event_loops(
                lambda: replay_sync(
                    path, against=None if against is None else _found(request.config, against), models=models
                )
            )
        except HarnessError as error:
            pytest.fail(str(error), pytrace=False)
        wrong = [one.text for one in replayed if not one.exact]
        if wrong:
            pytest.fail("\n".join([f"{path}: {len(wrong)} of {len(replayed)} runs", *wrong]), pytrace=False)
        return replayed

    return check


def _folder(config: pytest.Config) -> Path:
    return config.rootpath / str(config.getoption("harness_bundles") or config.getini("harness_bundles"))


def _found(config: pytest.Config, given: str | Path) -> Path:
    """Return the file as it is named, or where it is below the folder of bundles or the root of the tests."""
    places = [Path(given), _folder(config) / given, config.rootpath / given]
    return next((place for place in places if place.is_file()), Path(given))


def _outside_of_event_loops(replay: Callable[[], Sequence[Replayed]]) -> Sequence[Replayed]:
    """Call something that starts an event loop of its own, also from an async test."""
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return replay()
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(replay).result()
