"""Runs of the command line: a team that writes lines into a diary, and carrying it on to its end."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from diary import Diary
from processes import Ended, Processes
from records import Record, check_nothing_lost, doubtful_lines, read_copy

ANSWER = "All lines are written."


@dataclass
class Desk:
    """A team file, its diary, and the store of its runs."""

    folder: Path
    store: Path
    """Where the command finds it."""
    processes: Processes
    before: tuple[str, ...] = ()
    """What every command begins with."""
    view: Path | None = None
    """Where this process finds the store, if elsewhere."""

    @property
    def diary(self) -> Diary:
        """What happened in the world."""
        return Diary(self.folder / "diary")

    @property
    def team(self) -> Path:
        """The team file."""
        return self.folder / "team.yaml"

    def write_team(self, lines: int, *, padding: int = 0, rule: str = "", **server: object) -> None:
        """Write the file of a team whose one agent writes so many lines."""
        args = {"diary": str(self.folder / "diary"), **server}
        script = [
            {"calls": [{"tool": "diary.write", "arguments": _line(number, padding)}]}
            for number in range(lines)
        ]
        team = {
            "harness": 1,
            "name": "desk",
            "entry": "writer",
            "models": {"default": {"api": "scripted", "script": [*script, {"say": ANSWER}]}},
            "mcpServers": {"diary": {"module": "diary_server", "args": args}},
            "agents": {"writer": {"instructions": "Write your lines down.", "tools": ["diary"]}},
            "permissions": [{"tool": "diary.*", "allow": rule}] if rule else [],
        }
        self.team.write_text(json.dumps(team))

    def command(self, *arguments: object, before: tuple[str, ...] | None = None) -> Ended:
        """Run a command on the store."""
        line = ("harness", *arguments, "--store", self.store)
        return self.processes.run(*line, before=self.before if before is None else before)

    def record(self) -> Record:
        """Read what the store holds, from a copy, and check that it is sound and nothing is lost."""
        copy = self.folder / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        record = read_copy(self.view or self.store, copy)
        check_nothing_lost(record, self.diary)
        return record

    def carry_on(self, run_id: str) -> Ended:
        """Resume a run until it has ended, answering from the diary whether what is in doubt happened."""
        ended = self.command("resume", run_id)
        while ended.code == 5:
            [doubtful] = doubtful_lines({run_id: self.record()[run_id]})
            happened = "yes" if doubtful in self.diary.lines else "no"
            ended = self.command("approve", run_id, "--did-it-happen", happened)
        return ended


def check_message(ended: Ended, *parts: str) -> None:
    """Check that a command failed with one message that holds all parts."""
    assert (ended.code, ended.out) == (3, ""), ended
    assert "Traceback" not in ended.err
    assert ended.err.count("error: ") == 1
    message = ended.err[ended.err.index("error: ") :]
    for part in parts:
        assert part in message


def _line(number: int, padding: int) -> dict[str, object]:
    return {"writer": 0, "line": number, "padding": "." * padding}
