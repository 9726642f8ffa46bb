"""Where values come from: stale ones, ones that contradict, ones that nobody saw, ones used too early."""

from __future__ import annotations

import json

from ..prose import sentence_of
from ..script import Size
from .kit import FAR, RECORDS, Marks, Stage, by_size, defect, disguise

# --- stale-argument ---


@defect(turns=6)
def stale_argument(at: Stage, size: Size) -> Marks:
    """A call uses a value that only an outdated result holds."""
    key, old, new = at.key(), at.mint.code_of("SLOT"), at.mint.code_of("SLOT")
    spot = at.spot(0.1, 0.4)
    first, second, third = at.pen(), at.pen(), at.pen()
    one = first.does(at.theme.read, {at.theme.key: key}, json.dumps({at.theme.key: key, "slot": old}))
    at.put(spot, first.turns)
    at.say(spot + 1, f"{key} has {old}.")
    newer = second.does(at.theme.read, {at.theme.key: key}, json.dumps({at.theme.key: key, "slot": new}))
    later = at.after(spot + 1, FAR[size])
    at.put(later, second.turns)
    wrong = third.does("calendar.reserve", {"slot": old, "purpose": "visit"}, f"{old} is reserved")
    last = at.after(later + 1, FAR[size] // 2)
    at.put(last, third.turns)
    return {wrong.id, one.id, newer.id}


@disguise(turns=5)
def fresh_argument(at: Stage) -> None:
    """A call uses the new value after it changed."""
    key, old, new = at.key(), at.mint.code_of("SLOT"), at.mint.code_of("SLOT")
    pen = at.pen()
    pen.does(at.theme.read, {at.theme.key: key}, json.dumps({at.theme.key: key, "slot": old}))
    pen.does(
        at.theme.read,
        {at.theme.key: key},
        json.dumps({at.theme.key: key, "slot": new}),
        text=f"{old} so far.",
    )
    pen.does("calendar.reserve", {"slot": new, "purpose": "visit"}, f"{new} is reserved")
    at.episode(pen, f"{new} is reserved for {key}.")


@disguise(turns=5)
def same_in_both(at: Stage) -> None:
    """A call uses a value that stands in the outdated result and in the new one."""
    key, slot = at.key(), at.mint.code_of("SLOT")
    pen = at.pen()
    for version in (at.mint.number(4), at.mint.number(4)):
        row = {at.theme.key: key, "slot": slot, "version": version}
        pen.does(at.theme.read, {at.theme.key: key}, json.dumps(row), text=f"I look at {key}.")
    pen.does("calendar.reserve", {"slot": slot, "purpose": "visit"}, f"{slot} is reserved")
    at.episode(pen, f"{slot} is reserved for {key}, version {version}.")


# --- contradiction ---


@defect(turns=5)
def contradiction(at: Stage, size: Size) -> Marks:
    """Two sources give different values for the same attribute of the same thing."""
    key, attribute = at.key(), at.mint.choice(("balance", "status", "owner_code", "due_date"))
    values: dict[str, tuple[object, object]] = {
        "balance": (at.mint.amount(), at.mint.amount()),
        "status": ("open", "cancelled"),
        "owner_code": (at.mint.code_of("OWN"), at.mint.code_of("OWN")),
        "due_date": ("2026-03-14", "2026-08-02"),
    }
    left, right = values[attribute]
    first, second = at.pen(), at.pen()
    one = first.does(at.theme.read, {at.theme.key: key}, json.dumps({at.theme.key: key, attribute: left}))
    other = second.does(
        "archive.get_record", {at.theme.key: key}, json.dumps({at.theme.key: key, attribute: right})
    )
    spot = at.spot(0.1, 0.5)
    at.put(spot, first.turns)
    at.say(spot + 1, f"{key}: {attribute} is {left}.")
    at.put(at.after(spot + 1, FAR[size]), second.turns)
    return {one.id, other.id}


@disguise(turns=5)
def changed_by_a_write(at: Stage) -> None:
    """Another value after somebody changed it."""
    key, left, right = at.key(), at.mint.amount(), at.mint.amount()
    pen = at.pen()
    pen.does(at.theme.read, {at.theme.key: key}, json.dumps({at.theme.key: key, "limit": left}))
    pen.does(
        at.theme.write,
        {at.theme.key: key, "content": f"limit {right}"},
        "changed",
        text=f"{left} is too low.",
    )
    pen.does(at.theme.read, {at.theme.key: key}, json.dumps({at.theme.key: key, "limit": right}))
    at.episode(pen, f"The limit of {key} is {right} now.")


@disguise()
def other_things(at: Stage) -> None:
    """The same attribute of different things."""
    rows = [
        {at.theme.key: at.key(), "balance": at.mint.amount(), "status": word} for word in ("open", "closed")
    ]
    pen = at.pen()
    pen.together(
        [pen.call(at.theme.read, {at.theme.key: row[at.theme.key]}, json.dumps(row)) for row in rows]
    )
    at.episode(pen, " ".join(f"{row[at.theme.key]} holds {row['balance']}." for row in rows))


@disguise()
def other_spelling(at: Stage) -> None:
    """The same value, written in another way."""
    key, value = at.key(), at.mint.number(4) + 0.5
    pen = at.pen()
    one = pen.call(at.theme.read, {at.theme.key: key}, json.dumps({at.theme.key: key, "balance": value}))
    spelled = json.dumps({at.theme.key: key, "balance": f"{value:,.2f}"})
    other = pen.call("archive.get_record", {at.theme.key: key}, spelled)
    pen.together([one, other])
    at.episode(pen, f"Both say {value} for {key}.")


# --- poisoning ---


@defect(turns=5)
def poisoning(at: Stage, size: Size) -> Marks:
    """The agent states a value that nobody gave it, and then works with it again and again."""
    made_up = at.mint.code_of("CUST")
    times = by_size(size, 2, 3, 6)
    marks: list[str] = []
    spot = at.spot(0.1, 0.4)
    at.say(spot, f"The customer is {made_up}, as far as I remember.")
    marks.append(at.agent.turns[spot].mark)
    later = spot + 1
    for step in range(times):
        pen = at.pen()
        found = at.mint.invented(30)
        call = pen.does("crm.list_contacts", {"customer": made_up, "page": step + 1}, found)
        marks.append(call.id)
        at.put(at.after(later, 0), pen.turns)
        at.say(at.agent.turn_of(call.id) + 1, f"It says: {sentence_of(found)}")
        later = at.after(at.agent.turn_of(call.id) + 1, FAR[size] // 3)
    return {*marks}


@disguise()
def named_by_the_agent(at: Stage) -> None:
    """A name that the agent gives to what it makes, and then uses."""
    name = f"notes/{at.mint.code_of('draft').lower()}.md"
    pen = at.pen()
    pen.does("files.create_file", {"path": name, "content": "first draft"}, f"created {name}")
    pen.does("files.append_text", {"path": name, "content": "second part"}, f"{name} has 2 parts")
    pen.does("files.append_text", {"path": name, "content": "third part"}, f"{name} has 3 parts")
    at.episode(pen, f"The notes stand in {name}, 3 parts.")


# --- unsupported-argument ---


@defect(themes=RECORDS)
def unsupported_argument(at: Stage, size: Size) -> Marks:
    """A call with an identifier that stands nowhere, of something that has to be there already."""
    key = at.unseen()
    pen = at.pen()
    if size == "small":
        call = pen.does(at.theme.read, {at.theme.key: key}, "no such thing", is_error=True)
    elif size == "medium":
        call = pen.does(at.theme.read, {at.theme.key: key}, at.mint.invented(60))
    else:
        call = pen.does(at.theme.write, {at.theme.key: key, "content": "closed"}, "changed")
    at.put(at.spot(), pen.turns)
    return {call.id}


@disguise()
def computed_argument(at: Stage) -> None:
    """A call with a sum of two values that were read."""
    keys = [at.mint.code_of("INV") for _ in range(2)]
    values = [at.mint.amount() for _ in keys]
    pen = at.pen()
    listed = json.dumps([{"invoice": key, "amount": value} for key, value in zip(keys, values, strict=True)])
    pen.does("billing.list_invoices", {"state": "open"}, listed)
    total = round(sum(values), 2)
    pen.does("billing.request_payment", {"amount": total, "currency": "EUR"}, f"requested {total}")
    at.episode(pen, f"{keys[0]} and {keys[1]} are {total} together.")


@disguise()
def derived_argument(at: Stage) -> None:
    """Calls with parts, joins and other spellings of values that were read."""
    folder, name = f"data/{at.mint.code_of('set').lower()}", f"{at.mint.code_of('part').lower()}.csv"
    code = at.mint.code_of("UNIT")
    pen = at.pen()
    pen.does("files.list_folder", {"query": "data"}, f"{folder}\n  {name}\nunit {code}")
    pen.does(
        "files.open_table",
        {"path": f"{folder}/{name}", "unit": code.lower()},
        f"{folder}/{name}: {code} opened",
    )
    at.episode(pen, f"{name} of {code} is open.")


@disguise()
def free_text_argument(at: Stage) -> None:
    """A query in the agent's own words, and a round number."""
    pen = at.pen()
    found = at.mint.code_of("HIT")
    pen.does(at.theme.search, {"query": "everything about opening hours in summer", "limit": 100}, found)
    at.episode(pen, f"The only hit is {found}.")


# --- used-before-available ---


@defect(turns=5)
def used_before_available(at: Stage, size: Size) -> Marks:
    """A call uses what another call gives only beside it or later."""
    key = at.unseen()
    early, source = at.pen(), at.pen()
    tool, asked, answer, is_error = at.mint.choice(
        (
            (at.theme.search, {"query": "the newest one"}, f"{key} does not exist", True),
            ("jobs.start_export", {"format": "csv"}, f"{key}: nothing there yet", False),
        )
    )
    use = early.call(at.theme.read, {at.theme.key: key}, answer, is_error=is_error)
    give = source.call(tool, asked, f"{'newest' if is_error else 'written to'}: {key}")
    spot = at.spot(0.1, 0.5)
    if size == "small":
        early.together([use, give])
        at.put(spot, early.turns)
    else:
        early.together([use])
        source.together([give])
        at.put(spot, early.turns)
        at.put(at.after(spot + 1, 0 if size == "medium" else 5), source.turns)
    return {use.id, give.id}


@disguise(turns=5)
def told_in_time(at: Stage) -> None:
    """A call uses what the user said, and what a search beside it finds as well."""
    key = at.unseen()
    pen = at.pen()
    pen.hears(f"Please have a look at {key} too.")
    text = at.mint.invented(40)
    pen.together(
        [
            pen.call(at.theme.read, {at.theme.key: key}, text),
            pen.call(at.theme.search, {"query": "the newest one"}, f"newest: {key}"),
        ]
    )
    at.episode(pen, f"{key} is the newest. {sentence_of(text)}")
