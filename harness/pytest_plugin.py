"""A pytest plugin: recorded runs as regression tests of a team file.

    def test_the_team_still_makes_the_same_requests(replay, harness_bundle):
        replay(harness_bundle, against="team.yaml")

`harness_bundle` is every `*.harness` file below the folder that the ini option `harness_bundles`
names (`tests` if not given); `replay` fails the test with the first divergence. Neither a model, nor
a tool, nor the network is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from harness.models.port import Model
    from harness.replaying import Replayed

    ReplayCheck = Callable[..., list[Replayed]]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the ini option."""
    parser.addini(
        "harness_bundles", "folder of the bundles that `harness_bundle` stands for", default="tests"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes `harness_bundle` once for each bundle."""
    if "harness_bundle" in metafunc.fixturenames:
        folder = metafunc.config.rootpath / str(metafunc.config.getini("harness_bundles"))
        bundles = sorted(folder.rglob("*.harness"))
        metafunc.parametrize("harness_bundle", bundles, ids=[bundle.stem for bundle in bundles])


@pytest.fixture
def replay(request: pytest.FixtureRequest) -> ReplayCheck:
    """Return a function that replays a bundle and fails where a run leaves its record."""

    def check(
        bundle: str | Path,
        *,
        against: str | Path | None = None,
        models: Mapping[str, Model] | None = None,
    ) -> list[Replayed]:
        __tracebackhide__ = True
        from harness.replay.divergence import describe_divergence
        from harness.replaying import find_runs, replay_sync

        path, team = (_found(request, given) for given in (bundle, against))
        assert path is not None
        replayed = replay_sync(path, against=team, models=models)
        for recorded, one in zip(find_runs(str(path), None), replayed, strict=True):
            if not one.exact:
                lines = [f"run {one.replay.run_id} of {path} is not as recorded", *one.team]
                lines += [
                    describe_divergence(each, recorded, one.replay.state).text
                    for each in one.replay.divergences
                ]
                lines += [f"{item.event.type} did not happen again" for item in one.replay.missing[:5]]
                pytest.fail("\n".join(lines), pytrace=False)
        return replayed

    return check


def _found(request: pytest.FixtureRequest, given: str | Path | None) -> Path | None:
    """Return a path as it stands, or below the root of the tests."""
    if given is None or Path(given).exists():
        return None if given is None else Path(given)
    return request.config.rootpath / given
