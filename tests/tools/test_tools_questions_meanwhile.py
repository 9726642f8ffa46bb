"""Servers of the 2025 era that ask in the middle of a call, and wait."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from servers_in_use import Arrival, HttpServer, Person, asking, call, hub, plain, tool

from harness.errors import StoreError, ToolError, ToolServerError
from harness.team import ServerSpec
from harness.team.specs import TimeoutsSpec
from harness.tools.connection import MAX_IN_FLIGHT
from harness.tools.hub import ToolHub
from harness.tools.port import CallContext, InputRequired, Inquiry, InquiryAnswer, ToolOutput

pytestmark = pytest.mark.anyio


@pytest.fixture
def web_of_2025(no_process_is_left: None) -> Iterator[HttpServer]:
    server = HttpServer("asking_server.py", era="2025")
    server.start()
    yield server
    server.kill()


@pytest.fixture(params=["module", "stdio", "http"])
def spec(request: pytest.FixtureRequest) -> ServerSpec:
    """A server of 2025 in any way there is."""
    if request.param == "http":
        return request.getfixturevalue("web_of_2025").spec()
    return asking(request.param, era="2025")


class Answered:
    """Calls under way, and what came of them."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    async def invoke(self, tool, context: CallContext, name: str, **arguments: str) -> None:
        try:
            output: ToolOutput = await tool.invoke(arguments, context)
            self.texts[name] = output.text
        except ToolError as error:
            self.texts[name] = str(error)


async def test_the_call_waits_for_the_answer_and_goes_on_with_it(spec: ServerSpec):
    person = Person({"ok": True})
    answered = Answered()
    with anyio.fail_after(30):
        async with hub(s=spec) as servers, anyio.create_task_group() as calls:
            ask = await tool(servers, "s.ask")
            calls.start_soon(lambda: answered.invoke(ask, person.context, "it", question="Go?"))
            await person.is_asked.wait()
            assert answered.texts == {}
            person.may_answer.set()

    [inquiry] = person.asked
    assert (inquiry.message, inquiry.form["required"], inquiry.state) == ("Go?", ["ok"], "")
    assert answered.texts == {"it": "accept True"}


async def test_the_same_tool_asks_in_either_era(spec: ServerSpec):
    person = Person({"ok": True, "note": "go"})
    person.may_answer.set()
    with anyio.fail_after(30):
        async with hub(s=spec) as servers:
            output = await (await tool(servers, "s.remove")).invoke({"path": "/x"}, person.context)

    assert output.text == "/x True go"


async def test_a_no_reaches_the_server():
    person = Person(None)
    person.may_answer.set()
    async with hub(s=asking("module", era="2025")) as servers:
        output = await (await tool(servers, "s.ask")).invoke({"question": "Go?"}, person.context)

    assert output.text == "decline -"


async def test_where_nobody_can_be_asked_the_answer_is_no(spec: ServerSpec):
    with anyio.fail_after(30):
        async with hub(s=spec) as servers:
            assert (await call(servers, "s.ask", question="Go?")).text == "decline -"
            with pytest.raises(ToolError, match="Sampling not supported"):
                await call(servers, "s.ask_model")


async def test_a_person_may_take_longer_than_a_server():
    person = Person({"ok": True})
    answered = Answered()
    spec = asking("module", era="2025").model_copy(update={"timeouts": TimeoutsSpec(call=0.3)})
    with anyio.fail_after(20):
        async with hub(s=spec) as servers, anyio.create_task_group() as calls:
            ask = await tool(servers, "s.ask")
            calls.start_soon(lambda: answered.invoke(ask, person.context, "it", question="Go?"))
            await person.is_asked.wait()
            await anyio.sleep(0.6)
            person.may_answer.set()

    assert answered.texts == {"it": "accept True"}


async def test_after_the_answer_the_server_has_to_give_a_sign_of_life_again():
    person = Person({"ok": True})
    person.may_answer.set()
    spec = plain(timeouts=TimeoutsSpec(call=0.4))
    with anyio.fail_after(20):
        async with hub(pipe=spec) as servers:
            ask = await tool(servers, "pipe.ask_and_hang")
            with pytest.raises(ToolServerError, match="gave no sign of life for 0.4 s"):
                await ask.invoke({}, person.context)

    assert len(person.asked) == 1


async def test_calls_that_wait_for_people_take_no_place_at_the_server(web_of_2025: HttpServer):
    people = [Person({"ok": True}) for _ in range(MAX_IN_FLIGHT + 8)]
    answered = Answered()
    with anyio.fail_after(60):
        async with hub(s=web_of_2025.spec()) as servers:
            ask = await tool(servers, "s.ask")
            async with anyio.create_task_group() as calls:
                for number, person in enumerate(people):
                    calls.start_soon(
                        lambda person=person, number=number: answered.invoke(
                            ask, person.context, str(number), question=f"Number {number}?"
                        )
                    )
                for person in people:
                    await person.is_asked.wait()
                assert (await call(servers, "s.release")).text == "done"
                for person in people:
                    person.may_answer.set()

    assert [person.asked[0].message for person in people] == [f"Number {n}?" for n in range(len(people))]
    assert set(answered.texts.values()) == {"accept True"}


async def the_server_has_asked(servers: ToolHub) -> None:
    """Returns when a question of `plain_server.py` has arrived."""
    while (await call(servers, "pipe.asked")).text != "1":
        await anyio.lowlevel.checkpoint()


async def test_over_a_pipe_a_question_belongs_to_the_last_call_it_can_belong_to():
    person, bystander = Person({"ok": True}), Arrival()
    answered = Answered()
    person.may_answer.set()
    with anyio.fail_after(30):
        async with hub(pipe=plain()) as servers, anyio.create_task_group() as calls:
            hold, ask = await tool(servers, "pipe.hold"), await tool(servers, "pipe.ask_and_report")
            calls.start_soon(lambda: answered.invoke(hold, bystander.context, "held"))
            await bystander.event.wait()
            calls.start_soon(lambda: answered.invoke(ask, person.context, "asking"))
            await the_server_has_asked(servers)
            assert person.asked == []
            await call(servers, "pipe.release")

    assert answered.texts == {"held": "released 1", "asking": "accept"}
    assert [inquiry.message for inquiry in person.asked] == ["Go?"]


async def test_over_a_pipe_a_question_that_may_be_anybodys_is_declined(caplog: pytest.LogCaptureFixture):
    people = {"One?": Person({"ok": True}), "Two?": Person({"ok": True})}
    answered = Answered()
    for person in people.values():
        person.may_answer.set()
    with anyio.fail_after(30), caplog.at_level(logging.WARNING):
        async with hub(s=asking("stdio", era="2025")) as servers, anyio.create_task_group() as calls:
            ask = await tool(servers, "s.ask")
            for question, person in people.items():
                calls.start_soon(
                    lambda question=question, person=person: answered.invoke(
                        ask, person.context, question, question=question
                    )
                )

    assert sorted(answered.texts.values()) == ["accept True", "decline -"]
    assert "it cannot be told which call it belongs to" in caplog.text
    for question, person in people.items():
        asked = [inquiry.message for inquiry in person.asked]
        assert asked == ([question] if answered.texts[question].startswith("accept") else [])


async def test_a_call_that_was_cancelled_leaves_its_question_to_nobody_else():
    """The server goes on asking although the call is gone, and another person must not answer."""
    person, bystander = Person({"ok": True}), Arrival()
    person.may_answer.set()
    answered = Answered()
    with anyio.fail_after(30):
        async with hub(pipe=plain()) as servers, anyio.create_task_group() as calls:
            hold, ask = await tool(servers, "pipe.hold"), await tool(servers, "pipe.ask_and_report")
            with anyio.CancelScope() as cancelled:
                async with anyio.create_task_group() as doomed:
                    doomed.start_soon(lambda: answered.invoke(hold, bystander.context, "held"))
                    await bystander.event.wait()
                    calls.start_soon(lambda: answered.invoke(ask, person.context, "other"))
                    await the_server_has_asked(servers)
                    cancelled.cancel()

    assert person.asked == []
    assert answered.texts == {"other": "decline"}


async def test_a_call_that_is_cancelled_takes_its_question_back(tmp_path: Path):
    ledger = tmp_path / "ledger"
    person = Person()
    with anyio.fail_after(30):
        async with hub(s=asking("stdio", era="2025", ledger=str(ledger))) as servers:
            ask = await tool(servers, "s.ask")
            async with anyio.create_task_group() as calls:
                calls.start_soon(ask.invoke, {"question": "Go?"}, person.context)
                await person.is_asked.wait()
                calls.cancel_scope.cancel()
            assert (await call(servers, "s.release")).text == "done"

    assert ledger.read_text() == "cancelled\n"


async def test_a_question_ends_with_its_call(tmp_path: Path):
    """Nobody is waited for once the server has answered without an answer."""
    person, answered = Person(), Answered()
    enough = tmp_path / "enough"
    with anyio.fail_after(20):
        async with hub(pipe=plain()) as servers, anyio.create_task_group() as calls:
            ask = await tool(servers, "pipe.ask_until")
            calls.start_soon(lambda: answered.invoke(ask, person.context, "it", path=str(enough)))
            await person.is_asked.wait()
            await anyio.Path(enough).touch()

    assert answered.texts == {"it": "nobody said anything"}


async def test_a_call_that_has_asked_is_not_made_again_when_its_server_dies():
    person, answered = Person({"ok": True}), Answered()
    with anyio.fail_after(20):
        async with hub(pipe=plain(effects={"ask_*": "read"})) as servers, anyio.create_task_group() as calls:
            ask = await tool(servers, "pipe.ask_and_report")
            calls.start_soon(lambda: answered.invoke(ask, person.context, "it"))
            await person.is_asked.wait()
            with pytest.raises(ToolServerError):
                await call(servers, "pipe.crash")

    assert "was lost during ask_and_report" in answered.texts["it"]
    assert len(person.asked) == 1


async def test_an_address_is_agreed_to_while_the_call_goes_on():
    person = Person({})
    person.may_answer.set()
    async with hub(s=asking("module", era="2025")) as servers:
        open_page = await tool(servers, "s.open_page")
        assert (await open_page.invoke({"url": "https://pay.example/1"}, person.context)).text == "accept"
        with pytest.raises(ToolError, match="no address of the web"):
            await open_page.invoke({"url": "file:///etc/passwd"}, person.context)

    assert [inquiry.message for inquiry in person.asked] == [
        "Pay here.\nto be opened by you, at pay.example: https://pay.example/1"
    ]


async def test_a_server_that_wants_an_address_opened_first_is_called_again_afterwards():
    person = Person()
    url = "https://id.example/sign-in"
    async with hub(s=asking("module", era="2025")) as servers:
        open_first = await tool(servers, "s.open_first")
        with pytest.raises(InputRequired) as required:
            await open_first.invoke({"url": url}, person.context)
        inquiry = required.value.inquiry
        with pytest.raises(ToolError, match="a person declined: Sign in first"):
            await open_first.invoke({"url": url}, person.answering(inquiry, None))
        output = await open_first.invoke({"url": url}, person.answering(inquiry, {}))

    assert inquiry.message == f"Sign in first.\nto be opened by you, at id.example: {url}"
    assert output.text == "welcome"


async def test_a_form_that_asks_for_a_secret_is_shown_to_nobody(spec: ServerSpec):
    person = Person({"user": "owner", "apiKey": "k"})
    person.may_answer.set()
    with anyio.fail_after(30):
        async with hub(s=spec) as servers:
            with pytest.raises(ToolError, match="asks for a secret in a form, 'apiKey'"):
                await (await tool(servers, "s.sign_in")).invoke({}, person.context)

    assert person.asked == []


async def test_progress_goes_on_around_a_question_and_starts_no_clock_meanwhile():
    person, reports = Person({"ok": True}), Arrival()
    answered = Answered()
    spec = plain(timeouts=TimeoutsSpec(call=0.4))
    context = CallContext("lead", 1, "c", "k", reports.context.report_progress, ask=person.context.ask)
    with anyio.fail_after(20):
        async with hub(pipe=spec) as servers, anyio.create_task_group() as calls:
            ask = await tool(servers, "pipe.ask_and_report")
            calls.start_soon(lambda: answered.invoke(ask, context, "it"))
            await person.is_asked.wait()
            await call(servers, "pipe.report_now")
            await reports.event.wait()
            await anyio.sleep(0.8)
            person.may_answer.set()

    assert answered.texts == {"it": "accept"}
    assert [message for _, _, message in reports.reports] == ["asking", "heard"]


async def test_a_store_that_breaks_while_a_question_is_asked_is_the_calls_own_error():
    async def ask(inquiry: Inquiry) -> InquiryAnswer:
        raise StoreError("the disk is full")

    async with hub(s=asking("module", era="2025")) as servers:
        tool_that_asks = await tool(servers, "s.ask")
        with pytest.raises(StoreError, match="the disk is full"):
            await tool_that_asks.invoke({"question": "Go?"}, CallContext("lead", 1, "c", "k", ask=ask))
