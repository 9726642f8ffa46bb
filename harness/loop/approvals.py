"""Questions for a person: asked in the journal, answered from anywhere, each answer used once.

An answer comes from this process (`give`), or was left in the journal by another one, days later
perhaps. Whoever waits for one holds up nothing but his own call; when nothing else in the run can
move, the run is suspended, and needs no process until somebody answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio

from harness.errors import UsageError
from harness.events import ApprovalDecided, ApprovalRequested, Decision, QuestionKind
from harness.journal.port import Answer, Journal
from harness.loop.activity import LOOK_SECONDS, Activity
from harness.loop.log import RunLog
from harness.tools.port import schema_faults, schema_validator

ASK_AGAIN_SECONDS = 0.5
"""How often the journal is asked for answers while other parts of the run still move."""

_DECISIONS: dict[QuestionKind, tuple[Decision, Decision]] = {
    "permission": ("denied", "approved"),
    "in_doubt": ("did_not_happen", "happened"),
    "elicitation": ("declined", "answered"),
}
"""What no and yes mean for each kind of question."""


@dataclass
class _Open:
    question: ApprovalRequested
    answer: Answer | None = None
    answered: anyio.Event = field(default_factory=anyio.Event)


class Approvals:
    """The open questions of one run.

    Args:
        left: Returns the answers that other processes have left.
    """

    def __init__(self, log: RunLog, left: Callable[[], Iterable[Answer]]) -> None:
        self.patient = False
        """True while somebody is there to answer: then the run is not suspended."""
        self._log = log
        self._left = left
        self._open: dict[str, _Open] = {}
        self._opened = anyio.Event()
        self._suspended = False

    @property
    def waiting(self) -> tuple[ApprovalRequested, ...]:
        """The questions that wait for an answer."""
        return tuple(entry.question for entry in self._open.values())

    async def decide(self, question: ApprovalRequested) -> ApprovalDecided:
        """Ask, unless it is asked already, wait for the answer, and record both."""
        if self._log.state.waiting.get(question.key) != question:
            self._log.emit(question)
        decided = self._log.past.calls.decision(question.key, question.number)
        if decided is None:
            if not self._log.past.live:
                await anyio.sleep_forever()
            decided = await self._wait(question)
        self._log.emit(decided)
        return decided

    def settle(self, question: ApprovalRequested, decision: Decision, *, by: str) -> ApprovalDecided:
        """Record a question and a decision that needs nobody any more."""
        self._log.emit(question)
        decided = _decided(question, decision, by=by)
        self._log.emit(decided)
        return decided

    def settle_left(self, question: ApprovalRequested) -> ApprovalDecided | None:
        """Record the answer that was left to a question which nobody waits for; None if there is none."""
        for answer in self._left():
            if (answer.key, answer.number) == (question.key, question.number):
                decided = _as_answered(question, answer)
                self._log.emit(decided)
                return decided
        return None

    def give(self, answer: Answer) -> bool:
        """Take an answer that was left; return False if the run has been suspended without it.

        A run that is carried out again may not have come to its question yet; it will find the answer.
        """
        entry = self._open.get(answer.key)
        if self._suspended:
            return False
        if entry is not None and entry.question.number == answer.number and entry.answer is None:
            entry.answer = answer
            entry.answered.set()
        return True

    async def attend(self, activity: Activity) -> None:
        """Bring answers to open questions; return when the run waits for nothing else."""
        while True:
            await self._opened.wait()
            next_look = 0.0
            while self._open:
                now = anyio.current_time()
                still = not self.patient and await activity.is_still()
                if still or now >= next_look:
                    self._collect()
                    self._expire()
                    next_look = now + ASK_AGAIN_SECONDS
                if still and all(entry.answer is None for entry in self._open.values()):
                    self._suspended = True
                    return
                await anyio.sleep(LOOK_SECONDS)
            self._opened = anyio.Event()

    async def _wait(self, question: ApprovalRequested) -> ApprovalDecided:
        entry = self._open[question.key] = _Open(question)
        self._opened.set()
        try:
            await entry.answered.wait()
        finally:
            del self._open[question.key]
        assert entry.answer is not None
        return _as_answered(question, entry.answer)

    def _collect(self) -> None:
        for answer in self._left():
            self.give(answer)

    def _expire(self) -> None:
        now = self._log.clock()
        for entry in self._open.values():
            question = entry.question
            if question.expires_at is not None and now > question.expires_at:
                self.give(Answer(key=question.key, number=question.number, decision="expired", at=now))


@dataclass(frozen=True, slots=True)
class Reply:
    """What a person says to a question."""

    allow: bool = True
    arguments: str | None = None
    content: Mapping[str, Any] | None = None
    happened: bool | None = None
    by: str = ""
    reason: str = ""


def leave_answer(
    journal: Journal, run_id: str, waiting: Iterable[ApprovalRequested], call: str, reply: Reply, *, at: float
) -> Answer:
    """Answer the question of a call for good, for whoever carries the run; return the answer.

    Raises:
        UsageError: No such question waits, it has been answered, or the answer does not fit it.
    """
    answer = answer_to(find_question(waiting, call), reply, at=at)
    journal.answer(run_id, answer)
    return answer


def answer_to(question: ApprovalRequested, reply: Reply, *, at: float) -> Answer:
    """Return the answer that `reply` gives to a question.

    Raises:
        UsageError: It does not fit the question.
    """
    if (question.kind == "in_doubt") != (reply.happened is not None):
        raise UsageError(
            f"{question.key} is in doubt: say whether it took effect (--did-it-happen yes or no)"
            if question.kind == "in_doubt"
            else f"{question.key} is not in doubt: say whether it may run"
        )
    if reply.arguments is not None and question.kind != "permission":
        raise UsageError(f"the arguments of {question.key} cannot be changed any more: it has begun")
    content: Mapping[str, Any] | None = None
    if question.kind == "elicitation" and reply.allow:
        content = _checked(question, reply.content or {})
    said = _DECISIONS[question.kind][bool(reply.allow if reply.happened is None else reply.happened)]
    decision: Decision = "expired" if _is_late(question, at) else said
    return Answer(
        key=question.key,
        number=question.number,
        decision=decision,
        at=at,
        arguments=reply.arguments,
        content=content,
        by=reply.by,
        reason=reply.reason,
    )


def _checked(question: ApprovalRequested, content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the answer to an elicitation if its form allows it; some forms only want a yes."""
    validator = schema_validator(question.form or {})
    try:
        faults = schema_faults(validator, dict(content)) if validator else []
    except Exception:  # a reference to nowhere, a pattern that is no pattern: only the server can judge
        faults = []
    if faults:
        raise UsageError(
            f"{question.key} wants an answer of this form: {question.form}"
            + "".join(f"\n  {fault}" for fault in faults)
        )
    return content


def find_question(waiting: Iterable[ApprovalRequested], call: str) -> ApprovalRequested:
    """Return the question of the call that `call` names: a key, a call id, or the beginning of one.

    Raises:
        UsageError: None or several are meant; the message lists them.
    """
    questions = list(waiting)
    if not questions:
        raise UsageError("nothing in this run waits for a person")
    exact = [question for question in questions if call in (question.key, question.call_id)]
    found = exact or [
        question
        for question in questions
        if question.key.startswith(call) or question.call_id.startswith(call)
    ]
    if len(found) == 1:
        return found[0]
    listed = "\n".join(f"  {question.key}  {question.tool}" for question in found or questions)
    what = (
        f"{call!r} means {len(found)} calls"
        if call and found
        else "say which call"
        if found
        else f"no call {call!r}"
    )
    raise UsageError(f"{what}; these wait:\n{listed}")


def _is_late(question: ApprovalRequested, at: float) -> bool:
    return question.expires_at is not None and at > question.expires_at


def _as_answered(question: ApprovalRequested, answer: Answer) -> ApprovalDecided:
    return ApprovalDecided(
        agent=question.agent,
        key=question.key,
        number=question.number,
        kind=question.kind,
        decision="expired" if _is_late(question, answer.at) else answer.decision,
        arguments=answer.arguments,
        content=answer.content,
        by=answer.by,
        reason=answer.reason,
    )


def _decided(question: ApprovalRequested, decision: Decision, *, by: str) -> ApprovalDecided:
    return ApprovalDecided(
        agent=question.agent,
        key=question.key,
        number=question.number,
        kind=question.kind,
        decision=decision,
        by=by,
    )
