"""What comes of each fault of a model's endpoint, from the bytes on the wire to what a person reads.

Every case is a team file and what a real HTTP server answers, byte by byte; the run goes through the public
API. In all of them the journal replays exactly, no tool ran from part of its arguments, and none ran twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest

import harness
from harness import FunctionToolset, MemoryJournal, Recorded, RunResult
from harness.events import (
    AgentRunFinished,
    ModelCallFinished,
    ModelCallLost,
    ModelCallRetried,
    ModelFellBack,
    ReplanRequested,
    ToolCallFinished,
    ToolCallStarted,
    WindowCompacted,
)
from harness.replaying import replay_run
from harness.team import parse_team
from tests.models.server import (
    Hang,
    Pause,
    Reset,
    Script,
    Step,
    answer,
    closed_port,
    event_stream,
    fault_server,
)

pytestmark = pytest.mark.anyio

KEY = "sk-that-nobody-may-see"
USAGE = {"prompt_tokens": 50, "completion_tokens": 10}


# --- what the server says -------------------------------------------------------------------------


def call(name: str, arguments: Any, identity: str = "c1") -> dict[str, Any]:
    text = arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()
    wire = name.replace(".", "__")
    return {"id": identity, "type": "function", "function": {"name": wire, "arguments": text}}


def says(text: str = "", *calls: Mapping[str, Any], end: str = "", usage: Any = USAGE) -> Reply:
    return Reply(text, calls, end or ("tool_calls" if calls else "stop"), usage)


@dataclass(frozen=True)
class Reply:
    """A reply of the model, to be sent whole or in pieces."""

    text: str
    calls: Sequence[Mapping[str, Any]]
    end: str
    usage: Any

    def whole(self) -> bytes:
        message = {"role": "assistant", "content": self.text or None, "tool_calls": list(self.calls) or None}
        return answer(
            {"choices": [{"message": message, "finish_reason": self.end}], "usage": self.usage or None}
        )

    def chunks(self) -> list[bytes]:
        """The events of a stream, arguments in two pieces each."""
        deltas: list[dict[str, Any]] = [{"content": piece} for piece in self.text.split("|") if piece]
        for index, one in enumerate(self.calls):
            text = one["function"]["arguments"]
            half = len(text) // 2
            first = {**one, "index": index, "function": {**one["function"], "arguments": text[:half]}}
            deltas += [
                {"tool_calls": [first]},
                {"tool_calls": [{"index": index, "function": {"arguments": text[half:]}}]},
            ]
        documents: list[dict[str, Any]] = [{"choices": [{"delta": delta}]} for delta in deltas]
        documents.append({"choices": [{"delta": {}, "finish_reason": self.end}]})
        documents += [{"choices": [], "usage": self.usage}] if self.usage else []
        return [b"data: " + orjson.dumps(one) + b"\n\n" for one in documents] + [b"data: [DONE]\n\n"]

    def numbered(self, request: int) -> Reply:
        """The same reply with ids that no other request has."""
        return replace(self, calls=[{**one, "id": f"{one['id']}-{request}"} for one in self.calls])

    def cut(self, *how: Step, stream: bool) -> Script:
        """The beginning of the reply, and then `how`; most of a tool call has arrived by then."""
        sent = event_stream(*self.chunks()[:-3], end=False) if stream else [self.whole()[:-20]]
        return [*sent, *how]


def error(status: int, message: str = "no", *, after: str = "", **fields: Any) -> bytes:
    headers = {"Retry-After": after} if after else None
    return answer({"error": {"message": message, **fields}}, status=status, headers=headers)


@dataclass(frozen=True)
class Cut:
    """A reply of which only the beginning arrives."""

    reply: Reply
    how: Sequence[Step]


PAY = call("desk.pay", {"amount": 5})
DONE = says("It is done.")
PAYS = says("", PAY)
NO_JSON = says("", call("desk.pay", '{"amount": 5, "to'))
NO_FIT = says("", call("desk.pay", {"amount": "five"}))
UNKNOWN = says("", call("desk.steal", {}))
LOOK = says("", call("desk.look", {"page": 1}))
TOO_LONG = error(400, "maximum context length is 8192 tokens", code="context_length_exceeded")


# --- the cases ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """One fault: what is served, and what is to come of it."""

    name: str
    served: Sequence[Reply | bytes | Cut]
    """What the server answers, request by request."""
    result: str = "It is done."
    """The result, where the run comes to its end."""
    error: str = ""
    """What the person reads where it does not; `URL` stands for the endpoint."""
    error_type: str = ""
    notes: Sequence[str] = ()
    """What each note on the result begins with or holds."""
    paid: int = 0
    """How often the tool with an effect ran."""
    retried: Sequence[str] = ()
    """Why requests were sent again."""
    lost: int = 0
    """How many replies were lost on their way and charged."""
    shown: Sequence[str] = ()
    """What the model was told in place of results, of which each text holds one."""
    happened: Mapping[type, int] = field(default_factory=dict[type, int])
    """How often other events stand in the journal."""
    model: str = ""
    """More settings of the model."""
    team: str = ""
    """More of the team file."""


CASES = [
    Case("1 429 with Retry-After", [error(429, "slow down", after="0.05"), DONE], retried=["HTTP 429: slow down"]),
    Case(
        "2 500, 503, 529 in a row",
        [error(500), error(503), error(529), DONE],
        retried=["HTTP 500: no", "HTTP 503: no", "HTTP 529: no"],
        model="retries: 3",
    ),
    Case(
        "2 an endpoint that keeps failing, with a fallback",
        [PAYS, error(503, "down"), error(503, "down"), DONE],
        paid=1,
        retried=["HTTP 503: down"],
        notes=["lead went on with spare instead of m: m at URL/chat/completions failed 2 times; at last: HTTP 503"],
        happened={ModelFellBack: 1},
        model="retries: 1, fallback: [spare]",
    ),
    Case(
        "2 an endpoint that keeps failing, without one",
        [error(503, "down"), error(503, "down")],
        error="m at URL/chat/completions failed 2 times; at last: HTTP 503: down; "
        "check that it is running and reachable",
        error_type="ModelUnavailable",
        retried=["HTTP 503: down"],
        model="retries: 1",
    ),
    Case(
        "2 a quota that is used up, with a fallback",
        [error(429, "quota", code="insufficient_quota"), DONE],
        notes=["lead went on with spare instead of m: m at URL/chat/completions refused the request (HTTP 429: quota)"],
        happened={ModelFellBack: 1},
        model="fallback: [spare]",
    ),
    Case(
        "4 a stream that stalls in the middle of a tool call",
        [Cut(PAYS, [Hang()]), PAYS, DONE],
        paid=1,
        retried=["no "],
        lost=1,
        model="idle_seconds: 0.2, timeout_seconds: 0.6",
    ),
    Case(
        "5 a reset in the middle of a tool call",
        [Cut(PAYS, [Reset()]), PAYS, DONE],
        paid=1,
        retried=["the connection broke"],
        lost=1,
    ),
    Case(
        "6 one byte after the other, for ever",
        [Cut(PAYS, [part for _ in range(40) for part in (Pause(0.05), b" ")]), PAYS, DONE],
        paid=1,
        retried=["no complete answer within 0.5 seconds"],
        lost=1,
        model="idle_seconds: 5, timeout_seconds: 0.5",
    ),
    Case("7 arguments that are no JSON", [NO_JSON, PAYS, DONE], paid=1, shown=["the arguments are not valid JSON: "]),
    Case(
        "7 arguments that are never JSON",
        [NO_JSON] * 5,
        error="5 turns in a row made only calls that cannot be run: the arguments are not valid JSON: ",
        error_type="StuckError",
        shown=["the arguments are not valid JSON: "] * 5,
    ),
    Case(
        "8 arguments that break the schema",
        [NO_FIT, PAYS, DONE],
        paid=1,
        shown=["the arguments do not fit desk.pay: amount"],
    ),
    Case(
        "9 a tool that there is not",
        [UNKNOWN, PAYS, DONE],
        paid=1,
        shown=["there is no tool desk__steal; your tools are: desk.pay, desk.look"],
    ),
    Case(
        "10 the same id twice",
        [says("", PAY, call("desk.look", {"page": 2})), DONE],
        paid=1,
        notes=["the endpoint gave the tool call 'desk__look' no id of its own"],
    ),
    Case("11 an empty reply", [says(""), DONE]),
    Case(
        "11 nothing but empty replies",
        [says(""), says("")],
        error="the model m gave an empty reply twice",
        error_type="EmptyResponse",
    ),
    Case(
        "12 a request that is too long, and can be made shorter",
        [LOOK, TOO_LONG, DONE],
        happened={WindowCompacted: 1},
        team="context: {window: 100k, strategies: [clear_results: {keep: 0}]}",
    ),
    Case(
        "12 a request that is too long, and cannot",
        [TOO_LONG],
        error="the request does not fit into the context window of m at URL/chat/completions "
        "(HTTP 400: maximum context length is 8192 tokens)",
        error_type="ContextOverflow",
    ),
    Case(
        "12 a window that is known to be too small",
        [],
        error="tokens; m takes 20",
        error_type="ContextOverflow",
        model="context_window: 20",
    ),
    Case(
        "13 a refusal",
        [says("I will not do that.", end="content_filter")],
        error="the model m refused: I will not do that.",
        error_type="ModelRefused",
        model="fallback: [spare]",
    ),
    Case(
        "14 a tool call that the length limit cuts off",
        [says("", PAY, end="length"), PAYS, DONE],
        paid=1,
        notes=["the length limit cut off 1 tool call(s), which were not run"],
    ),
    Case("14 a text that the length limit cuts off", [says("It is d", end="length"), DONE]),
    Case(
        "14 texts that the length limit always cuts off",
        [says("It is d", end="length")] * 3,
        error="3 replies of m in a row were cut off at the length limit; allow longer ones with max_tokens, or ask for less",
        error_type="ReplyCutOff",
    ),
    Case(
        "15 a key that is refused",
        [error(401, f"bad key {KEY}")],
        error="m at URL/chat/completions refused the request (HTTP 401: bad key [removed]); "
        "check the API key that the team file gives for this model; its key came from the variable THE_KEY",
        error_type="ModelRejected",
        model="fallback: [spare]",
    ),
    Case(
        "15 a key that may not",
        [error(403)],
        error="m at URL/chat/completions refused the request (HTTP 403: no); the API key may not use this model; "
        "check the key and its permissions; its key came from the variable THE_KEY",
        error_type="ModelRejected",
    ),
    Case("16 no usage", [says("It is done.", usage=None)]),
    Case("16 a usage that cannot be", [says("It is done.", usage={"prompt_tokens": -5, "completion_tokens": 10**12})]),
    Case(
        "17 the same call with the same result, until it is told so",
        [LOOK] * 4 + [DONE],
        happened={ReplanRequested: 1},
    ),
    Case(
        "17 the same call with the same result, for ever",
        [LOOK] * 10,
        error="the same calls brought the same results 10 turns in a row; "
        "where that is meant, as with a tool that waits for something, raise limits.repeats",
        error_type="StuckError",
        happened={ReplanRequested: 1},
    ),
    Case(
        "17 the same call with the same result, of a tool that is meant to wait",
        [LOOK] * 12 + [DONE],
        happened={ReplanRequested: 1},
        team="limits: {repeats: 15}",
    ),
    Case(
        "17 the same call for ever, within a budget",
        [LOOK] * 5,
        error="stopped by the limit: turns of lead",
        happened={ReplanRequested: 1},
        team="limits: {turns: 40}",
        model="",
    ),
]  # fmt: skip


def team_file(case: Case, url: str, *, stream: bool) -> str:
    settings = f", {case.model}" if case.model else ""
    limits = "limits: {turns: 5}, " if "within a budget" in case.name else ""
    here = f"api: openai-chat, base_url: '{url}', stream: {str(stream).lower()}"
    return f"""
harness: 1
name: faults
entry: lead
models:
  main: {{{here}, model: m, api_key: "${{THE_KEY}}"{settings}}}
  spare: {{{here}, model: spare}}
agents: {{lead: {{{limits}instructions: Do it., model: main, tools: [desk]}}}}
{case.team}
"""


@dataclass
class Played:
    """A run that is over, and what the tools saw of it."""

    result: RunResult
    recorded: list[Recorded]
    paid: list[int]
    requests: int

    def all(self, kind: type) -> list[Any]:
        return [item.event for item in self.recorded if isinstance(item.event, kind)]


async def play(text: str, server: Any, folder: Path) -> Played:
    """Run a team to its end."""
    paid: list[int] = []

    def pay(amount: int) -> str:
        """Pay an amount."""
        paid.append(amount)
        return f"{amount} paid"

    def look(page: int) -> str:
        """Look at a page."""
        return f"page {page} " * 50

    journal = MemoryJournal()
    team = parse_team(text, base=folder, environment={"THE_KEY": KEY}, servers=["desk"])
    with anyio.fail_after(20):
        async with harness.open(team, store=journal, toolsets=[FunctionToolset("desk", pay, look)]) as opened:
            result = await opened.run("Do it.")
    return Played(result, list(journal.read(result.run_id)), paid, len(server.requests))


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_what_comes_of_a_fault(case: Case, stream: bool, tmp_path: Path):
    scripts: list[Script] = []
    for number, one in enumerate(case.served):
        match one:
            case Reply():
                reply = one.numbered(number)
                scripts.append(event_stream(*reply.chunks()) if stream else reply.whole())
            case Cut():
                scripts.append(one.reply.cut(*one.how, stream=stream))
            case _:
                scripts.append(one)
    async with fault_server(*scripts) as server:
        played = await play(team_file(case, server.base_url, stream=stream), server, tmp_path)

    result = played.result
    said = result.error.replace(server.base_url, "URL")
    if case.error:
        assert not result.succeeded
        assert case.error in said
    else:
        assert (result.output, result.error) == (case.result, "")
    assert [finished.error_type for finished in played.all(AgentRunFinished)] == [case.error_type]
    assert played.paid == [5] * case.paid
    assert played.requests == len(scripts), "every answer was asked for, and none twice"

    known = [note for note in result.notes if "is of no known family" not in note]
    notes = [note.replace(server.base_url, "URL") for note in known]
    assert len(notes) == len(case.notes)
    assert all(any(text in note for note in notes) for text in case.notes), notes
    retried = [event.reason for event in played.all(ModelCallRetried)]
    assert len(retried) == len(case.retried)
    assert all(reason.startswith(text) for reason, text in zip(retried, case.retried, strict=True)), retried
    shown = [event.shown for event in played.all(ToolCallFinished) if event.is_error]
    assert len(shown) == len(case.shown)
    assert all(text in one for one, text in zip(shown, case.shown, strict=True)), shown
    for kind, times in case.happened.items():
        assert len(played.all(kind)) == times, kind
    check_charges(played, case)
    await check_record(played)


def check_charges(played: Played, case: Case) -> None:
    """What was used is what the provider reported, and an estimate where it did not or a reply was lost."""
    lost = played.all(ModelCallLost)
    assert len(lost) == case.lost
    assert all(event.usage.estimated and event.usage.input_tokens > 0 for event in lost)
    answered = [event for event in played.all(ModelCallFinished) if event.message is not None]
    for event in answered:
        assert event.usage.estimated == case.name.startswith("16")
        assert event.usage.input_tokens > 0
        assert event.usage.output_tokens > 0 or not event.message.parts
    spent = sum(event.usage.total_tokens for event in (*answered, *lost))
    assert played.result.usage.total_tokens == spent


async def check_record(played: Played) -> None:
    """Nothing is lost, no call ran twice, no secret is in it, and it replays exactly without the network."""
    assert [item.sequence for item in played.recorded] == list(range(len(played.recorded)))
    started = [(event.key, event.attempt) for event in played.all(ToolCallStarted)]
    assert len(started) == len(set(started)) == len(played.all(ToolCallFinished))
    assert KEY not in repr(played.recorded)
    replayed = (await replay_run(played.recorded)).replay
    assert replayed.exact, replayed.divergences
    assert replayed.ended


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (closed_port(), "could not connect"),
        ("http://no-such-host.invalid/v1", "the name no-such-host.invalid has no address"),
    ],
    ids=["3 nobody listens", "3 a name without an address"],
)
async def test_an_endpoint_that_cannot_be_reached_has_an_error_of_its_own(
    url: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    case = Case("3", [], model="retries: 2, fallback: [spare]")
    async with fault_server(DONE.whole()) as server:
        text = team_file(case, server.base_url, stream=False).replace(server.base_url, url, 1)
        played = await play(text, server, tmp_path)
    assert played.result.output == "It is done."
    (failed,) = [event for event in played.all(ModelCallFinished) if event.error]
    assert failed.error_type == "ModelUnreachable"
    assert reason in failed.error
    assert len(played.all(ModelCallRetried)) == 2
    await check_record(played)
