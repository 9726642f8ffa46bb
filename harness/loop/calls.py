"""The tool calls of one turn: all at once, each leaving exactly one result for its id.

A call may be asked about before it begins, may begin several times (after a crash, or because its
server wanted to know something first), and ends once. What the record of the run holds of this is
gone through again without touching the world.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import anyio
import orjson

from harness.contracts import Call as JudgedCall
from harness.errors import (
    Divergence,
    HarnessError,
    RequiredServerFailed,
    StoreError,
    ToolError,
    ToolServerError,
    innermost,
)
from harness.events import (
    ApprovalDecided,
    ApprovalRequested,
    EffectClass,
    QuestionKind,
    ToolCallFinished,
    ToolCallStarted,
)
from harness.loop.cuts import made_by_cut
from harness.loop.log import Progress
from harness.loop.past import RecordEnds
from harness.messages import ToolCall, ToolResult
from harness.messages import tool as tool_message
from harness.permissions import ProposedCall
from harness.tools.port import (
    CallContext,
    InputRequired,
    Inquiry,
    InquiryAnswer,
    Tool,
    ToolOutput,
)
from harness.trace_ids import traceparent

if TYPE_CHECKING:
    from harness.loop.agent import AgentRun

_ENDS_THE_RUN = (StoreError, RequiredServerFailed, Divergence)
"""Errors that no model can mend and that concern more than one call."""

MOST_ATTEMPTS = 20
"""Attempts at one call after which its server is asked no more: each asked a person something."""

_NO_JSON = "the arguments are not valid JSON: "
_NO_FIT = "the arguments do not fit {}: "

_NOW_ALLOWED = "the contracts of this team let the call run; what it would have given is not on record"

_DONE_BEFORE = (
    "this call had begun when its process ended; a person found that it did take effect. Its result is lost"
)


async def run_calls(agent: AgentRun, turn: int, calls: Sequence[ToolCall], *, cut_off: bool) -> None:
    """Run `calls` side by side and append their results in the order they were asked for.

    A call that fails becomes an error result; it never cancels its siblings. With `cut_off` nothing
    runs: the arguments may be incomplete.
    """
    outputs: list[ToolOutput | None] = [None] * len(calls)
    made = [_Call(agent, turn, index, call) for index, call in enumerate(calls)]
    for one in made:
        one.prepare(cut_off=cut_off)

    async def run(index: int) -> None:
        try:
            outputs[index] = await made[index].run(cut_off=cut_off)
        except RecordEnds:
            await anyio.sleep_forever()

    if len(calls) == 1:
        await run(0)
    else:
        async with anyio.create_task_group() as group:
            for index in range(len(calls)):
                group.start_soon(run, index)
    for call, output in zip(calls, outputs, strict=True):
        assert output is not None
        result = ToolResult(call.id, output.text, output.is_error, output.images)
        agent.append(output.origin or f"tool:{call.name}", tool_message(result))


@dataclass
class _Call:
    """One tool call at its place in a turn."""

    agent: AgentRun
    turn: int
    index: int
    call: ToolCall
    questions: int = field(default=0, init=False)
    """How many questions it has raised."""
    asked_before: list[ApprovalRequested] = field(default_factory=list[ApprovalRequested], init=False)
    """Questions that attempts raised while they went on, and before they had a result."""
    attempt: int = field(default=1, init=False)
    """The attempt that is under way."""
    said_before: dict[int, ApprovalDecided] = field(default_factory=dict[int, ApprovalDecided], init=False)
    """The answers to them, by number."""

    def __post_init__(self) -> None:
        self.key = f"{self.agent.path}/turn-{self.turn}/{self.index}"
        self.tool = self.agent.tools.get(self.call.name)
        self.arguments = self.call.arguments
        """JSON; a person may change it."""
        self.prepared: Mapping[str, Any] | ToolOutput = {}
        """The arguments to run with, or why nothing is run."""

    @property
    def effect(self) -> EffectClass:
        """What happens to the call after a crash."""
        return self.tool.effect if self.tool else "read"

    async def run(self, *, cut_off: bool) -> ToolOutput:
        """Return what the model is shown, having recorded the call and its whole result."""
        past = self.agent.log.past
        recorded = None if past.check == "everything" else past.calls.outcome(self.key, 1)
        if isinstance(recorded, ToolCallFinished) and recorded.external:
            refusal = self._refused_now() if past.check == "requests" and not cut_off else None
            if isinstance(self.prepared, ToolOutput) and self.prepared.error_type == "order":
                refusal = self.prepared
            if refusal is not None:
                self._start(1)
                return self._finish(refusal)
            # Whatever a changed team would say to the call: its result is history, as is what people said.
            for event in past.calls.asked_first(self.key):
                self.agent.emit(event)
                if isinstance(event, ApprovalDecided) and event.arguments is not None:
                    self.arguments = event.arguments
            self._start(1)
            return self._finish(await self._recorded_output(recorded, 1), external=True)
        prepared = self.prepared
        if not isinstance(prepared, ToolOutput) and self.tool is not None and self.tool.external:
            prepared = await self._permit(prepared)
            changed = self.arguments != self.call.arguments and self.agent.log.order is not None
            if changed and not isinstance(prepared, ToolOutput):
                prepared = self._in_order(prepared, changed=True)
        if isinstance(prepared, ToolOutput):
            self._start(1)
            return self._finish(prepared)
        return self._finish(await self._carry_out(prepared))

    def prepare(self, *, cut_off: bool) -> None:
        """Read the arguments, and hold the call against the contracts on the order of calls.

        Done for all calls of a turn before any of them runs, in the order in which they were written.
        """
        self.prepared = self._prepare(cut_off=cut_off)
        if self.agent.log.order is not None and not isinstance(self.prepared, ToolOutput):
            self.prepared = self._in_order(self.prepared)

    def _in_order(
        self, arguments: Mapping[str, Any], *, changed: bool = False
    ) -> Mapping[str, Any] | ToolOutput:
        """Return the arguments, or what must be done before the call may run.

        What the record says of a call holds, except for a changed team, which decides anew.
        """
        past, order = self.agent.log.past, self.agent.log.order
        assert order is not None
        outcome = past.calls.outcome(self.key, 1)
        said = (
            outcome.shown if isinstance(outcome, ToolCallFinished) and outcome.error_type == "order" else ""
        )
        call = JudgedCall(
            self.call.name,
            arguments,
            key=self.key,
            agent=self.agent.path,
            turn=self.turn,
            own="." not in self.call.name,
        )
        hands_in = self.call.name in ("answer", "report") and self.tool is not None and not self.tool.external
        if past.check != "requests" and past.calls.begun(self.key, 1):
            if said and hands_in:
                self.agent.owes()
            refusal = said
        else:
            found = order.would_changed(call) if changed else order.would(call)
            refusal = found.text if found else self.agent.owes() if hands_in else ""
            if found and found.contract.text in said:
                refusal = said
            elif said and not refusal:
                refusal = _NOW_ALLOWED
        if refusal:
            return _refusal("order", refusal)
        if not changed:
            order.let_through(call)
        return arguments

    def _prepare(self, *, cut_off: bool) -> Mapping[str, Any] | ToolOutput:
        """Return the arguments to run with, or the error that tells the model how to mend the call."""
        if cut_off:
            return _refusal("cut_off", "your reply was cut off at the length limit; nothing was run")
        if self.tool is None:
            names = ", ".join(self.agent.tools) or "none"
            return _refusal("unknown_tool", f"there is no tool {self.call.name}; your tools are: {names}")
        return self._read_arguments(self.tool)

    def _read_arguments(self, tool: Tool) -> Mapping[str, Any] | ToolOutput:
        """Return the arguments, or what is wrong with them: in the words of the record, which libraries change."""
        try:
            arguments = orjson.loads(self.arguments or "{}")
        except orjson.JSONDecodeError as error:
            return _refusal("arguments", self._refused_before(_NO_JSON) or f"{_NO_JSON}{error}")
        if not isinstance(arguments, dict):
            return _refusal("arguments", "the arguments must be one JSON object")
        arguments = cast("dict[str, Any]", arguments)
        if tool.plainly_fits(arguments):
            return arguments
        no_fit = _NO_FIT.format(tool.definition.name)
        refusal = self._refused_before(no_fit)
        faults = tool.faults(arguments) if refusal is None else ()
        if refusal or faults:
            return _refusal("arguments", refusal or no_fit + "; ".join(faults))
        return arguments

    def _refused_before(self, beginning: str) -> str | None:
        outcome = self.agent.log.past.calls.outcome(self.key, 1)
        if isinstance(outcome, ToolCallFinished) and outcome.error_type == "arguments":
            return outcome.shown if outcome.shown.startswith(beginning) else None
        return None

    # --- may it run ---

    async def _permit(self, arguments: Mapping[str, Any]) -> Mapping[str, Any] | ToolOutput:
        """Return the arguments to run with once the team file, and if need be a person, allows it."""
        assert self.tool is not None
        past = self.agent.log.past
        proposed = ProposedCall(self.call.name, arguments, self.effect)
        verdict = self.agent.permissions.verdict(self.agent.lineage, proposed)
        decided = await self._recorded_permission(verdict.allow)
        if decided is None and not past.calls.begun(self.key, 1):
            if verdict.allow == "no":
                return _refusal("denied", verdict.reason)
            if verdict.allow == "ask":
                expires = verdict.expires_seconds
                question = self._question(
                    "permission",
                    message=verdict.reason,
                    expires_at=None if expires is None else self.agent.log.clock() + expires,
                )
                decided = await self._decide(question)
        return self._as_decided(decided, arguments)

    def _refused_now(self) -> ToolOutput | None:
        """Return the refusal of a recorded call that the rules of a changed team do not allow."""
        arguments = self._read_arguments(self.tool) if self.tool is not None else None
        if arguments is None or isinstance(arguments, ToolOutput):
            return None
        proposed = ProposedCall(self.call.name, arguments, self.effect)
        verdict = self.agent.permissions.verdict(self.agent.lineage, proposed)
        return _refusal("denied", verdict.reason) if verdict.allow == "no" else None

    async def _recorded_permission(self, allow: str) -> ApprovalDecided | None:
        """Go through the questions on record, the last of which may still wait; None asks anew.

        A decision holds for the tool it was made about. Where the team file has changed meanwhile so
        that nobody needs to be asked, it decides.
        """
        assert self.tool is not None
        past, approvals = self.agent.log.past, self.agent.approvals
        decided: ApprovalDecided | None = None
        while question := past.calls.question(self.key, self.questions + 1, "permission"):
            self.questions += 1
            if allow != "ask" and past.live and past.calls.decision(self.key, question.number) is None:
                decision = "approved" if allow == "yes" else "denied"
                decided = approvals.settle(question, decision, by="team file")
            else:
                decided = await self._decide(question)
            if question.fingerprint != self.tool.fingerprint and not past.calls.begun(self.key, 1):
                decided = None
        return decided

    def _as_decided(
        self, decided: ApprovalDecided | None, arguments: Mapping[str, Any]
    ) -> Mapping[str, Any] | ToolOutput:
        assert self.tool is not None
        if decided is None:
            return arguments
        if decided.decision != "approved":
            because = f": {decided.reason}" if decided.reason else ""
            what = "nobody answered in time" if decided.decision == "expired" else "a person said no"
            return _refusal("denied", f"{self.call.name} was not run: {what}{because}")
        if decided.arguments is None:
            return arguments
        self.arguments = decided.arguments
        return self._read_arguments(self.tool)

    # --- running it ---

    async def _carry_out(self, arguments: Mapping[str, Any]) -> ToolOutput:
        """Return the result, from the record or of as many attempts as it takes."""
        past = self.agent.log.past
        attempt = 1
        answer: InquiryAnswer | None = None
        while True:
            self.attempt = attempt
            self._start(attempt)
            if self.tool is None or not self.tool.external:
                return await self._invoke(arguments, None)
            outcome = past.calls.outcome(self.key, attempt)
            if isinstance(outcome, ToolCallFinished):
                return await self._recorded_output(outcome, attempt)
            was_begun = past.check == "everything" and past.calls.begun(self.key, attempt)
            if was_begun:
                self._go_through_questions(attempt, is_open=outcome is None)
            if outcome is None and self.effect == "once" and was_begun:
                outcome = self._question("in_doubt", message="it had begun when its process ended")
            if outcome is None:
                equal = past.calls.reusable(self.call.name, self.arguments)
                if equal is not None:
                    return await self._recorded_output(equal, attempt)
                try:
                    return await self._invoke(arguments, answer)
                except InputRequired as required:
                    if attempt == MOST_ATTEMPTS:
                        return _refusal("tool", f"its server asked {attempt} times, and still does not go on")
                    outcome = self._inquiry(required.inquiry)
            else:
                self.questions = outcome.number
            decided = await self._decide(outcome)
            if decided.decision == "happened":
                lost = f"{_DONE_BEFORE}{': ' + decided.reason if decided.reason else '.'}"
                return ToolOutput(lost)
            if outcome.kind == "elicitation":
                answer = InquiryAnswer(_inquiry_of(outcome), decided.content)
            attempt += 1

    async def _invoke(self, arguments: Mapping[str, Any], answer: InquiryAnswer | None) -> ToolOutput:
        """Run the tool; whatever goes wrong with it becomes its result."""
        assert self.tool is not None
        agent = self.agent
        try:
            if not self.tool.external:
                return await self._invoke_own(self.tool, arguments)
            async with agent.outside():
                if self.effect in ("keyed", "once"):
                    await agent.log.durable()
                return await self.tool.invoke(arguments, self._context(answer))
        except ToolServerError as error:
            return replace(_refusal("server", str(error)), served=error.served)
        except ToolError as error:
            return replace(_refusal("tool", str(error)), served=error.served)
        except anyio.get_cancelled_exc_class():
            # A stop from outside leaves the call open, as a crash would.
            if agent.cut_by():
                self._finish(_refusal("cancelled", "cancelled; its outcome is unknown"))
            raise
        except (InputRequired, *_ENDS_THE_RUN):
            raise
        except HarnessError as error:
            return _refusal("tool", str(error))
        except Exception as error:
            if isinstance(innermost(error), _ENDS_THE_RUN):
                raise
            return _refusal("internal", f"{self.call.name} broke: {type(error).__name__}: {error}")

    async def _invoke_own(self, tool: Tool, arguments: Mapping[str, Any]) -> ToolOutput:
        """Run a tool of the harness itself, up to where the record says that it was cut short."""
        past = self.agent.log.past
        try:
            output = await tool.invoke(arguments, self._context(None))
        except RecordEnds:
            await anyio.sleep_forever()
            raise
        outcome = past.calls.outcome(self.key, 1) if past.cuts else None
        if outcome is not None and made_by_cut(outcome):
            await anyio.sleep_forever()
        return output

    async def _recorded_output(self, finished: ToolCallFinished, attempt: int) -> ToolOutput:
        for event in self.agent.log.past.calls.asked_meanwhile(self.key, attempt):
            self.agent.emit(event)
        if finished.error_type == "cancelled":
            try:
                await self.agent.be_cut_short()
            except anyio.get_cancelled_exc_class():
                self._finish(_refusal("cancelled", finished.shown))
                raise
        text = finished.shown if finished.whole is None else finished.whole
        return ToolOutput(
            text, finished.is_error, finished.error_type, finished.images, served=finished.served
        )

    def _context(self, answer: InquiryAnswer | None) -> CallContext:
        agent = self.agent
        return CallContext(
            agent.path,
            self.turn,
            self.call.id,
            self.key,
            partial(_progress, agent, self.call.name),
            agent.log.run_id,
            answer,
            self._ask_meanwhile,
            self._traceparent(),
        )

    def _traceparent(self) -> str:
        log = self.agent.log
        started = log.state.started
        caller = started.traceparent if started else ""
        return traceparent(log.run_id, self.key, attempt=self.attempt, epoch=log.epoch, caller=caller)

    # --- asking a person ---

    async def _ask_meanwhile(self, inquiry: Inquiry) -> InquiryAnswer:
        """Ask while the call goes on; see `harness.tools.port.AskPerson`."""
        question = self._asked_before(inquiry) or replace(self._inquiry(inquiry), inline=True)
        decided = self.said_before.get(question.number)
        if decided is None:
            with self.agent.activity.paused():
                decided = await self._decide(question)
        return InquiryAnswer(inquiry, decided.content)

    def _go_through_questions(self, attempt: int, *, is_open: bool) -> None:
        """Do again what an attempt asked before its process ended; take an answer that was left since."""
        past, approvals = self.agent.log.past, self.agent.approvals
        for event in past.calls.asked_meanwhile(self.key, attempt):
            self.agent.emit(event)
            if isinstance(event, ApprovalRequested):
                self.asked_before.append(event)
            else:
                self.said_before[event.number] = event
        waiting = self.agent.log.state.waiting.get(self.key)
        if is_open and past.live and waiting is not None:
            left = approvals.settle_left(waiting)
            if left is not None:
                self.said_before[left.number] = left

    def _asked_before(self, inquiry: Inquiry) -> ApprovalRequested | None:
        """Return the question, answered or waiting, by which an earlier attempt asked for the same."""
        waiting = self.agent.log.state.waiting.get(self.key)
        for question in self.asked_before:
            counts = question == waiting or question.number in self.said_before
            if counts and _inquiry_of(question) == inquiry:
                self.asked_before.remove(question)
                return question
        return None

    async def _decide(self, question: ApprovalRequested) -> ApprovalDecided:
        if (
            self.agent.log.past.live
            and self.agent.log.past.calls.decision(question.key, question.number) is None
        ):
            self.agent.begin_clock()
        async with self.agent.lent():
            return await self.agent.approvals.decide(question)

    def _inquiry(self, inquiry: Inquiry) -> ApprovalRequested:
        return replace(
            self._question("elicitation", message=inquiry.message),
            form=inquiry.form,
            request=inquiry.request,
            state=inquiry.state,
        )

    def _question(
        self, kind: QuestionKind, *, message: str, expires_at: float | None = None
    ) -> ApprovalRequested:
        assert self.tool is not None
        self.questions = max(self.questions, self.agent.log.past.calls.questions(self.key)) + 1
        return ApprovalRequested(
            agent=self.agent.path,
            turn=self.turn,
            call_id=self.call.id,
            key=self.key,
            number=self.questions,
            kind=kind,
            tool=self.call.name,
            arguments=self.arguments,
            fingerprint=self.tool.fingerprint,
            message=message,
            expires_at=expires_at,
        )

    # --- recording it ---

    def _start(self, attempt: int) -> None:
        self.agent.emit(
            ToolCallStarted(
                agent=self.agent.path,
                turn=self.turn,
                call_id=self.call.id,
                key=self.key,
                tool=self.call.name,
                arguments=self.arguments,
                effect=self.effect,
                attempt=attempt,
            )
        )

    def _finish(self, output: ToolOutput, *, external: bool | None = None) -> ToolOutput:
        """Record the result; return it as the model sees it, shortened if it is large."""
        if external is None:
            external = self.tool is not None and self.tool.external
        short = self.agent.shortened(output.text, self.key) if external else None
        self.agent.emit(
            ToolCallFinished(
                agent=self.agent.path,
                turn=self.turn,
                call_id=self.call.id,
                key=self.key,
                tool=self.call.name,
                shown=output.text if short is None else short,
                whole=None if short is None else output.text,
                is_error=output.is_error,
                error_type=output.error_type,
                external=external,
                images=output.images,
                served=output.served,
            )
        )
        return output if short is None else replace(output, text=short)


def _inquiry_of(question: ApprovalRequested) -> Inquiry:
    return Inquiry(question.message, question.form or {}, question.request, question.state)


def _refusal(error_type: str, text: str) -> ToolOutput:
    return ToolOutput(text, is_error=True, error_type=error_type)


def _progress(agent: AgentRun, tool: str, done: float, total: float | None, message: str) -> None:
    agent.notices.send(agent.path, Progress(tool, done, total, message))
