"""`harness show --windows`: the ledger of a run, as tables or as lines of JSON."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from harness.cli.terminal import count, one_line, plain, table
from harness.events import Recorded
from harness.record import Aside, DefinitionLine, Ledger, Line, TurnLine, keep_ledger, record_of

_NARROWEST, _WIDEST = 80, 140
_MOST_TURNS = 6

_LEGEND = """
# is the number that `harness fork --drop` takes, TURNS are the requests that
held an entry, IN ALL its tokens over all of them. USED IN are turns whose
replies hold a value, or several words, that the entry was the first to bring;
`shared` if others had brought them before, `-` if nothing of it shows."""

_Column = tuple[str, Callable[[Any], str], bool]
"""Heading, cell of a row, and whether cells stand at the right."""


def print_windows(recorded: Sequence[Recorded]) -> None:
    """Print what every request of every agent held: by origin, turn by turn, entry by entry."""
    ledger = keep_ledger(record_of(recorded))
    width = max(_NARROWEST, min(_WIDEST, shutil.get_terminal_size().columns))
    _print_whole(ledger)
    for path, turns in ledger.turns.items():
        print(f"\nwindow of {plain(path)}, in tokens")
        _print_turns(turns)
        for aside in ledger.record.agents[path].asides:
            print(one_line(_said(aside), width))
        print()
        _print_entries(ledger, path, width)
    print(_LEGEND)


def windows_view(recorded: Sequence[Recorded]) -> Iterator[dict[str, object]]:
    """Yield the same as flat JSON objects: one for the run, each turn, definition, piece of an entry, and aside."""
    ledger = keep_ledger(record_of(recorded))
    yield {
        "type": "ledger.run",
        "run_id": ledger.record.id,
        "tokens": ledger.sent,
        "residual": ledger.residual,
        "resend_factor": ledger.resend_factor,
        "by_kind": ledger.by_kind(),
        "by_server": ledger.by_server(),
        "cost": ledger.cost,
    }
    for path, turns in ledger.turns.items():
        yield from (_turn_view(line) for line in turns)
        yield from (_definition_view(line) for line in ledger.definitions[path])
        yield from (_line_view(ledger, line) for line in ledger.lines[path])
        for aside in ledger.record.agents[path].asides:
            yield {
                "type": "ledger.aside",
                **{name: getattr(aside, name) for name in Aside.__slots__},
            }


def _turn_view(line: TurnLine) -> dict[str, object]:
    return {
        "type": "ledger.turn",
        "agent": line.turn.agent,
        "turn": line.turn.number,
        "total": line.total,
        "reported": line.turn.reported is not None,
        "definitions": line.definitions,
        "entries": line.entries,
        "residual": line.residual,
        "repeated": line.repeated,
        "breaks": line.breaks,
        "cached": line.turn.cached,
        "output": line.turn.output,
        "cost": line.turn.cost,
    }


def _definition_view(line: DefinitionLine) -> dict[str, object]:
    return {
        "type": "ledger.definition",
        "agent": line.agent,
        "tool": line.tool,
        "server": line.server,
        "size": line.size,
        "sent": line.sent,
        "token_turns": line.token_turns,
        "cached": line.cached,
        "cost": line.cost,
        "calls": line.calls,
    }


def _line_view(ledger: Ledger, line: Line) -> dict[str, object]:
    entry = line.entry
    return {
        "type": "ledger.entry",
        "agent": entry.agent,
        "entry": int(entry.place),
        "kind": line.kind,
        "label": line.label,
        "size": line.size,
        "first": entry.first,
        "last": entry.last,
        "sent": entry.sent,
        "token_turns": line.token_turns,
        "cached": line.cached,
        "cost": line.cost,
        "used": ledger.is_used(entry),
        "used_in": ledger.used_in(entry),
        "gone": entry.gone,
        "call": entry.call,
    }


def _print_whole(ledger: Ledger) -> None:
    requests = sum(map(len, ledger.turns.values()))
    factor = ledger.resend_factor
    print(
        f"{count(ledger.sent, 'token')} sent in {count(requests, 'request')}, each {factor:.1f} times on average"
    )
    kinds = {kind.replace("_", " "): tokens for kind, tokens in ledger.by_kind().items()}
    kinds["residual"] = sum(line.residual for lines in ledger.turns.values() for line in lines)
    _print_shares("ORIGIN", kinds, ledger.sent)
    servers = {plain(server): tokens for server, tokens in ledger.by_server().items()}
    if servers:
        print()
        _print_shares("MCP SERVER", servers, ledger.sent)


def _print_shares(what: str, sums: Mapping[str, int], whole: int) -> None:
    largest = sorted(sums.items(), key=lambda item: -abs(item[1]))
    rows = [(name, f"{tokens:,}", f"{tokens / max(1, whole):.0%}") for name, tokens in largest if tokens]
    print(table(rows, (what.ljust(15), "IN ALL", "SHARE"), right=(1, 2)))


def _print_turns(turns: Sequence[TurnLine]) -> None:
    columns: list[_Column] = [
        ("TURN", lambda line: str(line.turn.number), True),
        ("TOTAL", lambda line: f"{line.total:,}" + ("" if line.turn.reported is not None else "*"), True),
        ("= TOOLS", lambda line: f"{line.definitions:,}", True),
        ("+ ENTRIES", lambda line: f"{line.entries:,}", True),
        ("+ RESIDUAL", lambda line: f"{line.residual:,}", True),
        ("REPEATED", lambda line: f"{line.repeated:.0%}", True),
        ("CACHED", lambda line: f"{line.turn.cached:,}" if line.turn.cached else "", True),
        ("USD", lambda line: _cost(line.turn.cost), True),
    ]
    print(_table(columns, turns, optional=("CACHED", "USD")))
    if any(line.turn.reported is None for line in turns):
        print("* our count: the provider reported nothing")
    breaks: dict[str, list[int]] = {}
    for line in turns:
        if line.breaks:
            breaks.setdefault(plain(line.breaks), []).append(line.turn.number)
    for why, numbers in breaks.items():
        print(f"not beginning with the request before: turn {_listed(numbers, _MOST_TURNS)} ({why})")


def _print_entries(ledger: Ledger, path: str, width: int) -> None:
    lines = sorted(ledger.lines[path], key=lambda line: (line.entry.place, line.entry.number))
    rows: list[DefinitionLine | Line] = [*ledger.definitions[path], *lines]
    columns: list[_Column] = [
        ("#", lambda row: f"{row.entry.place:g}" if isinstance(row, Line) else "", True),
        ("ORIGIN", lambda row: _origin(row, path), False),
        ("SIZE", lambda row: f"{row.size:,}", True),
        ("TURNS", _turns, False),
        ("SENT", lambda row: str(row.entry.sent if isinstance(row, Line) else row.sent), True),
        ("IN ALL", lambda row: f"{row.token_turns:,}", True),
        ("CACHED", lambda row: f"{row.cached / row.token_turns:.0%}" if row.cached else "", True),
        ("USD", lambda row: _cost(row.cost), True),
        ("USED IN", lambda row: _used(ledger, row), False),
    ]
    print(_table(columns, rows, optional=("CACHED", "USD"), width=width))


def _origin(row: DefinitionLine | Line, path: str) -> str:
    if isinstance(row, DefinitionLine):
        return f"tool {plain(row.tool)}"
    return f"{row.kind} {plain(row.label.removeprefix(f'{path}/'))}".strip()


def _turns(row: DefinitionLine | Line) -> str:
    first, last = (row.entry.first, row.entry.last) if isinstance(row, Line) else (min(1, row.sent), row.sent)
    return "never" if not first else str(first) if first == last else f"{first}-{last}"


def _used(ledger: Ledger, row: DefinitionLine | Line) -> str:
    if isinstance(row, DefinitionLine):
        return count(row.calls, "call")
    used = ledger.used_in(row.entry)
    if not used and row.kind in ("result", "report") and row.entry.sent:
        return "shared" if ledger.is_used(row.entry) else "-"
    return _listed(used, 3)


def _listed(numbers: Sequence[int], most: int) -> str:
    more = f" and {len(numbers) - most} more" if len(numbers) > most else ""
    return ", ".join(map(str, numbers[:most])) + more


def _said(aside: Aside) -> str:
    what = f"turn {aside.turn}: a request was lost with its process"
    if aside.kind == "summary":
        what = f"before turn {aside.turn}: summing up {count(len(aside.turns), 'turn')}"
    failed = f"; failed: {plain(aside.error)}" if aside.error else ""
    cost = f", {_cost(aside.cost)} USD" if aside.cost else ""
    return f"{what}, {aside.input:,} tokens sent, {aside.output:,} received{cost}{failed}"


def _cost(cost: float | None) -> str:
    return f"{cost:.4f}" if cost and cost >= 0.1 else f"{cost:.6f}" if cost else ""


def _table(
    columns: Sequence[_Column], rows: Iterable[Any], *, optional: Sequence[str] = (), width: int = 0
) -> str:
    """Return the columns of which a row says something; the origin is cut to make the table fit a width."""
    cells = [[cell(row) for _, cell, _ in columns] for row in rows]
    kept = [
        index
        for index, (name, _, _) in enumerate(columns)
        if name not in optional or any(r[index] for r in cells)
    ]
    headings = [columns[index][0] for index in kept]
    right = [place for place, index in enumerate(kept) if columns[index][2]]
    shown = [[row[index] for index in kept] for row in cells]
    if width:
        origin = headings.index("ORIGIN")
        widths = [max(map(len, column)) for column in zip(headings, *shown, strict=True)]
        room = width - sum(widths) - 2 * (len(widths) - 1) + widths[origin]
        for row in shown:
            row[origin] = one_line(row[origin], max(16, room))
    return table(shown, headings, right=right)
