"""`harness show --windows` as a person reads it: the whole output, narrow and wide, and as JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from inline_snapshot import snapshot

from harness import Message, Recorded, ToolCall, Usage, says
from harness.events import (
    AgentRunFinished,
    AgentRunStarted,
    Brief,
    EntryAppended,
    EntryChange,
    Event,
    ModelCallFinished,
    ModelCallStarted,
    Report,
    RunFinished,
    RunStarted,
    SummaryFinished,
    SummaryStarted,
    ToolCallFinished,
    ToolCallStarted,
    TurnStarted,
    WindowCompacted,
)
from harness.journal import open_journal
from harness.messages import Reasoning, Text, ToolDefinition, ToolResult, system, user

RUN = "20261127-120000-0123456789"

SEARCH = ToolDefinition("corpus.search", "Search the documents for words.")
DELEGATE = ToolDefinition("delegate", "Give a task to a sub-agent.")


def entry(agent: str, number: int, origin: str, message: Message, tokens: int) -> EntryAppended:
    return EntryAppended(agent=agent, entry=number, origin=origin, message=message, tokens=tokens)


def turn(
    agent: str, number: int, entries: int, counted: int, reply: Message, usage: Usage
) -> Iterator[Event]:
    """A request and its reply."""
    place = {"agent": agent, "turn": number}
    yield TurnStarted(**place)
    yield ModelCallStarted(**place, model="m", provider="p", entries=entries, input_tokens=counted, digest="")
    yield ModelCallFinished(
        **place,
        message=reply,
        stop_reason="tool_calls" if reply.tool_calls else "end",
        usage=usage,
        cost=usage.total_tokens / 1e5,
        model="m",
    )


def call(number: int, asked: ToolCall, result: str) -> Iterator[Event]:
    """A tool call of the lead."""
    place = {"agent": "lead", "turn": number, "call_id": asked.id, "key": f"lead/turn-{number}/0"}
    yield ToolCallStarted(**place, tool=asked.name, arguments=asked.arguments, effect="read")
    yield ToolCallFinished(**place, tool=asked.name, shown=result)


def answered(asked: ToolCall, text: str) -> Message:
    return Message("tool", (ToolResult(asked.id, text),))


def story() -> list[Event]:
    """A lead that searches, has its first turn summed up, asks a scout, and answers."""
    search = ToolCall("c1", "corpus.search", '{"query":"stairs"}')
    ask = ToolCall("c2", "delegate", '{"agent":"scout","objective":"Look at src/stairs_77.py."}')
    found, said = "src/stairs_77.py: the stairs", '{"status":"done","answer":"Line 4012."}'
    first = Message("assistant", (Reasoning("The documents may say it."), Text("Let me look."), search))
    second, last = Message("assistant", (ask,)), says("Line 4012 of src/stairs_77.py.")
    summary = user("[Turn 1 left this window.] The stairs are in src/stairs_77.py.")
    agent = {"description": "", "model": "m", "provider": "p"}
    return [
        RunStarted(
            team_name="stairs",
            team_path="",
            team={},
            team_digest="",
            entry="lead",
            task=user("Where are the stairs?"),
            harness_version="1",
        ),
        AgentRunStarted(agent="lead", name="lead", tools=(SEARCH, DELEGATE), brief=None, depth=0, **agent),
        entry("lead", 0, "system", system("Lead."), 40),
        entry("lead", 1, "task", user("Where are the stairs?"), 10),
        *turn("lead", 1, 2, 110, first, Usage(120, 30, calls=1)),
        entry("lead", 2, "assistant", first, 30),
        *call(1, search, found),
        entry("lead", 3, "tool:corpus.search", answered(search, found), 400),
        *turn("lead", 2, 4, 540, second, Usage(585, 20, 115, calls=1)),
        entry("lead", 4, "assistant", second, 20),
        AgentRunStarted(
            agent="lead/scout-1",
            name="scout",
            tools=(),
            brief=Brief(objective="Look at src/stairs_77.py."),
            depth=1,
            parent_call="lead/turn-2/0",
            **agent,
        ),
        entry("lead/scout-1", 0, "system", system("Scout."), 20),
        entry("lead/scout-1", 1, "brief", user("Look at src/stairs_77.py."), 15),
        *turn("lead/scout-1", 1, 2, 35, says("Line 4012."), Usage(35, 8, calls=1, estimated=True)),
        entry("lead/scout-1", 2, "assistant", says("Line 4012."), 8),
        AgentRunFinished(agent="lead/scout-1", report=Report(status="done", answer="Line 4012."), turns=1),
        *call(2, ask, said),
        entry("lead", 5, "report:lead/scout-1", answered(ask, said), 25),
        SummaryStarted(
            agent="lead",
            turn=3,
            attempt=1,
            model="cheap",
            provider="p",
            turns=(1,),
            input_tokens=450,
            digest="",
        ),
        SummaryFinished(
            agent="lead",
            turn=3,
            attempt=1,
            text="The stairs are in src/stairs_77.py.",
            usage=Usage(460, 15, calls=1),
            cost=0.00475,
            model="cheap",
        ),
        WindowCompacted(
            agent="lead",
            turn=3,
            reason="threshold",
            limit=500,
            strategies=("summarise",),
            changes=(
                EntryChange(entry=2, strategy="summarise", message=summary, tokens=30, origin="summary"),
                EntryChange(entry=3, strategy="summarise", message=None, tokens=0),
            ),
            before=585,
            after=185,
            first_changed=2,
            prefix_tokens=110,
        ),
        *turn("lead", 3, 5, 185, last, Usage(2_200, 12, 115, calls=1)),
        entry("lead", 6, "assistant", last, 12),
        AgentRunFinished(agent="lead", report=Report(status="done", answer=last.text), turns=3),
        RunFinished(
            run_id=RUN,
            stop_reason="done",
            output=last.text,
            usage=Usage(3_400, 85, 230, calls=5),
            cost=0.03485,
        ),
    ]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    async def write() -> None:
        journal = open_journal(tmp_path / "runs", write=True, durability="buffered")
        journal.append([Recorded(RUN, number, 1.8e9 + number, event) for number, event in enumerate(story())])
        await journal.close()

    anyio.run(write)
    return tmp_path / "runs"


def shown(store: Path, *options: str, columns: int) -> str:
    """What the command prints of the ledger."""
    done = subprocess.run(
        [sys.executable, "-m", "harness", "show", "last", "--windows", "--store", str(store), *options],
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": str(columns)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


def test_a_ledger_fits_into_80_columns(store: Path):
    output = shown(store, columns=80)

    assert max(map(len, output.splitlines())) <= 80
    assert output == snapshot("""\
run 20261127-120000-0123456789 of stairs, 2027-01-15 08:00:00Z, 34.0 s
task: Where are the stairs?
2 agents, 3,485 tokens, $0.03

lead (m): done, 3 turns, 3,442 tokens, window 137
  1. corpus.search: 28 characters
  2. delegate: 39 characters
  scout-1 (m): done, 1 turn, 43 tokens, window 43

2,940 tokens sent in 4 requests, each 4.2 times on average
ORIGIN           IN ALL  SHARE
residual          1,999    68%
result              433    15%
tool definition     198     7%
system              149     5%
call                 36     1%
task                 33     1%
summary              32     1%
report               27     1%
brief                15     1%
thinking             12     0%
text                  6     0%

MCP SERVER       IN ALL  SHARE
corpus              549    19%

window of lead, in tokens
TURN  TOTAL  = TOOLS  + ENTRIES  + RESIDUAL  REPEATED  CACHED       USD
   1    120       66         54           0        0%          0.001500
   2    585       66        519           0       21%     115  0.006050
   3  2,200       66        135       1,999        5%     115  0.022120
not beginning with the request before: turn 3 (summarise)
before turn 3: summing up 1 turn, 460 tokens sent, 15 received, 0.004750 USD

#  ORIGIN                SIZE  TURNS  SENT  IN ALL  CACHED       USD  USED IN
   tool corpus.search      34  1-3       3     102     67%  0.001020  1 call
   tool delegate           32  1-3       3      96     67%  0.000960  1 call
0  system                  43  1-3       3     129     67%  0.001290
1  task                    11  1-3       3      33     36%  0.000330
2  thinking                12  2         1      12          0.000120
2  text                     6  2         1       6          0.000060
2  call corpus.search      14  2         1      14          0.000140
2  summary                 32  3         1      32          0.000320
3  result corpus.search   433  2         1     433          0.004330  2, 3
4  call delegate           22  3         1      22          0.000220
5  report scout-1          27  3         1      27          0.000270  3
6  text                    13  never     0       0

window of lead/scout-1, in tokens
TURN  TOTAL  = TOOLS  + ENTRIES  + RESIDUAL  REPEATED       USD
   1    35*        0         35           0        0%  0.000430
* our count: the provider reported nothing

#  ORIGIN  SIZE  TURNS  SENT  IN ALL       USD  USED IN
0  system    20  1         1      20  0.000246
1  brief     15  1         1      15  0.000184
2  text       8  never     0       0

# is the number that `harness fork --drop` takes, TURNS are the requests that
held an entry, IN ALL its tokens over all of them. USED IN are turns whose
replies hold a value, or several words, that the entry was the first to bring;
`shared` if others had brought them before, `-` if nothing of it shows.

Line 4012 of src/stairs_77.py.
""")


def test_with_more_room_nothing_of_the_origins_is_cut(store: Path):
    assert "…" not in shown(store, columns=120)


def test_a_ledger_as_json_adds_up_turn_by_turn(store: Path):
    lines = [json.loads(line) for line in shown(store, "--json", columns=80).splitlines()]

    [run] = [line for line in lines if line["type"] == "ledger.run"]
    turns = [line for line in lines if line["type"] == "ledger.turn"]
    parts = [line for line in lines if line["type"] in ("ledger.entry", "ledger.definition")]
    [aside] = [line for line in lines if line["type"] == "ledger.aside"]
    assert len(lines) == 1 + len(turns) + len(parts) + 1
    for turn in turns:
        assert turn["total"] == turn["definitions"] + turn["entries"] + turn["residual"]
    assert run["tokens"] == sum(part["token_turns"] for part in parts) + sum(
        turn["residual"] for turn in turns
    )
    assert run["cost"] == pytest.approx(sum(turn["cost"] for turn in turns) + aside["cost"])
    assert aside["turns"] == [1]
    [result] = [part for part in parts if part.get("kind") == "result"]
    assert (result["entry"], result["first"], result["last"], result["gone"]) == (3, 2, 2, "summarise")
    assert (result["used"], result["used_in"]) == (True, [2, 3])
