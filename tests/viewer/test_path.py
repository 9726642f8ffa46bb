"""The critical path and the steps of runs without a clock."""

from __future__ import annotations

from runs import synthetic

from harness.viewer.path import clock_times, critical_path, step_times


def test_an_agent_that_needs_another_begins_after_it_and_both_are_on_the_path():
    record = synthetic(agents=3, turns=2)
    first, second = list(record.agents)[1:]
    call = record.agents["lead"].turns[0].calls[0]
    call.children += [first, second]
    for path in (first, second):
        record.agents[path].parent_call = call.key
    record.agents[second].after = (first,)

    times = step_times(record)

    assert times.agents[second][0] >= times.agents[first][1]
    assert times.turns["lead/turn-2"][0] >= times.agents[second][1]
    path = critical_path(record, times)
    assert [step.agent for step in path if not step.call] == ["lead", first, first, second, second, "lead"]


def test_a_source_without_times_has_steps_only():
    record = synthetic(agents=1, turns=3, timed=False)

    assert clock_times(record) is None
    assert [span[0] for span in step_times(record).turns.values()] == [0, 1, 2]


def test_a_chain_of_a_thousand_tasks_is_walked():
    record = synthetic(agents=1001, turns=1)
    paths = list(record.agents)[1:]
    for before, after in zip(paths, paths[1:], strict=False):
        record.agents[after].after = (before,)

    assert critical_path(record, step_times(record))
