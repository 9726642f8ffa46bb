"""`harness resume`, `approve` and `fork`: runs that go on from what is recorded of others or themselves."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, cast

import anyio
import orjson

from harness.cli.ask import somebody
from harness.cli.run_team import carry, tell
from harness.cli.store import open_store
from harness.cli.terminal import count, dollars, one_line, plain
from harness.errors import RunTaken, UsageError
from harness.events import Recorded, RunStarted
from harness.journal import Answer, resolve_run
from harness.loop.approvals import Reply, leave_answer
from harness.loop.state import fold
from harness.opening import open_harness
from harness.replay import Changes, recorded_team
from harness.run import RunResult
from harness.team import Team, load_team
from harness.views import json_line

LOOK_AGAIN_SECONDS = 0.25
PATIENCE_SECONDS = 10.0
"""How long to wait for the process that carries a run to use an answer, or to leave the run."""


@dataclass(frozen=True)
class Again:
    """Which run, where it is, and with which team it goes on."""

    run: str
    store: str | None
    team: str | None = None
    overrides: tuple[str, ...] = ()
    as_json: bool = False
    quiet: bool = False


@dataclass(frozen=True)
class Approval:
    """What was said to a question on the command line."""

    call: str = ""
    deny: bool = False
    arguments: str | None = None
    content: str | None = None
    did_it_happen: str | None = None
    reason: str = ""


def resume_run(request: Again) -> int:
    """Carry a run on; return its exit code."""
    return anyio.run(_carry_on, request)


def approve_call(request: Again, approval: Approval, *, resume: bool) -> int:
    """Answer a question of a run and carry the run on, if this process may and shall."""
    run_id, recorded = _recorded(request)
    reply = _reply(approval)
    waiting = fold(recorded).waiting.values()
    answer = leave_answer(open_store(request.store), run_id, waiting, approval.call, reply, at=time.time())
    said = f"{plain(answer.key)}: {answer.decision.replace('_', ' ')}"
    if not resume:
        print(f"{said}; to go on: harness resume {run_id}", file=sys.stderr)
        return 0
    print(said, file=sys.stderr)
    given_up = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return resume_run(request)
        except RunTaken as taken:
            if _was_used(request.store, run_id, answer):
                print("the process that carries the run goes on with it", file=sys.stderr)
                return 0
            if time.monotonic() > given_up:
                raise RunTaken(f"the answer is kept, and used when the run is resumed; {taken}") from taken
            # The other process has not come to it yet, or is just suspending the run without it.
            time.sleep(LOOK_AGAIN_SECONDS)


def _was_used(store: str | None, run_id: str, answer: Answer) -> bool:
    question = fold(open_store(store).read(run_id)).waiting.get(answer.key)
    return question is None or question.number != answer.number


def fork_run(request: Again, at: str, changes: Changes, *, times: int) -> int:
    """Fork a run, once or several times at once; return the exit code."""

    async def main() -> list[RunResult]:
        run_id, recorded = _recorded(request)
        settings = [f"--set {one}" for one in request.overrides]
        async with open_harness(_team(request, recorded), store=request.store) as harness:
            runs = [await harness.fork(run_id, at, changes=changes, described=settings) for _ in range(times)]
            if times == 1:
                return [await carry(harness, runs[0], as_json=request.as_json, quiet=request.quiet)]
            return [await run.result() for run in runs]

    results = anyio.run(main)
    if times == 1:
        return tell(results[0], as_json=request.as_json)
    return _tell_spread(results, as_json=request.as_json)


async def _carry_on(request: Again) -> int:
    run_id, recorded = _recorded(request)
    async with open_harness(_team(request, recorded), store=request.store) as harness:
        run = await harness.resume(run_id)
        result = await carry(harness, run, as_json=request.as_json, quiet=request.quiet)
    return tell(result, as_json=request.as_json)


def _recorded(request: Again) -> tuple[str, list[Recorded]]:
    journal = open_store(request.store)
    run_id = resolve_run(journal, request.run)
    return run_id, list(journal.read(run_id))


def _team(request: Again, recorded: Sequence[Recorded]) -> Team:
    """Return the team to go on with: the file named, or the one the run began with as it is now, or as it was."""
    started = recorded[0].event
    assert isinstance(started, RunStarted)
    path = request.team or (started.team_path if Path(started.team_path).is_file() else None)
    if path is not None:
        return load_team(path, overrides=request.overrides)
    return recorded_team(recorded, overrides=request.overrides, to_run=True)


def _reply(approval: Approval) -> Reply:
    if approval.arguments is not None:
        _check_json(approval.arguments, "the arguments")
    if approval.did_it_happen not in (None, "yes", "no"):
        raise UsageError("--did-it-happen takes yes or no")
    return Reply(
        allow=not approval.deny,
        arguments=approval.arguments,
        content=None if approval.content is None else _check_json(approval.content, "the answer"),
        happened=None if approval.did_it_happen is None else approval.did_it_happen == "yes",
        by=somebody(),
        reason=approval.reason,
    )


def _check_json(text: str, what: str) -> Any:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise UsageError(f"{what} are not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise UsageError(f"{what} must be one JSON object")
    return cast("dict[str, Any]", value)


def pairs(option: str, given: Sequence[str] | None) -> dict[str, str]:
    """Return `KEY=VALUE` options as a mapping.

    Raises:
        UsageError: One of them is malformed.
    """
    found: dict[str, str] = {}
    for text in given or ():
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise UsageError(f"{option} takes KEY=TEXT, not {text!r}")
        found[key] = value
    return found


def _tell_spread(results: Sequence[RunResult], *, as_json: bool) -> int:
    """Print how several forks of one turn came out."""
    outputs = Counter(
        result.output if isinstance(result.output, str) else json_line(result.output) for result in results
    )
    reasons = Counter(result.stop_reason for result in results)
    tokens = sorted(result.usage.total_tokens for result in results)
    costs = [result.cost for result in results if result.cost is not None]
    if as_json:
        spread = {
            "runs": [result.run_id for result in results],
            "stop_reasons": dict(reasons),
            "outputs": [{"output": output, "times": times} for output, times in outputs.most_common()],
            "tokens": {"min": tokens[0], "median": median(tokens), "max": tokens[-1]},
            "cost": {"min": min(costs), "max": max(costs)} if costs else None,
        }
        print(json_line(spread))
    else:
        for result in results:
            print(f"{result.run_id}  {result.stop_reason:10s} {result.usage.total_tokens:9,d} tokens")
        print(f"\n{count(len(outputs), 'different answer')}:")
        for output, times in outputs.most_common():
            print(f"  {times} times: {one_line(output, 90)}")
        print(f"tokens {tokens[0]:,} to {tokens[-1]:,}, median {median(tokens):,.0f}", file=sys.stderr)
        if costs:
            print(f"cost {dollars(min(costs))} to {dollars(max(costs))}", file=sys.stderr)
    return 0 if set(reasons) == {"done"} else 1
