"""What comes in the wrong order, one after the other, or round and round."""

from __future__ import annotations

import json
from dataclasses import replace

from ..families.pen import Pen
from ..prose import sentence_of
from ..script import Call, Size
from .kit import FAR, Marks, Stage, by_size, defect, disguise

# --- order-contract ---


def _contract(at: Stage, rule: str) -> None:
    """Give the agent a contract in the team file."""
    agents = dict(at.script.team.get("agents", {}))
    agent = agents.get(at.agent.name, {})
    agents[at.agent.name] = {**agent, "order": [*agent.get("order", ()), rule]}
    at.script = replace(at.script, team={**at.script.team, "agents": agents})


@defect(turns=5)
def order_contract(at: Stage, size: Size) -> Marks:
    """A call before which, by the team file, another one has to come, or after which none may."""
    key, other = at.key(), at.key()
    first, second = at.pen(), at.pen()
    theme = at.theme
    spot = at.spot(0.1, 0.5)
    if size == "small":
        _contract(at, f"{theme.read} before {theme.write}")
        wrong = second.does(theme.write, {theme.key: key, "content": "new"}, "changed")
    elif size == "medium":
        _contract(at, f"{theme.read} before {theme.write} with same {theme.key}")
        first.does(theme.read, {theme.key: other}, at.mint.invented(40))
        wrong = second.does(theme.write, {theme.key: key, "content": "new"}, "changed")
    else:
        _contract(at, f"at most 2 calls of {theme.write}")
        for _ in range(2):
            first.does(theme.write, {theme.key: other, "content": at.mint.code_of("V")}, "changed")
        wrong = second.does(theme.write, {theme.key: key, "content": "new"}, "changed")
    at.put(spot, first.turns)
    at.put(at.after(spot + len(first.turns), FAR[size]), second.turns)
    return {wrong.id}


@disguise(turns=5)
def kept_contract(at: Stage) -> None:
    """A contract that is kept."""
    _contract(at, "vault.open_safe before vault.store_item with same safe")
    safe, text = at.mint.code_of("SAFE"), at.mint.code_of("ITEM")
    at.tell(f"What waits in {safe} is to be stored there.")
    pen = at.pen()
    pen.does("vault.open_safe", {"safe": safe}, f"{safe} is open; {text} waits")
    pen.does("vault.store_item", {"safe": safe, "item": text}, f"{text} stored")
    at.episode(pen)


# --- serialised-calls ---


@defect()
def serialised_calls(at: Stage, size: Size) -> Marks:
    """Reads that do not need each other, one a turn."""
    keys = [at.unseen() for _ in range(by_size(size, 3, 5, 8))]
    listing = at.pen()
    listing.does(at.theme.search, {"query": "all open ones"}, "\n".join(keys))
    pen = at.pen()
    found = [at.mint.invented(30) for _ in keys]
    calls = [
        pen.does(at.theme.read, {at.theme.key: key}, text) for key, text in zip(keys, found, strict=True)
    ]
    spot = at.spot()
    at.put(spot, [*listing.turns, *pen.turns])
    last = spot + 1 + len(calls)
    at.say(last, " ".join(sentence_of(text) for text in found))
    return {*(call.id for call in calls)}


@disguise()
def parallel_calls(at: Stage) -> None:
    """The same reads in one turn."""
    keys = [at.unseen() for _ in range(4)]
    found = [at.mint.invented(30) for _ in keys]
    pen = at.pen()
    pen.does(at.theme.search, {"query": "all open ones"}, "\n".join(keys))
    pen.together(
        [pen.call(at.theme.read, {at.theme.key: key}, text) for key, text in zip(keys, found, strict=True)]
    )
    at.episode(pen, " ".join(sentence_of(text) for text in found))


@disguise()
def chained_calls(at: Stage) -> None:
    """Reads of which each names the next."""
    keys = [at.unseen() for _ in range(5)]
    pen = at.pen()
    pen.does(at.theme.search, {"query": "the first one"}, keys[0])
    for key, following in zip(keys, keys[1:], strict=False):
        pen.does(at.theme.read, {at.theme.key: key}, f"goes on in {following}")
    at.episode(pen, f"The chain ends with {keys[-1]}.")


# --- loop and cycle ---


@defect()
def loop(at: Stage, size: Size) -> Marks:
    """The same call with the same result, again and again."""
    key, text = at.key(), at.mint.choice((at.mint.invented(50), "nothing new"))
    pen = at.pen()
    count = by_size(size, 3, 5, 9)
    calls = [
        pen.does(at.theme.read, {at.theme.key: key}, text, text="Let me look again.") for _ in range(count)
    ]
    at.put(at.spot(), pen.turns)
    return {*(call.id for call in calls)}


@defect()
def cycle(at: Stage, size: Size) -> Marks:
    """A round of calls that changes nothing, walked several times."""
    length = by_size(size, 2, 3, 4)
    round_of = [(at.key(), at.mint.invented(40)) for _ in range(length)]
    pen = at.pen()
    calls = [
        pen.does(at.theme.read, {at.theme.key: key}, text)
        for _ in range(by_size(size, 3, 3, 5))
        for key, text in round_of
    ]
    at.put(at.spot(), pen.turns)
    return {*(call.id for call in calls)}


@disguise()
def mended_step_by_step(at: Stage) -> None:
    """The same check after each of several changes, until it passes."""
    key = at.key()
    pen = at.pen()
    parts = [at.mint.code_of("PART") for _ in range(4)]
    at.tell(f"{key} is to hold {', '.join(parts)}.")
    for left, part in zip((3, 2, 1, 0), parts, strict=True):
        pen.does(at.theme.write, {at.theme.key: key, "content": part}, f"{part} is in {key}")
        pen.does(
            at.theme.runs, {"target": key}, f"{left} checks fail" if left else f"all checks of {key} pass"
        )
    at.episode(pen, f"All checks of {key} pass.")


@disguise()
def check_unchanged_by_edits(at: Stage) -> None:
    """The same check with the same outcome, each time after another change."""
    key = at.key()
    pen = at.pen()
    parts = [at.mint.code_of("PART") for _ in range(4)]
    at.tell(f"{key} is to hold {', '.join(parts)}.")
    for part in parts:
        pen.does(at.theme.write, {at.theme.key: key, "content": part}, f"{key} changed")
        pen.does(at.theme.runs, {"target": key}, f"all checks of {key} pass")
    at.episode(pen, f"All checks of {key} pass after four changes.")


# --- unverified-edit ---


@defect(turns=5)
def unverified_edit(at: Stage, size: Size) -> Marks:
    """Changes after the last check, in work that checks all others."""
    change = _CHECKED.get(at.script.family)
    if change is None:
        return None
    pen = at.pen()
    marks = {change(at, pen).id for _ in range(by_size(size, 1, 2, 4))}
    at.put(len(at.agent.turns) - 1, pen.turns)
    return marks


def _patched(at: Stage, pen: Pen) -> Call:
    """Write an edit of a source file."""
    path = f"src/package/{at.mint.code_of('mod').lower().replace('-', '_')}.py"
    at.tell(f"{path} has the same fault.")
    old, new = (sentence_of(at.mint.code(40), longest=90) for _ in range(2))
    return pen.does("repo.edit_file", {"path": path, "old": old, "new": new}, f"{path} changed")


def _derived(at: Stage, pen: Pen) -> Call:
    """Write the making of a table."""
    source, made = at.mint.code_of("tab").lower(), at.mint.code_of("tab").lower()
    at.tell(f"Take {source} as well.")
    rule = "select distinct * where total is not null"
    result = json.dumps({"created": made, "kept": at.mint.number(5)})
    return pen.does("store.write_table", {"source": source, "rule": rule}, result)


_CHECKED = {"coding": _patched, "pipeline": _derived}
"""How work is changed in the families that check theirs."""


@disguise(turns=5)
def verified_edit(at: Stage) -> None:
    """Changes, then the tests, then only reading."""
    pen = at.pen()
    first = _patched(at, pen)
    key = first.arguments["path"]
    text = json.dumps({"path": key, "lines": at.mint.number(3)})
    pen.does("repo.edit_file", {**first.arguments, "old": first.arguments["new"]}, f"{key} changed")
    pen.does("repo.run_tests", {"target": key}, f"all tests of {key} pass")
    pen.does("repo.read_file", {"path": key}, text)
    end = len(at.agent.turns) - 1
    at.put(end, pen.turns)
    at.say(end + 4, f"{text} passes.")
