"""Confirming findings of our own runs: what requests would have been without them, and what the model would do.

The window of every request stands in the journal, and the digest of the request proves that it is rebuilt to the
byte. What a finding is about is taken out of it, what is left is counted and priced, and with `live` the model is
asked for its next action. Nothing is written to a store.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import anyio

from harness.adapters import build_models, close_models
from harness.context.counting import message_tokens
from harness.contracts import Contract
from harness.diagnosing import is_trace, read_runs
from harness.diagnosis import Case, Diagnosis, Finding, examine
from harness.diagnosis.undoing import Change, Less, undo
from harness.errors import ModelError, UsageError
from harness.events import ModelCallStarted, Recorded
from harness.guarding import GuardedModel
from harness.loop.pricing import cost_of
from harness.loop.state import effective
from harness.messages import Message, ToolDefinition, Usage
from harness.models.port import CallOptions, Model, Transcript
from harness.models.tokens import token_counter
from harness.opening import DEFAULT_STORE
from harness.record import RunRecord, Turn, record_of
from harness.redaction import Redactor
from harness.replay import recorded_team
from harness.replay.again import as_recorded
from harness.replaying import find_runs, servers_named


@dataclass(frozen=True, slots=True)
class Size:
    """What requests come to."""

    tokens: int
    """Of input, as the provider counts them."""
    usd: float | None
    """Replies included; None where prices are not known."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the model did with the changed request."""

    reply: Message | None
    """None if it could not answer."""
    usage: Usage
    usd: float | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Confirmation:
    """A finding, and what would have been without it."""

    finding: Finding
    change: str
    """What was changed, in words."""
    at: str
    """The request that is shown, `PATH/turn-N`."""
    recorded: Size
    """That request as it was."""
    changed: Size
    """As it would have been."""
    saved: Size
    """By all requests together; below 0 where they would have been larger."""
    requests: int
    """How many requests would have been smaller, larger, or not made."""
    unasked: int
    """How many of them would not have been made."""
    measured: int | None
    """What the token-turns of the finding's own price come to, request by request; None where it has none."""
    reply: Message | None
    """What the model did with the recorded request."""
    asked: Asked | None = None
    """What it does with the changed one; None if it was not asked."""


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """A finding that nothing in the record can confirm."""

    finding: Finding
    reason: str


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The findings of one run, gravest first, each confirmed or with the reason why not."""

    record: RunRecord
    findings: tuple[Confirmation | Unconfirmed, ...]

    @property
    def confirmations(self) -> tuple[Confirmation, ...]:
        """Those that could be confirmed."""
        return tuple(one for one in self.findings if isinstance(one, Confirmation))

    @property
    def unconfirmed(self) -> tuple[Unconfirmed, ...]:
        """Those that could not."""
        return tuple(one for one in self.findings if isinstance(one, Unconfirmed))


@dataclass(frozen=True, slots=True)
class Which:
    """The findings of a run that are asked about; all of them if nothing is said."""

    findings: tuple[str, ...] = ()
    """Fingerprints, or beginnings of them."""
    detectors: tuple[str, ...] = ()

    def of(self, diagnosis: Diagnosis) -> list[Finding]:
        """Return them.

        Raises:
            UsageError: A finding that is named is not there.
        """
        found = [one for one in diagnosis.findings if not self.detectors or one.detector in self.detectors]
        for name in self.findings:
            if not name or not any(one.fingerprint.startswith(name) for one in found):
                listed = "\n".join(f"  {one.fingerprint}  {one.detector}" for one in found) or "  none"
                raise UsageError(f"run {diagnosis.record.id} has no finding {name!r}; it has:\n{listed}")
        return [one for one in found if not self.findings or one.fingerprint.startswith(self.findings)]


EVERY = Which()


async def confirm_run(
    recorded: Sequence[Recorded],
    *,
    which: Which = EVERY,
    live: bool = False,
    models: Mapping[str, Model] | None = None,
    contracts: Sequence[Contract] = (),
) -> Confirmed:
    """Return what the requests of a run would have been without each of its findings.

    Args:
        recorded: All events of the run.
        which: The findings to look at.
        live: Whether the model is asked for its next action on each changed request; that is paid for.
        models: The models that the program handed in, by agent or by name in the team file.
        contracts: Contracts on calls to check beside those of the run's own team.

    Raises:
        UsageError: A finding that is named is not among them.
        TeamError: The team cannot run here, which `live` needs.
    """
    record = record_of(recorded)
    diagnosis = examine(record, contracts=contracts)
    found = which.of(diagnosis)
    case = Case(record, ledger=diagnosis.ledger, contracts=contracts)
    async with _models(recorded, models or {}, live=live) as ready:
        confirming = _Confirming(case, ready, _digests(recorded), live)
        confirmed = [await confirming.confirm(finding) for finding in found]
    return Confirmed(record, tuple(confirmed))


def confirm_sync(
    source: str | Path,
    *,
    findings: Sequence[str] = (),
    detectors: Sequence[str] = (),
    store: str | Path | None = None,
    live: bool = False,
    models: Mapping[str, Model] | None = None,
    contracts: Sequence[Contract] = (),
) -> list[Confirmed]:
    """Confirm what `diagnose` finds in a run of a store or the runs of a bundle, from code that is not async.

        for one in harness.confirm_sync("last")[0].confirmations: print(one.change, one.saved.tokens)

    Of a trace that others exported it says that nothing can be confirmed.

    Args:
        findings: Fingerprints of findings, or beginnings of them; all findings if none is named.
        detectors: Names of detectors, if only what they find is wanted.
        live: Whether the model is asked for its next action on each changed request; that is paid for.
        models: The models that the program handed in when the run was made.
        contracts: Contracts on calls to check beside those of the run's own team.

    Raises:
        UsageError: There is no such run or finding.
        TraceError: The file cannot be read.
    """
    which = Which(tuple(findings), tuple(detectors))
    if is_trace(source):
        return [_imported(record, which, contracts) for record in read_runs(source)]

    async def main() -> list[Confirmed]:
        runs = find_runs(str(source), store or DEFAULT_STORE)
        return [
            await confirm_run(recorded, which=which, live=live, models=models, contracts=contracts)
            for recorded in runs
        ]

    return anyio.run(main)


def _imported(record: RunRecord, which: Which, contracts: Sequence[Contract]) -> Confirmed:
    found = which.of(examine(record, contracts=contracts))
    reason = f"the run is read from a trace ({record.source}), of which no request can be rebuilt to the byte"
    return Confirmed(record, tuple(Unconfirmed(finding, reason) for finding in found))


@asynccontextmanager
async def _models(
    recorded: Sequence[Recorded], given: Mapping[str, Model], *, live: bool
) -> AsyncGenerator[Mapping[str, Model]]:
    """Yield the models of the run by agent name, with stand-ins for those that only its program knew."""
    team = recorded_team(recorded, to_run=False)
    if live:
        team = recorded_team(recorded, servers=servers_named(team), to_run=True)
    built = build_models(team, given)
    redactor = Redactor(team.hidden)
    try:
        used = as_recorded(list(effective(recorded)), team, built, built)
        yield {name: GuardedModel(model, redactor) for name, model in used.items()}
    finally:
        await close_models(built, given)


def _digests(recorded: Sequence[Recorded]) -> dict[tuple[str, int], str]:
    return {
        (item.event.agent, item.event.turn): item.event.digest
        for item in effective(recorded)
        if isinstance(item.event, ModelCallStarted)
    }


@dataclass(frozen=True)
class _Confirming:
    """Confirms the findings of one run."""

    case: Case
    models: Mapping[str, Model]
    digests: Mapping[tuple[str, int], str]
    live: bool

    async def confirm(self, finding: Finding) -> Confirmation | Unconfirmed:
        """Return what would have been without the finding, or why nobody can say."""
        agent = self.case.record.agents.get(finding.where.agent)
        if agent is None:
            return Unconfirmed(finding, "it names no agent run")
        model = self.models[agent.name]
        transcript = model.open(agent.tools or ())
        count = token_counter()

        def tokens_of(message: Message) -> int:
            return message_tokens(message, count, sends_reasoning=transcript.sends_reasoning)

        change = undo(self.case, finding, tokens_of)
        if isinstance(change, str):
            return Unconfirmed(finding, change)
        turn = agent.turns[change.turn - 1]
        request = _opened(model, agent.tools or (), (entry.message for entry in agent.window(turn.number)))
        if request.digest() != self.digests.get((agent.path, turn.number)):
            return Unconfirmed(
                finding,
                f"the request of {turn.id} cannot be rebuilt to the byte: hand in the model it was made with",
            )
        confirmation = self._confirmation(finding, change, turn)
        if not self.live:
            return confirmation
        return replace(confirmation, asked=await _ask(model, change, confirmation.changed.tokens))

    def _confirmation(self, finding: Finding, change: Change, turn: Turn) -> Confirmation:
        before, after = self._sizes(change, turn)
        gone = [self._sizes(change, one)[0] for one in change.unasked]
        others = (self._sizes(change, one) for one in change.agent.turns if one not in change.unasked)
        changed = [(one, other) for one, other in others if one != other]
        tokens = sum(one.tokens - other.tokens for one, other in changed)
        usd = [*(_less(one.usd, other.usd) for one, other in changed), *(one.usd for one in gone)]
        unasked = sum(one.tokens for one in gone)
        return Confirmation(
            finding=finding,
            change=change.what,
            at=turn.id,
            recorded=before,
            changed=after,
            saved=Size(tokens + unasked, None if None in usd else math.fsum(filter(None, usd))),
            requests=len(changed) + len(gone),
            unasked=len(gone),
            measured=None if finding.price.tokens is None else unasked or tokens + change.placeholders,
            reply=turn.reply.message if turn.reply else None,
        )

    def _sizes(self, change: Change, turn: Turn) -> tuple[Size, Size]:
        """Return what a request was and what it would have been."""
        model = self.models[self.case.record.agents[turn.agent].name]
        total = self.case.ledger.turns[turn.agent][turn.number - 1].total
        output, cached = turn.output or 0, turn.cached or 0
        less = change.less(turn) if turn.agent == change.agent.path else Less(0, 0)
        counted = cost_of(model, Usage(total, output, cached))
        then = cost_of(model, Usage(total - less.tokens, output, cached - less.cached))
        paid = counted if turn.cost is None else turn.cost
        return Size(total, paid), Size(total - less.tokens, _less(paid, _less(counted, then)))


async def _ask(model: Model, change: Change, tokens: int) -> Asked:
    """Ask for the next action on the changed request."""
    transcript = _opened(model, change.tools, change.messages)
    try:
        response = await model.respond(transcript, CallOptions(), lambda notice: None)
    except ModelError as error:
        return Asked(None, Usage(), None, str(error))
    usage = response.usage or Usage(tokens, calls=1, estimated=True)
    return Asked(response.message, usage, cost_of(model, usage))


def _opened(model: Model, tools: Sequence[ToolDefinition], messages: Iterable[Message]) -> Transcript:
    transcript = model.open(tools)
    for message in messages:
        transcript.append(message)
    return transcript


def _less(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other
