"""Work left unchecked, work given twice, and contracts that were broken."""

from __future__ import annotations

import pytest

from harness.diagnosis import examine
from tests.diagnosis.truth.script import Agent, Call

from .table import agent, call, found, run, turn


def edits(path: str = "src/a.py") -> Call:
    return call("repo.edit_file", "changed", path=path, old="a", new="b")


def runs_tests(target: str = "tests") -> Call:
    return call("repo.run_tests", "passed", target=target)


def test_the_edits_after_the_last_tests_are_found_the_last_in_front():
    record = run(
        agent(
            "lead",
            turn(edits()),
            turn(runs_tests()),
            turn(edits("src/b.py")),
            turn(edits("src/c.py")),
            turn(says="Done."),
        )
    )

    (finding,) = found("unverified-edit", record)
    assert finding.where.calls == ("lead/turn-4/0", "lead/turn-3/0")
    assert finding.severity == "warning"
    assert [quote.where for quote in finding.evidence] == ["lead/turn-3/0", "lead/turn-4/0"]


def test_who_could_have_tested_and_never_did_is_found_and_who_could_not_is_not():
    able = agent("lead", turn(edits()), turn(says="Done."), tools=("repo.edit_file", "repo.run_tests"))
    unable = agent("lead", turn(edits()), turn(says="Done."), tools=("repo.edit_file",))

    (finding,) = found("unverified-edit", run(able))
    assert "nothing was verified at all" in finding.what
    assert found("unverified-edit", run(unable)) == []


def with_siblings(*, waits: bool, together: bool) -> list[Agent]:
    """Return a lead, a coder who edits, and a tester who may work beside it."""
    codes, checks = (call("delegate", "done", child=f"lead/{name}-1") for name in ("coder", "tester"))
    turns = [turn(codes, checks)] if together else [turn(codes), turn(checks)]
    coder = agent("lead/coder-1", turn(runs_tests()), turn(edits()), turn(says="done"), by=codes)
    after = (coder.path,) if waits else ()
    tester = agent("lead/tester-1", turn(runs_tests()), turn(says="done"), by=checks, after=after)
    return [agent("lead", *turns, turn(says="Done.")), coder, tester]


def test_an_edit_that_a_sibling_tested_afterwards_is_verified():
    assert found("unverified-edit", run(*with_siblings(waits=False, together=False))) == []


def test_tests_that_a_sibling_ran_beside_the_edit_may_have_missed_it():
    (finding,) = found("unverified-edit", run(*with_siblings(waits=False, together=True)))

    assert finding.where.agent == "lead/coder-1"
    assert finding.where.calls == ("lead/coder-1/turn-2/0",)
    assert (finding.severity, finding.confidence) == ("info", 0.5)
    assert "called beside the last and may have missed it" in finding.what


def test_tests_before_the_edit_in_another_agent_do_not_count():
    checks, codes = (call("delegate", "done", child=f"lead/{name}-1") for name in ("tester", "coder"))
    lead = agent("lead", turn(checks), turn(codes), turn(says="Done."))
    tester = agent("lead/tester-1", turn(runs_tests()), turn(says="done"), by=checks)
    coder = agent("lead/coder-1", turn(edits()), turn(says="done"), by=codes)

    (finding,) = found("unverified-edit", run(lead, tester, coder))
    assert (finding.where.agent, finding.severity) == ("lead/coder-1", "warning")


def test_notes_need_no_tests_and_a_shell_command_can_be_one():
    notes = agent(
        "lead", turn(edits()), turn(runs_tests()), turn(call("files.create_file", "ok", path="notes.md"))
    )
    shell = agent("lead", turn(edits()), turn(call("shell.run", "1 passed", command="python -m pytest -q")))
    failed = agent(
        "lead", turn(runs_tests()), turn(call("repo.edit_file", "no such text", is_error=True, path="a.py"))
    )

    for one in (notes, shell, failed):
        assert found("unverified-edit", run(one)) == []


def made(table: str) -> Call:
    return call("store.write_table", f'{{"created": "{table}"}}', rule="select *")


def checked(table: str) -> Call:
    return call("store.validate_table", "all rules hold", table=table)


TABLES = ("tab-4k2q17", "tab-8m3x52", "tab-2p9w36")


def test_what_a_tool_made_is_to_be_checked_by_name_where_the_rest_of_it_is():
    habit = [step for table in TABLES for step in (turn(made(table)), turn(checked(table)))]
    last = turn(made("tab-9z1c77"))

    (finding,) = found("unverified-edit", run(agent("lead", *habit, last, turn(says="Done."))))
    assert finding.where.calls == ("lead/turn-7/0",)
    whole = turn(call("store.validate_all", "all rules hold"))
    assert found("unverified-edit", run(agent("lead", *habit, last, whole, turn(says="Done.")))) == []
    assert found("unverified-edit", run(agent("lead", *habit[:4], last, turn(says="Done.")))) == []
    late = [*(turn(made(table)) for table in TABLES), *(turn(checked(table)) for table in TABLES)]
    assert found("unverified-edit", run(agent("lead", *late, turn(says="Done.")))) == []


BRIEF = "Find out which northern granaries were flooded before the drought and who restored them afterwards."


def team(one: str, other: str, *, waits: bool = False, reads: bool = False) -> list[Agent]:
    asks = [call("delegate", "report", child=f"lead/scout-{n}") for n in (1, 2)]
    scouts: list[Agent] = []
    for number, (ask, brief) in enumerate(zip(asks, (one, other), strict=True), 1):
        files = [turn(call("files.read", "text", path=f"{n}.txt")) for n in range(4)] if reads else []
        after = ("lead/scout-1",) if waits and number == 2 else ()
        scouts.append(
            agent(f"lead/scout-{number}", *files, turn(says="report"), task=brief, by=ask, after=after)
        )
    return [agent("lead", turn(*asks), turn(says="Done.")), *scouts]


@pytest.mark.parametrize(
    ("other", "reads"),
    [(BRIEF.replace("afterwards", "later"), False), ("Describe every tannery by name.", True)],
)
def test_sub_agents_that_were_told_or_did_the_same_are_found_at_the_calls_that_asked(other: str, reads: bool):
    (finding,) = found("overlapping-briefs", run(*team(BRIEF, other, reads=reads)))

    assert finding.where.agent == "lead"
    assert finding.where.calls == ("lead/turn-1/1", "lead/turn-1/0")
    assert [quote.where for quote in finding.evidence] == ["lead/scout-1", "lead/scout-2"]
    assert finding.price.tokens
    assert finding.price.tokens > 0


def test_different_work_and_work_that_goes_on_with_the_first_do_not_overlap():
    assert found("overlapping-briefs", run(*team(BRIEF, "Describe every tannery by name."))) == []
    assert found("overlapping-briefs", run(*team(BRIEF, BRIEF, waits=True))) == []


def test_a_broken_contract_is_found_at_the_call_and_a_kept_one_is_not():
    find, cancel = call("desk.find", "W-1", order="1"), call("desk.cancel", "gone", order_id="W-1")
    rule = "desk.find before desk.cancel"
    team_file = {
        "agents": {"lead": {"order": [{"rule": rule, "because": "it may be gone", "severity": "warning"}]}}
    }

    broken = run(agent("lead", turn(cancel), turn(find), turn(says="Done.")), team=team_file)
    (finding,) = found("order-contract", broken)
    assert finding.where.calls == ("lead/turn-1/0",)
    assert (finding.severity, finding.confidence) == ("warning", 1.0)
    assert finding.remedy
    assert finding.remedy.text == "it may be gone"
    kept = run(agent("lead", turn(find), turn(cancel), turn(says="Done.")), team=team_file)
    assert found("order-contract", kept) == []
    beside = run(agent("lead", turn(find, cancel), turn(says="Done.")))
    (unclear,) = found("order-contract", beside, rule)
    assert (unclear.severity, unclear.confidence) == ("info", 0.5)


def test_a_recorded_contract_that_cannot_be_read_is_said_and_the_others_are_checked():
    rules = [
        "desk.find befor desk.cancel",
        {"rule": "never desk.cancel", "severity": "fatal"},
        "never desk.cancel",
    ]
    record = run(
        agent("lead", turn(call("desk.cancel")), turn(says="Done.")),
        team={"agents": {"lead": {"order": rules}}, "order": ["desk.find soonish"]},
    )

    diagnosis = examine(record)
    told = [one.why for one in diagnosis.not_measurable if one.detector == "order-contract"]
    assert len(told) == 3
    assert "`desk.find befor desk.cancel`, agents.lead.order[0]" in told[0]
    assert "did you mean 'before'?" in told[0]
    assert "there is no severity 'fatal'" in told[1]
    assert "`desk.find soonish`, order[0]" in told[2]
    assert [one.subject for one in diagnosis.findings if one.detector == "order-contract"] == [
        "never desk.cancel"
    ]
