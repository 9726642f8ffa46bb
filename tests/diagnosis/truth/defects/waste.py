"""Results that fill windows for nothing: unused, repeated, superseded, oversized, failed; and tools nobody calls."""

from __future__ import annotations

import json
from dataclasses import replace

from harness.messages import Message, ToolResult

from ..families.pen import tool
from ..prose import Mint, sentence_of
from ..script import Drop, Injected, Label, Script, Size
from .kit import FAR, by_size, stage


def _label(detector: str, path: str, *marks: str) -> tuple[Label, ...]:
    return (Label(detector, path, frozenset(marks)),)


# --- unused-result ---


def unused_result(script: Script, mint: Mint, size: Size) -> Injected | None:
    """A result of which no later reply holds anything."""
    at = stage(script, mint)
    if at is None:
        return None
    tokens = by_size(size, 500, 1500, 6000)
    text = mint.choice((mint.invented, mint.rows, mint.log_lines))(tokens)
    pen = at.pen()
    call = pen.does(at.theme.read, {at.theme.key: at.key()}, text)
    at.put(at.spot(), pen.turns)
    return Injected(at.finish(), _label("unused-result", at.path, call.id))


def used_by_one_value(script: Script, mint: Mint) -> Script | None:
    """A result of which the next reply takes an identifier."""
    at = stage(script, mint)
    if at is None:
        return None
    needle = mint.code_of("KEY")
    pen = at.pen()
    pen.does(at.theme.search, {"query": "the newest one"}, f"{mint.invented(300)} The newest is {needle}.")
    spot = at.spot()
    at.put(spot, pen.turns)
    at.say(spot + 1, f"The newest one is {needle}.")
    return at.finish()


def used_in_words(script: Script, mint: Mint) -> Script | None:
    """A result that the next reply quotes."""
    at = stage(script, mint)
    if at is None:
        return None
    text = mint.invented(250)
    pen = at.pen()
    pen.does(at.theme.read, {at.theme.key: at.key()}, text)
    spot = at.spot()
    at.put(spot, pen.turns)
    at.say(spot + 1, f"It says: {sentence_of(text)}")
    return at.finish()


def nothing_found(script: Script, mint: Mint) -> Script | None:
    """A search without hits, whose result is too small to matter."""
    at = stage(script, mint)
    if at is None:
        return None
    pen = at.pen()
    pen.does(at.theme.search, {"query": "anything older"}, "no hits")
    at.put(at.spot(), pen.turns)
    return at.finish()


# --- duplicate-read ---


def duplicate_read(script: Script, mint: Mint, size: Size) -> Injected | None:
    """The same read again, although nothing changed what it reads."""
    at = stage(script, mint, turns=5)
    if at is None:
        return None
    key, text = at.key(), mint.prose(by_size(size, 200, 700, 2500))
    spot = at.spot(0.15, 0.5)
    first, again = at.pen(), at.pen()
    one = first.does(at.theme.read, {at.theme.key: key}, text)
    other = again.does(at.theme.read, {at.theme.key: key}, text, text="I look at it once more.")
    at.put(spot, first.turns)
    at.say(spot + 1, f"{key}: {sentence_of(text)}")
    later = at.after(spot + 1, FAR[size])
    at.put(later, again.turns)
    return Injected(at.finish(), _label("duplicate-read", at.path, one.id, other.id))


def read_after_write(script: Script, mint: Mint) -> Script | None:
    """A second read after a write to the same resource, with another result."""
    at = stage(script, mint)
    if at is None:
        return None
    key, text, more = at.key(), mint.invented(120), mint.invented(40)
    at.tell(f"{key} is to end so: {more}")
    pen = at.pen()
    pen.does(at.theme.read, {at.theme.key: key}, text)
    pen.does(at.theme.write, {at.theme.key: key, "content": f"{text} {more}"}, f"{key} changed")
    pen.does(at.theme.read, {at.theme.key: key}, f"{text} {more}")
    spot = at.spot()
    at.put(spot, pen.turns)
    at.say(spot + 3, f"{key} now ends so: {more}")
    return at.finish()


def polling(script: Script, mint: Mint) -> Script | None:
    """The same call again and again, each time with another result."""
    at = stage(script, mint)
    if at is None:
        return None
    key = at.key()
    pen = at.pen()
    for percent in (7, 23, 58, 81, 100):
        pen.does("jobs.get_progress", {"job": key}, json.dumps({"job": key, "percent": percent}))
    spot = at.spot()
    at.put(spot, pen.turns)
    at.say(spot + 5, f"{key} is through.")
    return at.finish()


def pages(script: Script, mint: Mint) -> Script | None:
    """Page after page of one document."""
    at = stage(script, mint)
    if at is None:
        return None
    key = at.key()
    pen = at.pen()
    text = ""
    for page in range(1, 4):
        said = f"Page {page - 1} says: {sentence_of(text)}" if text else ""
        text = mint.invented(110)
        pen.does(at.theme.read, {at.theme.key: key, "page": page}, f"{text}\npage {page} of 3", text=said)
    spot = at.spot()
    at.put(spot, pen.turns)
    at.say(spot + 3, f"The last page says: {sentence_of(text)}")
    return at.finish()


def read_again_after_clearing(script: Script, mint: Mint) -> Script | None:
    """A second read of what had been cleared from the window."""
    at = stage(script, mint, turns=5)
    if at is None:
        return None
    key, text = at.key(), mint.invented(200)
    spot = at.spot(0.15, 0.5)
    first, again = at.pen(), at.pen()
    one = first.does(at.theme.read, {at.theme.key: key}, text)
    again.does(at.theme.read, {at.theme.key: key}, text)
    gone = Message("tool", (ToolResult(one.id, "[cleared]"),))
    at.put(spot, first.turns)
    at.say(spot + 1, f"{key} begins so: {sentence_of(text)}")
    later = at.after(spot + 1, 3)
    cleared = replace(again.turns[0], drops=(Drop(one.id, gone, "cleared old results"),))
    at.put(later, [cleared])
    at.say(later + 1, f"Again {key}: {text.rpartition('. ')[2]}")
    return at.finish()


# --- superseded-result ---


def superseded_result(script: Script, mint: Mint, size: Size) -> Injected | None:
    """An old state of a resource that stays in the window beside the new one."""
    at = stage(script, mint, turns=5)
    if at is None:
        return None
    tokens = by_size(size, 400, 1200, 5000)
    key, text, newer = at.key(), mint.prose(tokens), mint.prose(tokens)
    spot = at.spot(0.1, 0.4)
    first, second = at.pen(), at.pen()
    old = first.does(at.theme.read, {at.theme.key: key}, text)
    marks = [old.id]
    if mint.random() < 0.5:
        done = second.does(at.theme.write, {at.theme.key: key, "content": sentence_of(newer)}, "changed")
        marks.append(done.id)
    marks.append(second.does(at.theme.read, {at.theme.key: key}, newer).id)
    at.put(spot, first.turns)
    at.say(spot + 1, f"{key} says: {sentence_of(text)}")
    later = min(at.after(spot + 1, FAR[size]), max(spot + 1, len(at.agent.turns) - 4))
    at.put(later, second.turns)
    at.say(later + len(second.turns), f"It changed: {sentence_of(newer)}")
    return Injected(at.finish(), _label("superseded-result", at.path, *marks))


def replaced_by_newer(script: Script, mint: Mint) -> Script | None:
    """An old state that leaves the window when the new one comes."""
    at = stage(script, mint, turns=5)
    if at is None:
        return None
    key, text, newer = at.key(), mint.invented(400), mint.invented(400)
    spot = at.spot(0.15, 0.5)
    pen = at.pen()
    old = pen.does(at.theme.read, {at.theme.key: key}, text)
    pen.does(at.theme.read, {at.theme.key: key}, newer, text=f"{key} says: {sentence_of(text)}")
    gone = Message("tool", (ToolResult(old.id, "[superseded]"),))
    pen.clears(Drop(old.id, gone, "superseded by a newer read"))
    at.put(spot, pen.turns)
    at.say(spot + 2, f"Now it says: {sentence_of(newer)}")
    return at.finish()


# --- oversized-result ---


def oversized_result(script: Script, mint: Mint, size: Size) -> Injected | None:
    """A huge result of which one value is used."""
    at = stage(script, mint)
    if at is None:
        return None
    tokens = by_size(size, 6000, 12000, 30000)
    needle = mint.code_of("KEY")
    text = f"{mint.choice((mint.rows, mint.log_lines, mint.invented))(tokens)}\nnewest: {needle}"
    pen = at.pen()
    call = pen.does(at.theme.search, {"query": "everything"}, text)
    spot = at.spot()
    at.put(spot, pen.turns)
    at.say(spot + 1, f"The newest is {needle}.")
    return Injected(at.finish(), _label("oversized-result", at.path, call.id))


def long_but_used(script: Script, mint: Mint) -> Script | None:
    """A long result that is quoted whole."""
    at = stage(script, mint)
    if at is None:
        return None
    text = mint.invented(1500)
    pen = at.pen()
    pen.does(at.theme.read, {at.theme.key: at.key()}, text)
    spot = at.spot()
    at.put(spot, pen.turns)
    at.say(spot + 1, f"As it is of use as a whole, here it is:\n{text}")
    return at.finish()


# --- tool-overhead ---


def tool_overhead(script: Script, mint: Mint, size: Size) -> Injected | None:
    """Definitions of many tools that nobody calls."""
    at = stage(script, mint)
    if at is None:
        return None
    server = mint.code_of("srv").lower().replace("-", "_")
    more = [
        tool(
            f"{server}.do_{mint.code_of('op').lower().replace('-', '_')}",
            mint.invented(60),
            **{f"field_{index}": mint.invented(12) for index in range(4)},
        )
        for _ in range(by_size(size, 15, 40, 90))
    ]
    agent = at.agent
    changed = script.with_agent(replace(agent, tools=(*agent.tools, *more)))
    return Injected(changed, (Label("tool-overhead", at.path),))


def few_spare_tools(script: Script, mint: Mint) -> Script | None:
    """Two small tools that happen not to be called."""
    agent = script.agents[0]
    more = (tool("clock.now", "Return the time."), tool("clock.zone", "Return the time zone."))
    return script.with_agent(replace(agent, tools=(*agent.tools, *more)))


# --- error-residue ---


def error_residue(script: Script, mint: Mint, size: Size) -> Injected | None:
    """The trace of a failure that was mended at once stays in the window."""
    at = stage(script, mint, turns=6)
    if at is None:
        return None
    key, right = at.key(), at.key()
    error = mint.traceback(
        by_size(size, 400, 1000, 3500), f"ConnectionError: worker {mint.number(5)} is gone"
    )
    pen = at.pen()
    failed = pen.does(at.theme.read, {at.theme.key: key}, error, is_error=True)
    found = mint.invented(60)
    again = key if mint.random() < 0.5 else right
    pen.does(at.theme.read, {at.theme.key: again}, found, text="I try it again.")
    spot = at.spot(0.1, 0.35)
    at.put(spot, pen.turns)
    at.say(spot + 2, f"This time: {sentence_of(found)}")
    return Injected(at.finish(), _label("error-residue", at.path, failed.id))


def short_error(script: Script, mint: Mint) -> Script | None:
    """A failure in four words, mended at once."""
    at = stage(script, mint)
    if at is None:
        return None
    key = at.key()
    pen = at.pen()
    pen.does(at.theme.read, {at.theme.key: key}, "timeout, try again", is_error=True)
    found = mint.invented(60)
    pen.does(at.theme.read, {at.theme.key: key}, found)
    spot = at.spot()
    at.put(spot, pen.turns)
    at.say(spot + 2, f"The second time: {sentence_of(found)}")
    return at.finish()


def error_cleared(script: Script, mint: Mint) -> Script | None:
    """A long failure that leaves the window as soon as the call works."""
    at = stage(script, mint)
    if at is None:
        return None
    key = at.key()
    pen = at.pen()
    error = mint.traceback(600, "ConnectionError: gone")
    failed = pen.does(at.theme.read, {at.theme.key: key}, error, is_error=True)
    found = mint.invented(60)
    pen.does(at.theme.read, {at.theme.key: key}, found)
    gone = Message("tool", (ToolResult(failed.id, "[failed; mended]", True),))
    pen.clears(Drop(failed.id, gone, "mended"))
    spot = at.spot()
    at.put(spot, pen.turns)
    at.say(spot + 2, f"The second time: {sentence_of(found)}")
    return at.finish()
