"""`harness diagnose --mine`: contracts for `order:` that good runs keep, as a table and to paste."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from harness.cli.store import store_name
from harness.cli.terminal import count, plain, table
from harness.contracts.mining import Proposal
from harness.diagnosing import read_runs
from harness.diagnosis.mining import TEAM, Mining, mine_records
from harness.errors import UsageError
from harness.record import RunRecord
from harness.views import json_line

_NAMED = 5
"""How many of the runs that were left out are named."""


@dataclass(frozen=True)
class MineRequest:
    """What the command was asked for."""

    sources: tuple[str, ...]
    store: str | None = None
    as_json: bool = False
    fdr: float = 0.05
    min_runs: int = 10
    failed_too: bool = False


def mine_sources(request: MineRequest) -> int:
    """Print the contracts that the runs propose; return 0, also if they propose none."""
    if not 0 < request.fdr < 1:
        raise UsageError(f"--fdr {request.fdr:g}: it is a rate between 0 and 1, such as 0.05")
    mining = mine_records(
        _records(request), rate=request.fdr, least=request.min_runs, failed_too=request.failed_too
    )
    print(json_line(_view(mining, request)) if request.as_json else "\n".join(_lines(mining, request)))
    return 0


def _records(request: MineRequest) -> Iterator[RunRecord]:
    store = store_name(request.store)
    for source in request.sources:
        yield from read_runs(source, store=store)


def _view(mining: Mining, request: MineRequest) -> dict[str, Any]:
    return {
        "type": "mining",
        "runs": mining.runs,
        "left_out": [asdict(one) for one in mining.left_out],
        "repeats": mining.repeats,
        "unsaid": mining.unsaid,
        "fdr": request.fdr,
        "min_runs": request.min_runs,
        "tested": mining.mined.tested,
        "needed": mining.mined.needed,
        "proposals": [
            {
                "agent": agent,
                "contract": one.contract.text,
                "template": one.contract.template.name,
                "meaning": one.contract.meaning,
                "runs": one.runs,
                "support": round(one.runs / mining.runs, 4),
                "activations": one.activations,
                "broken": 0,
                "p": float(f"{one.p:.3g}"),
                "q": float(f"{one.q:.3g}"),
            }
            for agent, proposals in mining.order.items()
            for one in proposals
        ],
    }


# --- printing ---


def _lines(mining: Mining, request: MineRequest) -> Iterator[str]:
    proposed = sum(map(len, mining.order.values()))
    yield (
        f"{count(mining.runs, 'good run')}: {count(mining.mined.tested, 'contract')} asked about, "
        f"{proposed} proposed (false discoveries: {request.fdr:.0%} at most are to be expected)"
    )
    yield from _notes(mining)
    if not proposed:
        yield f"  {_nothing(mining, request)}"
        return
    for agent, proposals in mining.order.items():
        yield f"\n{plain(f'agent {agent}' if agent != TEAM else 'the team, between agents')}"
        yield table([_row(one, mining.runs) for one in proposals], ("CONTRACT", "RUNS", "TIMES", "P", "Q"))
    yield "\n# for the team file: kept in every run above\n" + "\n".join(_block(mining))


def _row(one: Proposal, runs: int) -> tuple[str, ...]:
    return (
        plain(one.contract.text),
        f"{one.runs} of {runs}",
        f"{one.activations:,}",
        f"{one.p:.0e}",
        f"{one.q:.0e}",
    )


def _notes(mining: Mining) -> Iterator[str]:
    if mining.left_out:
        named = [plain(f"{one.run_id} ({one.outcome})") for one in mining.left_out[:_NAMED]]
        more = len(mining.left_out) - len(named)
        rest = f" and {more} more" if more else ""
        yield f"  left out, as they did not end well: {', '.join(named)}{rest}; --failed-too takes them"
    if mining.repeats:
        yield f"  left out, as they did the same as another run, call for call: {count(mining.repeats, 'run')}"
    if mining.unsaid:
        yield f"  taken for good, as their source does not say how they ended: {count(mining.unsaid, 'run')}"
    bare = {tool for tool in _tools(mining) if "." not in tool}
    if bare:
        yield f"  without a server: {plain(', '.join(sorted(bare)))}; in a team file a tool is server.tool"


def _nothing(mining: Mining, request: MineRequest) -> str:
    needed = mining.mined.needed
    if mining.runs < needed:
        fewest = "" if mining.runs >= request.min_runs else f" (--min-runs {request.min_runs})"
        return (
            f"too few runs{fewest}: with these tools about {needed} good and different ones are needed "
            "to tell from chance in which order two calls come, once in each"
        )
    return "no contract is kept in all of them that chance would not keep just as well"


def _tools(mining: Mining) -> Iterator[str]:
    for proposals in mining.order.values():
        for one in proposals:
            for pattern in (one.contract.first, one.contract.second):
                yield from pattern.tools if pattern else ()


def _block(mining: Mining) -> Iterator[str]:
    """Yield the lines of a team file that hold the contracts."""
    agents = {name: proposals for name, proposals in mining.order.items() if name != TEAM}
    if agents:
        yield "agents:"
        for name, proposals in agents.items():
            yield f"  {_scalar(name)}:"
            yield from _rules(proposals, "    ")
    if TEAM in mining.order:
        yield from _rules(mining.order[TEAM], "")


def _rules(proposals: Sequence[Proposal], indent: str) -> Iterator[str]:
    yield f"{indent}order:"
    for one in proposals:
        yield f"{indent}  - {_scalar(one.contract.text)}"


def _scalar(text: str) -> str:
    """Return text as YAML, in quotes where it needs them."""
    return text if re.fullmatch(r"[A-Za-z](?:[\w./ -]|:(?=\S))*", text) else orjson.dumps(text).decode()
