"""The official MCP conformance suite against our server: our MCP server object in our application.

Needs Node and the suite, which are fetched from PyPI and npm; skipped where that is not possible.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest
from conformance_desk import furnish
from house import house
from surroundings import node_package

from harness import says, scripted
from harness.serve import ServeOptions

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(600)]

SUITE = "@modelcontextprotocol/conformance@0.2.0-alpha.12"

_LINE = re.compile(r"^(?P<mark>[✓✗]) (?P<name>[\w-]+): (?P<passed>\d+) passed, (?P<failed>\d+) failed$")
_UNSCORED = re.compile(r"^  [✓✗] (?P<name>[\w-]+) \(", re.MULTILINE)


@dataclass(frozen=True)
class Verdict:
    """What the suite found."""

    code: int
    scenarios: dict[str, tuple[int, int]]
    """Checks passed and failed, by scenario."""
    unscored: set[str]

    @property
    def failing(self) -> set[str]:
        """Scenarios that the revision requires and that failed."""
        return {name for name, (_, failed) in self.scenarios.items() if failed} - self.unscored


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    node, package = node_package(tmp_path_factory.mktemp("suite"), SUITE)
    return [str(node), str(package / "dist" / "index.js")]


@pytest.mark.parametrize(
    ("revision", "scenarios", "checks"), [("2025-11-25", 30, 70), ("2026-07-28", 37, 120)]
)
@pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")
async def test_the_server_meets_every_requirement(
    tmp_path: Path, suite: list[str], revision: str, scenarios: int, checks: int
):
    options = ServeOptions(extend_mcp=furnish, requests_per_minute=100_000)
    async with house(tmp_path, options=options, seconds=300, lead=scripted(says("Done."))) as served:
        command = [*suite, "server", "--url", f"{served.url}/mcp", "--requirements", revision]
        done = await anyio.run_process([*command, "--output-dir", str(tmp_path / "out")], check=False)
    verdict = read(done.returncode, done.stdout.decode())
    passed = sum(passed for name, (passed, _) in verdict.scenarios.items() if name not in verdict.unscored)

    assert verdict.failing == set()
    assert verdict.code == 0
    assert len(verdict.scenarios.keys() - verdict.unscored) >= scenarios
    assert passed >= checks


def read(code: int, said: str) -> Verdict:
    summary = said[said.index("=== SUMMARY ===") :]
    lines = filter(None, map(_LINE.match, summary.splitlines()))
    scenarios = {line["name"]: (int(line["passed"]), int(line["failed"])) for line in lines}
    unscored = {match["name"] for match in _UNSCORED.finditer(summary)}
    return Verdict(code, scenarios, unscored)
