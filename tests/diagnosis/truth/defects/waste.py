"""Results that fill windows for nothing: unused, repeated, superseded, oversized, failed; and tools nobody calls."""

from __future__ import annotations

import json
from dataclasses import replace

from harness.messages import Message, ToolResult

from ..families.pen import tool
from ..prose import sentence_of
from ..script import Drop, Label, Size
from .kit import FAR, Marks, Stage, by_size, defect, disguise

# --- unused-result ---


@defect()
def unused_result(at: Stage, size: Size) -> Marks:
    """A result of which no later reply holds anything."""
    tokens = by_size(size, 500, 1500, 6000)
    text = at.mint.choice((at.mint.invented, at.mint.rows, at.mint.log_lines))(tokens)
    pen = at.pen()
    call = pen.does(at.theme.read, {at.theme.key: at.key()}, text)
    at.put(at.spot(), pen.turns)
    return {call.id}


@disguise()
def used_by_one_value(at: Stage) -> None:
    """A result of which the next reply takes an identifier."""
    needle = at.mint.code_of("KEY")
    pen = at.pen()
    pen.does(at.theme.search, {"query": "the newest one"}, f"{at.mint.invented(300)} The newest is {needle}.")
    at.episode(pen, f"The newest one is {needle}.")


@disguise()
def used_in_words(at: Stage) -> None:
    """A result that the next reply quotes."""
    text = at.mint.invented(250)
    pen = at.pen()
    pen.does(at.theme.read, {at.theme.key: at.key()}, text)
    at.episode(pen, f"It says: {sentence_of(text)}")


@disguise()
def nothing_found(at: Stage) -> None:
    """A search without hits, whose result is too small to matter."""
    pen = at.pen()
    pen.does(at.theme.search, {"query": "anything older"}, "no hits")
    at.episode(pen)


# --- duplicate-read ---


@defect(turns=5)
def duplicate_read(at: Stage, size: Size) -> Marks:
    """The same read again, although nothing changed what it reads."""
    key, text = at.key(), at.mint.prose(by_size(size, 200, 700, 2500))
    spot = at.spot(0.15, 0.5)
    first, again = at.pen(), at.pen()
    one = first.does(at.theme.read, {at.theme.key: key}, text)
    other = again.does(at.theme.read, {at.theme.key: key}, text, text="I look at it once more.")
    at.put(spot, first.turns)
    at.say(spot + 1, f"{key}: {sentence_of(text)}")
    later = at.after(spot + 1, FAR[size])
    at.put(later, again.turns)
    return {one.id, other.id}


@disguise()
def read_after_write(at: Stage) -> None:
    """A second read after a write to the same resource, with another result."""
    key, text, more = at.key(), at.mint.invented(40), at.mint.invented(20)
    at.tell(f"{key} is to end so: {more}")
    pen = at.pen()
    old = pen.does(at.theme.read, {at.theme.key: key}, text)
    pen.does(at.theme.write, {at.theme.key: key, "content": f"{text} {more}"}, f"{key} changed")
    pen.does(at.theme.read, {at.theme.key: key}, f"{text} {more}")
    at.episode(pen, f"{key} now ends so: {more}")
    at.script = at.script.knows(Label("superseded-result", at.path, frozenset({old.id})))


@disguise()
def polling(at: Stage) -> None:
    """The same call again and again, each time with another result."""
    key = at.key()
    pen = at.pen()
    for percent in (7, 23, 58, 81, 100):
        pen.does("jobs.get_progress", {"job": key}, json.dumps({"job": key, "percent": percent}))
    at.episode(pen, f"{key} is through.")


@disguise()
def pages(at: Stage) -> None:
    """Page after page of one document."""
    key = at.key()
    pen = at.pen()
    text = ""
    for page in range(1, 4):
        said = f"Page {page - 1} says: {sentence_of(text)}" if text else ""
        text = at.mint.invented(110)
        pen.does(at.theme.read, {at.theme.key: key, "page": page}, f"{text}\npage {page} of 3", text=said)
    at.episode(pen, f"The last page says: {sentence_of(text)}")


@disguise(turns=5)
def read_again_after_clearing(at: Stage) -> None:
    """A second read of what had been cleared from the window."""
    key, text = at.key(), at.mint.invented(200)
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


# --- superseded-result ---


@defect(turns=5)
def superseded_result(at: Stage, size: Size) -> Marks:
    """An old state of a resource that stays in the window beside the new one."""
    tokens = by_size(size, 400, 1200, 5000)
    key, text, newer = at.key(), at.mint.prose(tokens), at.mint.prose(tokens)
    spot = at.spot(0.1, 0.4)
    first, second = at.pen(), at.pen()
    old = first.does(at.theme.read, {at.theme.key: key}, text)
    marks = [old.id]
    if at.mint.random() < 0.5:
        done = second.does(at.theme.write, {at.theme.key: key, "content": sentence_of(newer)}, "changed")
        marks.append(done.id)
    marks.append(second.does(at.theme.read, {at.theme.key: key}, newer).id)
    at.put(spot, first.turns)
    at.say(spot + 1, f"{key} says: {sentence_of(text)}")
    later = min(at.after(spot + 1, FAR[size]), max(spot + 1, len(at.agent.turns) - 4))
    at.put(later, second.turns)
    at.say(later + len(second.turns), f"It changed: {sentence_of(newer)}")
    return {*marks}


@disguise(turns=5)
def replaced_by_newer(at: Stage) -> None:
    """An old state that leaves the window when the new one comes."""
    key, text, newer = at.key(), at.mint.invented(400), at.mint.invented(400)
    spot = at.spot(0.15, 0.5)
    pen = at.pen()
    old = pen.does(at.theme.read, {at.theme.key: key}, text)
    pen.does(at.theme.read, {at.theme.key: key}, newer, text=f"{key} says: {sentence_of(text)}")
    gone = Message("tool", (ToolResult(old.id, "[superseded]"),))
    pen.clears(Drop(old.id, gone, "superseded by a newer read"))
    at.put(spot, pen.turns)
    at.say(spot + 2, f"Now it says: {sentence_of(newer)}")


# --- oversized-result ---


@defect()
def oversized_result(at: Stage, size: Size) -> Marks:
    """A huge result of which one value is used."""
    tokens = by_size(size, 6000, 12000, 30000)
    needle = at.mint.code_of("KEY")
    text = f"{at.mint.choice((at.mint.rows, at.mint.log_lines, at.mint.invented))(tokens)}\nnewest: {needle}"
    pen = at.pen()
    call = pen.does(at.theme.search, {"query": "everything"}, text)
    spot = at.spot()
    at.put(spot, pen.turns)
    at.say(spot + 1, f"The newest is {needle}.")
    return {call.id}


@disguise()
def long_but_used(at: Stage) -> None:
    """A long result that is quoted whole."""
    text = at.mint.invented(1500)
    pen = at.pen()
    pen.does(at.theme.read, {at.theme.key: at.key()}, text)
    at.episode(pen, f"As it is of use as a whole, here it is:\n{text}")


# --- tool-overhead ---


@defect()
def tool_overhead(at: Stage, size: Size) -> Marks:
    """Definitions of many tools that nobody calls."""
    server = at.mint.code_of("srv").lower().replace("-", "_")
    more = [
        tool(
            f"{server}.do_{at.mint.code_of('op').lower().replace('-', '_')}",
            at.mint.invented(60),
            **{f"field_{index}": at.mint.invented(12) for index in range(4)},
        )
        for _ in range(by_size(size, 15, 40, 90))
    ]
    at.script = at.script.with_agent(replace(at.agent, tools=(*at.agent.tools, *more)))
    return ()


@disguise()
def few_spare_tools(at: Stage) -> None:
    """Two small tools that happen not to be called."""
    more = (tool("clock.now", "Return the time."), tool("clock.zone", "Return the time zone."))
    at.script = at.script.with_agent(replace(at.agent, tools=(*at.agent.tools, *more)))


# --- error-residue ---


@defect(turns=10)
def error_residue(at: Stage, size: Size) -> Marks:
    """The trace of a failure that was mended at once stays in the window."""
    key, right = at.key(), at.key()
    error = at.mint.traceback(
        by_size(size, 400, 1000, 3500), f"ConnectionError: worker {at.mint.number(5)} is gone"
    )
    pen = at.pen()
    failed = pen.does(at.theme.read, {at.theme.key: key}, error, is_error=True)
    found = at.mint.invented(60)
    again = key if at.mint.random() < 0.5 else right
    pen.does(at.theme.read, {at.theme.key: again}, found, text="I try it again.")
    spot = at.spot(0.1, 0.35)
    at.put(spot, pen.turns)
    at.say(spot + 2, f"This time: {sentence_of(found)}")
    return {failed.id}


@disguise()
def short_error(at: Stage) -> None:
    """A failure in four words, mended at once."""
    key = at.key()
    pen = at.pen()
    pen.does(at.theme.read, {at.theme.key: key}, "timeout, try again", is_error=True)
    found = at.mint.invented(60)
    pen.does(at.theme.read, {at.theme.key: key}, found)
    at.episode(pen, f"The second time: {sentence_of(found)}")


@disguise()
def error_cleared(at: Stage) -> None:
    """A long failure that leaves the window as soon as the call works."""
    key = at.key()
    pen = at.pen()
    error = at.mint.traceback(600, "ConnectionError: gone")
    failed = pen.does(at.theme.read, {at.theme.key: key}, error, is_error=True)
    found = at.mint.invented(60)
    pen.does(at.theme.read, {at.theme.key: key}, found)
    gone = Message("tool", (ToolResult(failed.id, "[failed; mended]", True),))
    pen.clears(Drop(failed.id, gone, "mended"))
    at.episode(pen, f"The second time: {sentence_of(found)}")
