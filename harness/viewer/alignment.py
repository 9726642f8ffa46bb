"""Two runs beside each other: which turns and entries they have in common, and where they first part.

Agent runs are paired by path, then by name and brief. Turns of a pair are the same if their requests
brought the same new entries and got the same reply and results; entries are the same if their messages are.
What a sub-agent reported is compared in its own turns and in the next one of its parent, so two runs part
where a sub-agent first did something else and not where its parent had asked for it.
"""

from __future__ import annotations

from collections import Counter
from hashlib import blake2b
from typing import Any

from harness.messages import canonical_arguments
from harness.record import AgentRecord, RunRecord, Turn
from harness.record.building import digest
from harness.viewer.path import step_times


def alignment(left: RunRecord, right: RunRecord) -> dict[str, Any]:
    """Return the pairs of agent runs, with what differs in each, and the first divergence."""
    pairs = [_pair(left.agents.get(one), right.agents.get(other)) for one, other in _agents(left, right)]
    return {"pairs": pairs, "first": _first(left, right, pairs)}


def _agents(left: RunRecord, right: RunRecord) -> list[tuple[str, str]]:
    pairs = {path: path for path in left.agents if path in right.agents}
    free: dict[tuple[str, str], list[str]] = {}
    for path, agent in right.agents.items():
        if path not in pairs:
            free.setdefault((agent.name, agent.brief), []).append(path)
    for path, agent in left.agents.items():
        if path not in pairs:
            same = free.get((agent.name, agent.brief))
            pairs[path] = same.pop(0) if same else ""
    taken = set(pairs.values())
    ordered = [(path, pairs[path]) for path in left.agents]
    return ordered + [("", path) for path in right.agents if path not in taken]


def _pair(left: AgentRecord | None, right: AgentRecord | None) -> dict[str, Any]:
    one = [turn_digest(left, turn) for turn in left.turns] if left else []
    other = [turn_digest(right, turn) for turn in right.turns] if right else []
    same = 0
    while same < min(len(one), len(other)) and one[same] == other[same]:
        same += 1
    entries, others = _messages(left), _messages(right)
    return {
        "left": left.path if left else "",
        "right": right.path if right else "",
        "same": same,
        "equal": one == other,
        "leftOnly": _only(entries, others),
        "rightOnly": _only(others, entries),
    }


def turn_digest(agent: AgentRecord, turn: Turn) -> bytes:
    """Return a hash of what a turn brought: new and gone entries, reply, calls and results of tools."""
    mark = blake2b(digest_size=12)
    for entry in (*turn.new, *turn.gone):
        mark.update(digest(entry.message))
    if turn.reply is not None:
        mark.update(digest(turn.reply.message))
    for call in turn.calls:
        came = "" if call.children else f"{call.result}\0{call.whole}"
        text = f"{call.tool}\0{canonical_arguments(call.arguments)}\0{came}"
        mark.update(text.encode("utf-8", "replace"))
    return mark.digest()


def _messages(agent: AgentRecord | None) -> list[bytes]:
    return [digest(entry.message) for entry in agent.entries] if agent else []


def _only(mine: list[bytes], theirs: list[bytes]) -> list[int]:
    """Return the numbers of the entries that the other side does not have as often."""
    left = Counter(theirs)
    only: list[int] = []
    for number, one in enumerate(mine):
        if left[one] > 0:
            left[one] -= 1
        else:
            only.append(number)
    return only


def _first(left: RunRecord, right: RunRecord, pairs: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return where the runs first part, by structure: agents as they were asked, turn by turn."""
    places: list[tuple[float, int, dict[str, Any]]] = []
    times = step_times(left), step_times(right)
    for position, pair in enumerate(pairs):
        if pair["equal"] and pair["left"] and pair["right"]:
            continue
        turn = pair["same"] + 1
        steps = [
            known[f"{path}/turn-{turn}"][0]
            for known, path in ((times[0].turns, pair["left"]), (times[1].turns, pair["right"]))
            if f"{path}/turn-{turn}" in known
        ]
        if steps:
            places.append((min(steps), position, {"pair": position, "turn": turn, "step": min(steps)}))
    return min(places, key=lambda place: place[:2])[2] if places else None
