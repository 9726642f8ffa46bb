"""What the doctor proposes for a team file is something that a team file may say."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from truth.building import build
from truth.defects import DEFECTS
from truth.scoring import detector_named, samples

from harness.diagnosis import examine
from harness.team.loading import restore_team

TEAM = {
    "harness": 1,
    "name": "any",
    "mcpServers": {"any": {"module": "any.name", "disabled": True}},
}


@pytest.mark.parametrize("name", list(DEFECTS))
def test_patches_are_accepted_by_the_team_file(name: str, tmp_path: Path) -> None:
    detector = detector_named(name)
    assert detector is not None
    for sample in samples(name, range(1)):
        record = build(sample.injected.script).record
        names = {agent.name for agent in record.agents.values()}
        servers = {call.server for call in record.calls.values() if call.server}
        servers |= {tool.name.partition(".")[0] for a in record.agents.values() for tool in a.tools or ()}
        record.team = {
            **TEAM,
            "entry": next(iter(names)),
            "agents": {
                one: {
                    "instructions": "Work.",
                    "tools": sorted(servers),
                    "order": ["at most 9 identical calls"],
                }
                for one in names
            },
            "mcpServers": {
                one: {"module": "any.name", "disabled": True} for one in servers if "." not in one
            },
        }
        for finding in examine(record, detectors=[detector]).findings:
            for path, value in (finding.remedy.patch if finding.remedy else {}).items():
                setting = f"{path}={orjson.dumps(value).decode()}"
                team = restore_team(
                    record.team, base=tmp_path, overrides=[setting], servers=frozenset(servers)
                )
                if path.endswith(".order"):
                    assert "at most 9 identical calls" in str(team.source), setting
