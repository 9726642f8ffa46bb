"""A run that may die, be taken over, interrupted and answered at any moment, and still comes to its end."""

from __future__ import annotations

import orjson
import pytest
from crash_checks import check_order
from crash_teams import as_told
from fenced_disk import ProcessJournal
from gated_world import GATED, LIMITED, RUN, TOOLS, GatedWorld, Process, Script
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from virtual_time import VirtualTimeLoop

from harness import UsageError, fold
from harness.errors import Fenced
from harness.events import AgentRunFinished, ApprovalDecided, ApprovalRequested, RunFinished, ToolCallStarted
from harness.loop.approvals import Reply, leave_answer
from harness.loop.state import effective
from harness.run import Run

tools = st.sampled_from([*TOOLS, "pay", "sign"])
scripts = st.builds(
    Script,
    st.lists(st.lists(tools | st.just("scout"), min_size=1, max_size=3), min_size=1, max_size=2),
    st.lists(st.lists(tools, min_size=1, max_size=2), min_size=1, max_size=2),
)


class RunMachine(RuleBasedStateMachine):
    """One run, one process that carries it at a time, and others that still believe they do."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualTimeLoop()
        self.processes: list[Process] = []
        self.questions: dict[tuple[str, str, int], ApprovalRequested] = {}

    @initialize(script=scripts, alert=st.booleans(), few=st.booleans())
    def begin(self, script: Script, alert: bool, few: bool) -> None:
        self.world = GatedWorld(script)
        self.begin_in_a_new_process(alert, few)

    # --- what may happen ---

    @precondition(lambda self: self.world.waiters)
    @rule(data=st.data())
    def let_something_go_on(self, data: st.DataObject) -> None:
        waiter = data.draw(st.sampled_from(self.world.waiters), label="goes on")
        waiter.let_go()
        self.loop.settle()

    @rule(times=st.integers(2, 8))
    def let_everything_go_on(self, times: int) -> None:
        for _ in range(times):
            for waiter in list(self.world.waiters):
                waiter.let_go()
            self.loop.settle()

    @precondition(lambda self: self.journal.pending)
    @rule(data=st.data())
    def the_disk_catches_up(self, data: st.DataObject) -> None:
        self.journal.commit(data.draw(st.integers(1, len(self.journal.pending))))

    @precondition(lambda self: self.process.is_alive)
    @rule(data=st.data())
    def the_process_is_killed(self, data: st.DataObject) -> None:
        self.cut_off(data)
        self.process.die(data.draw(st.integers(0, len(self.journal.pending)), label="kept"))

    @precondition(lambda self: self.process.carries and self.process.run is not None)
    @rule()
    def the_run_is_interrupted(self) -> None:
        run = self.process.run
        assert run is not None
        stopping = self.loop.create_task(run.cancel(reason="interrupted"))
        self.loop.settle()
        self.let_the_disk_catch_up()
        assert stopping.done()

    @precondition(lambda self: not self.process.carries and not self.is_done)
    @rule(alert=st.booleans(), same=st.booleans(), few=st.booleans())
    def the_run_is_resumed(self, alert: bool, same: bool, few: bool) -> None:
        if same and self.process.is_alive:
            self.process.begin(lambda opened: opened.resume(RUN))
            self.loop.settle()
        else:
            self.begin_in_a_new_process(alert, few)

    @precondition(lambda self: self.process.carries and self.world.disk.recorded[RUN])
    @rule(data=st.data(), alert=st.booleans(), few=st.booleans())
    def the_run_is_stolen(self, data: st.DataObject, alert: bool, few: bool) -> None:
        self.cut_off(data)
        self.process.lost = self.process.harness.live[RUN]
        self.begin_in_a_new_process(alert, few)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data(), allow=st.booleans(), elsewhere=st.booleans())
    def a_question_is_answered(self, data: st.DataObject, allow: bool, elsewhere: bool) -> None:
        question = data.draw(st.sampled_from(self.waiting), label="question")
        self.answer(question, self.truth(question, allow), elsewhere=elsewhere or not self.process.carries)

    @precondition(lambda self: self.world.disk.left)
    @rule(data=st.data(), allow=st.booleans())
    def a_question_is_answered_again(self, data: st.DataObject, allow: bool) -> None:
        question = self.questions[data.draw(st.sampled_from(list(self.world.disk.left)))]
        reply = self.truth(question, allow)
        with pytest.raises(UsageError, match="answered before"):
            leave_answer(self.elsewhere(), RUN, [question], question.key, reply, at=self.world.now)

    @rule(minutes=st.sampled_from([1, 45, 90]))
    def time_passes(self, minutes: int) -> None:
        self.world.now += minutes * 60
        self.loop.settle()

    @rule()
    def the_models_go_down_or_come_back(self) -> None:
        self.world.is_down = not self.world.is_down

    # --- what always holds ---

    @invariant()
    def the_record_is_lawful(self) -> None:
        check_order(self.world.disk.recorded[RUN], is_over=self.is_done)

    @invariant()
    def no_effect_is_had_too_often(self) -> None:
        tools = self.world.script.labels()
        refused = self.refused
        for label, times in self.world.effects.items():
            if TOOLS[tools[label]] in ("keyed", "once"):
                assert times == 1, label
            assert label not in refused
        assert self.world.crimes == []

    @invariant()
    def the_fold_is_the_state(self) -> None:
        if self.journal.is_dead:
            return
        live = self.process.harness.live.get(RUN)
        caught_up = any(waiter.at != "disk" for waiter in self.process.waiters())
        run = live if live and caught_up else None if live else self.process.run
        if run is not None:
            recorded = [*self.world.disk.recorded[RUN], *self.journal.pending]
            assert fold(recorded) == run.state

    @invariant()
    def nothing_that_was_told_to_do_went_wrong(self) -> None:
        for process in self.processes:
            for fault in process.faults():
                was_fenced = isinstance(fault, Fenced) and process is not self.process
                assert was_fenced or _came_too_late(fault)

    def teardown(self) -> None:
        """Let the run come to its end, whatever has happened to it."""
        try:
            if self.processes:
                self.carry_to_the_end()
        finally:
            for process in self.processes:
                if process.is_alive:
                    process.die(0)
            self.loop.close()

    def carry_to_the_end(self) -> None:
        self.world.is_down = False
        for _ in range(200):
            if self.is_done:
                break
            if not self.process.carries:
                self.the_run_is_resumed(alert=True, same=False, few=False)
            for question in self.waiting:
                self.answer(question, self.truth(question, allow=True), elsewhere=False)
            self.let_everything_go_on(1)
        self.let_everything_go_on(10)
        note(f"effects {self.world.effects}, refused {self.refused}")
        expected = self.world.script.labels().keys() - self.refused
        finished = self.finished
        assert finished is not None
        assert finished.stop_reason == "done"
        if self.somebody_failed:
            assert self.world.effects.keys() <= expected
        else:
            assert finished.output == as_told(expected)
            assert self.world.effects.keys() == expected
        self.check_all()

    def check_all(self) -> None:
        self.the_record_is_lawful()
        self.no_effect_is_had_too_often()
        self.nothing_that_was_told_to_do_went_wrong()
        for process in self.processes:
            if process.is_alive and process.lost is not None:
                self.check_has_stopped(process, process.lost)

    def check_has_stopped(self, process: Process, run: Run) -> None:
        """A process that lost its run has noticed, unless it still waits for a call it had begun."""
        if any(gate.process is process for gate in self.world.gates):
            return
        if run.is_over:
            with pytest.raises(Fenced):
                self.loop.do(run.result())
        else:
            assert any(isinstance(fault, Fenced) for fault in process.faults())
        assert RUN not in process.harness.live

    # --- how it is done ---

    @property
    def process(self) -> Process:
        """The process that was the last to take up the run."""
        return self.processes[-1]

    @property
    def journal(self) -> ProcessJournal:
        return self.process.journal

    @property
    def waiting(self) -> list[ApprovalRequested]:
        """Questions on disk that nobody has answered."""
        left = {(key, number) for _, key, number in self.world.disk.left}
        waiting = fold(self.world.disk.recorded[RUN]).waiting.values()
        return [question for question in waiting if (question.key, question.number) not in left]

    @property
    def finished(self) -> RunFinished | None:
        recorded = self.world.disk.recorded[RUN]
        last = recorded[-1].event if recorded else None
        return last if isinstance(last, RunFinished) else None

    @property
    def is_done(self) -> bool:
        return self.finished is not None and self.finished.stop_reason == "done"

    @property
    def somebody_failed(self) -> bool:
        """Whether an agent failed, and another one was told and went on."""
        events = [item.event for item in effective(self.world.disk.recorded[RUN])]
        return any(isinstance(event, AgentRunFinished) and event.error for event in events)

    @property
    def refused(self) -> set[str]:
        """Labels of the calls that were denied, or not answered in time."""
        labels: dict[str, str] = {}
        refused: set[str] = set()
        for item in effective(self.world.disk.recorded[RUN]):
            event = item.event
            if isinstance(event, ApprovalRequested | ToolCallStarted) and event.tool.startswith("desk."):
                labels[event.key] = orjson.loads(event.arguments)["label"]
            elif isinstance(event, ApprovalDecided) and event.decision in ("denied", "expired"):
                refused.add(labels[event.key])
        return refused

    def begin_in_a_new_process(self, alert: bool, few: bool) -> None:
        process = Process(self.world, LIMITED if few else GATED, self.loop, alert=alert)
        self.processes.append(process)
        self.loop.settle()
        if self.world.disk.recorded[RUN]:
            process.begin(lambda opened: opened.resume(RUN))
        else:
            process.begin(lambda opened: opened.start("Do it.", run_id=RUN))
        self.loop.settle()

    def cut_off(self, data: st.DataObject) -> None:
        """Decide of every effect under way whether it still takes place."""
        for waiter in self.process.waiters():
            if waiter.at == "effect":
                if data.draw(st.booleans(), label=f"{waiter.label} takes place"):
                    waiter.happen()
                waiter.is_lost = True

    def let_the_disk_catch_up(self) -> None:
        for _ in range(3):
            for waiter in self.process.waiters():
                if waiter.at == "disk":
                    waiter.let_go()
            self.loop.settle()

    def elsewhere(self) -> ProcessJournal:
        """The journal as a process sees it that only looks."""

        async def never() -> None:
            raise AssertionError("only looks")

        return ProcessJournal(self.world.disk, never, alert=False)

    def truth(self, question: ApprovalRequested, allow: bool) -> Reply:
        """What somebody says who knows what took place."""
        if question.kind != "in_doubt":
            return Reply(allow=allow)
        label = orjson.loads(question.arguments)["label"]
        return Reply(happened=bool(self.world.effects[label]), reason=f"{label} is done")

    def answer(self, question: ApprovalRequested, reply: Reply, *, elsewhere: bool) -> None:
        self.questions[RUN, question.key, question.number] = question
        if elsewhere:
            leave_answer(self.elsewhere(), RUN, [question], question.key, reply, at=self.world.now)
        else:
            self.process.begin(
                lambda opened: opened.approve(
                    RUN, question.key, allow=reply.allow, happened=reply.happened, reason=reply.reason
                )
            )
        self.loop.settle()


def _came_too_late(fault: BaseException) -> bool:
    """Whether somebody answered a question that was answered, or ran out, before his answer was left."""
    said = ("answered before", "nothing in this run waits", "no call")
    return isinstance(fault, UsageError) and any(text in str(fault) for text in said)


TestRunMachine = RunMachine.TestCase
TestRunMachine.settings = settings(
    max_examples=100,
    stateful_step_count=30,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
