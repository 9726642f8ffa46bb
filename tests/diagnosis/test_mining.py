"""Contracts out of records and files: from good runs only, as text that a team file takes, told at the terminal."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest
from inline_snapshot import snapshot

import harness
from harness.contracts import parse_contract
from harness.diagnosing import read_runs
from harness.diagnosis.mining import TEAM, Mining, mine_records
from harness.foreign import read_records
from harness.record import AgentRecord, Call, RunRecord, Turn, judge_order

REPOSITORY = Path(__file__).resolve().parents[2]
TAU_BENCH = REPOSITORY / "tests" / "foreign" / "traces" / "tau-bench" / "gpt-4o-airline.sample12.json"
QUESTIONS = (
    "What may a sub-agent see?", "What does the journal hold?", "How does a run resume after a crash?",
    "What is a fork?", "Which events are written?", "How are secrets redacted?", "What is a contract on calls?",
    "How does replay work?", "What do spans carry?", "How are budgets counted?", "What does a plan do?",
    "Who may answer an approval?", "What is a bundle?", "How are windows kept small?",
)  # fmt: skip


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness", *arguments],
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


def contracts(mining: Mining, agent: str = "agent") -> list[str]:
    return sorted(one.contract.text for one in mining.order.get(agent, ()))


# --- runs of others, as lists of messages ---


def conversation(
    number: int, calls: Sequence[tuple[str, dict[str, Any], str]], *, reward: int = 1
) -> dict[str, Any]:
    messages: list[dict[str, Any]] = [{"role": "user", "content": f"Task {number}."}]
    for index, (tool, arguments, result) in enumerate(calls):
        asked = {"name": tool, "arguments": json.dumps(arguments)}
        messages += [
            {"role": "assistant", "tool_calls": [{"id": f"c{index}", "type": "function", "function": asked}]},
            {"role": "tool", "tool_call_id": f"c{index}", "content": result},
        ]
    messages.append({"role": "assistant", "content": "Done."})
    return {"task_id": number, "reward": reward, "traj": messages}


def refund(number: int, *, reward: int = 1) -> dict[str, Any]:
    random = Random(number)
    order = random.randrange(1000, 10_000)
    calls = [
        ("shop.find", {"name": f"customer {number}"}, json.dumps({"order": order})),
        ("shop.refund", {"order": order}, "ok"),
    ]
    for _ in range(random.randint(1, 3)):
        calls.insert(random.randrange(len(calls) + 1), ("shop.note", {"text": f"n{random.random()}"}, "ok"))
    if reward == 0:
        calls.reverse()
    return conversation(number, calls, reward=reward)


def write(path: Path, runs: Sequence[dict[str, Any]]) -> Path:
    path.write_text(json.dumps(list(runs)))
    return path


def mined(path: Path, **options: Any) -> Mining:
    return mine_records(read_records(path), **options)


def test_failed_runs_are_left_out_unless_they_are_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "runs.json", [refund(n, reward=n != 3) for n in range(30)])

    good, every = mined(path), mined(path, failed_too=True)

    assert (good.runs, [one.outcome for one in good.left_out]) == (29, ["failed"])
    assert "shop.find before shop.refund where order from result" in contracts(good)
    assert (every.runs, every.left_out) == (30, ())
    assert not any("shop.refund" in text and "find" in text for text in contracts(every))


def test_runs_that_did_the_same_count_once(tmp_path: Path) -> None:
    path = write(tmp_path / "runs.json", [refund(n % 5) for n in range(60)])

    mining = mined(path)

    assert (mining.runs, mining.repeats, mining.order) == (5, 55, {})


def test_hundreds_of_runs_are_mined_in_seconds(tmp_path: Path) -> None:
    (*_, pattern) = [one for one in json.loads(TAU_BENCH.read_text()) if one["reward"] == 1]
    runs: list[dict[str, Any]] = []
    for number in range(200):
        text = re.sub(r"\b([A-Z]\w{2})(\w{3})\b", rf"\g<1>{number:03d}", json.dumps(pattern))
        runs.append({**json.loads(text), "task_id": number})
    path = write(tmp_path / "runs.json", runs)
    begun = time.process_time()

    mining = mined(path)

    assert (mining.runs, mining.repeats) == (200, 0)
    assert time.process_time() - begun < 20


def test_a_real_sample_that_is_too_small_proposes_nothing() -> None:
    mining = mined(TAU_BENCH)

    assert (mining.runs, len(mining.left_out), mining.order) == (6, 6, {})
    assert mining.mined.needed > 6


# --- several agents ---


def pipeline(number: int, *, after: bool) -> RunRecord:
    """Return a run in which a writer works after a reader, or beside it."""
    record = RunRecord(f"run-{number}", "spans", task=f"Task {number}.", outcome="done")
    for name, tool in (("reader", "s.read"), ("writer", "s.write")):
        needs = ("reader",) if after and name == "writer" else ()
        agent = record.agents[name] = AgentRecord(name, name, after=needs)
        for turn in range(1, 3 + number % 2):
            agent.turns.append(Turn(name, turn))
            agent.turns[-1].calls.append(Call(f"{name}/{turn}", "", tool, "{}", name, turn, 0, result="ok"))
    return record


def test_the_order_between_agents_is_proposed_for_the_team_where_it_is_causal() -> None:
    ordered = mine_records(pipeline(number, after=True) for number in range(20))
    beside = mine_records(pipeline(number, after=False) for number in range(20))

    assert contracts(ordered, TEAM) == ["s.read then s.write"]
    assert contracts(beside, TEAM) == []


# --- our own runs ---


@dataclass(frozen=True)
class Researched:
    """A folder with the research example, and its runs in a store there."""

    folder: Path
    runs: tuple[str, ...]

    def records(self, runs: Sequence[str]) -> list[RunRecord]:
        return [record for one in runs for record in read_runs(one, store=self.folder / ".harness")]


@pytest.fixture(scope="module")
def researched(tmp_path_factory: pytest.TempPathFactory) -> Researched:
    folder = tmp_path_factory.mktemp("mining")
    shutil.copytree(REPOSITORY / "examples", folder / "examples")
    for document in ("README.md", "harness/ARCHITECTURE.md"):
        shutil.copy(REPOSITORY / document, folder)
    team = folder / "examples" / "deep_research" / "team.yaml"
    results = [harness.run_sync(team, question, store=folder / ".harness") for question in QUESTIONS]
    assert {result.stop_reason for result in results} == {"done"}
    return Researched(folder, tuple(result.run_id for result in results))


def test_contracts_of_real_runs_hold_in_runs_that_were_not_mined(researched: Researched) -> None:
    learned, kept_apart = researched.records(researched.runs[:10]), researched.records(researched.runs[10:])

    proposed = contracts(mine_records(learned), "researcher")
    rules = {"researcher": [parse_contract(text) for text in proposed]}
    verdicts = [judged.verdict for record in kept_apart for judged in judge_order(record, (), rules)]

    assert "corpus.search before corpus.read where locator from result" in proposed
    assert len(verdicts) >= 4 * len(proposed)
    assert [verdict.breaches for verdict in verdicts if verdict.holds != "satisfied"] == []
    assert not any(verdict.vacuous for verdict in verdicts)


def test_what_is_printed_last_goes_into_the_team_file_as_it_is(researched: Researched) -> None:
    folder = researched.folder
    printed = command(folder, "diagnose", "--mine", *researched.runs).stdout
    _, block = printed.split("# for the team file: kept in every run above\nagents:\n")
    team = folder / "examples" / "deep_research" / "with_order.yaml"
    text = (team.parent / "team.yaml").read_text()
    team.write_text(text.replace("  researcher:\n", block))

    checked = command(folder, "check", str(team))
    result = harness.run_sync(team, "What is a ledger?", store=folder / ".harness")

    assert block.count("- corpus.") >= 3
    assert (checked.returncode, checked.stderr, result.stop_reason) == (0, "", "done")
    (record,) = researched.records([result.run_id])
    assert [call.key for call in record.calls.values() if call.error_type == "order"] == []


# --- the command ---


def test_the_command_tells_what_it_proposes_and_of_what(tmp_path: Path) -> None:
    write(tmp_path / "runs.json", [refund(n, reward=n != 3) for n in range(30)])

    told = command(tmp_path, "diagnose", "--mine", "runs.json")
    as_json = command(tmp_path, "diagnose", "--mine", "runs.json", "--json")

    assert (told.returncode, told.stdout, told.stderr) == snapshot(
        (
            0,
            """\
29 good runs: 33 contracts asked about, 4 proposed (false discoveries: 5% at most are to be expected)
  left out, as they did not end well: runs task_id 3 (failed); --failed-too takes them

agent agent
CONTRACT                                              RUNS      TIMES  P      Q
shop.find exactly once                                29 of 29  29     8e-11  6e-09
shop.refund exactly once                              29 of 29  29     8e-11  6e-09
shop.find before shop.refund where order from result  29 of 29  29     2e-09  5e-08
shop.find followed by shop.refund                     29 of 29  29     2e-09  5e-08

# for the team file: kept in every run above
agents:
  agent:
    order:
      - shop.find exactly once
      - shop.refund exactly once
      - shop.find before shop.refund where order from result
      - shop.find followed by shop.refund
""",
            "",
        )
    )
    view = json.loads(as_json.stdout)
    assert {key: value for key, value in view.items() if key != "proposals"} == snapshot(
        {
            "type": "mining",
            "runs": 29,
            "left_out": [{"run_id": "runs task_id 3", "outcome": "failed"}],
            "repeats": 0,
            "unsaid": 0,
            "fdr": 0.05,
            "min_runs": 10,
            "tested": 33,
            "needed": 12,
        }
    )
    assert view["proposals"][0] == snapshot(
        {
            "agent": "agent",
            "contract": "shop.find exactly once",
            "template": "exactly",
            "meaning": "shop.find: exactly once",
            "runs": 29,
            "support": 1.0,
            "activations": 29,
            "broken": 0,
            "p": 8.37e-11,
            "q": 5.65e-09,
        }
    )


def test_too_few_runs_propose_nothing_and_say_how_many_would_do(tmp_path: Path) -> None:
    write(tmp_path / "runs.json", [refund(n) for n in range(4)])

    told = command(tmp_path, "diagnose", "--mine", "runs.json")

    assert (told.returncode, told.stdout) == snapshot(
        (
            0,
            """\
4 good runs: 0 contracts asked about, 0 proposed (false discoveries: 5% at most are to be expected)
  too few runs (--min-runs 10): with these tools about 12 good and different ones are needed to tell from chance in which order two calls come, once in each
""",
        )
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["nothing.json"],
        ["runs.json", "--fdr", "1.5"],
        ["runs.json", "--min-runs", "0"],
        ["runs.json", "--fail-on", "error"],
    ],
)
def test_wrong_use_is_refused(arguments: list[str], tmp_path: Path) -> None:
    write(tmp_path / "runs.json", [refund(0)])

    told = command(tmp_path, "diagnose", "--mine", *arguments)

    assert (told.returncode, told.stdout) == (2, "")
    assert arguments[-1] in told.stderr or arguments[-2] in told.stderr
