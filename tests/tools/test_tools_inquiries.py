"""Servers of the 2026 era that want to know something: the call ends with a question, and is made again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from servers_in_use import CONTEXT, HttpServer, Person, asking, call, hub, tool

from harness.errors import ToolError
from harness.team import ServerSpec
from harness.tools.port import CallContext, InputRequired, Inquiry

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["module", "stdio", "http"])
def spec(request: pytest.FixtureRequest, no_process_is_left: None) -> Iterator[ServerSpec]:
    """A server that can be reached again, on another connection, in any way there is."""
    if request.param != "http":
        yield asking(request.param)
        return
    server = HttpServer("asking_server.py", era="2026")
    server.start()
    yield server.spec()
    server.kill()


async def asked(spec: ServerSpec, name: str, person: Person | None = None, /, **arguments: Any) -> Inquiry:
    """Call a tool on a connection of its own and return what it wants to know."""
    async with hub(s=spec) as servers:
        with pytest.raises(InputRequired) as required:
            await (await tool(servers, name)).invoke(arguments, (person or Person()).context)
    return required.value.inquiry


async def again(spec: ServerSpec, name: str, context: CallContext, /, **arguments: Any) -> str:
    """Call a tool again on another connection."""
    async with hub(s=spec) as servers:
        return (await (await tool(servers, name)).invoke(arguments, context)).text


async def test_a_question_ends_the_call_and_its_answer_counts_on_another_connection(spec: ServerSpec):
    person = Person()
    with anyio.fail_after(30):
        inquiry = await asked(spec, "s.remove", person, path="/x")
        text = await again(spec, "s.remove", person.answering(inquiry, {"ok": True, "note": "go"}), path="/x")

    assert (inquiry.message, inquiry.form["required"]) == ("Delete /x?", ["ok"])
    assert inquiry.request.endswith("confirm")
    assert inquiry.state
    assert text == "/x True go"
    assert person.asked == [], "nobody is asked while the call goes on"


async def test_what_the_person_leaves_out_is_filled_in_with_the_defaults_of_the_form():
    inquiry = await asked(asking("module"), "s.remove", path="/x")

    text = await again(asking("module"), "s.remove", Person().answering(inquiry, {"ok": False}), path="/x")

    assert text == "/x False none"


async def test_a_no_reaches_the_server():
    inquiry = await asked(asking("module"), "s.remove", path="/x")

    text = await again(asking("module"), "s.remove", Person().answering(inquiry, None), path="/x")

    assert "elicitation was decline" in text


async def test_several_questions_become_one_form():
    inquiry = await asked(asking("module"), "s.order", what="tea")
    names = list(inquiry.form["properties"])

    assert [name.rpartition(":")[2] for name in names] == ["confirm_order", "size"]
    assert inquiry.request == ""
    assert "Order tea?" in inquiry.message
    assert "Which size?" in inquiry.message
    assert inquiry.form["required"] == names
    answer = dict(zip(names, [{"ok": True}, {"size": "m"}], strict=True))
    text = await again(asking("module"), "s.order", Person().answering(inquiry, answer), what="tea")
    assert text == "tea True m"


async def test_a_state_that_a_restarted_server_cannot_read_costs_nobody_a_second_answer(tmp_path: Path):
    ledger = tmp_path / "ledger"
    forgetful = asking("module", key="", ledger=str(ledger))
    inquiry = await asked(forgetful, "s.remove", path="/x")

    text = await again(forgetful, "s.remove", Person().answering(inquiry, {"ok": True}), path="/x")

    assert text == "/x True none"
    assert ledger.read_text() == "removed /x\n"


async def test_another_question_after_a_refused_state_is_asked():
    inquiry = await asked(asking("module", key=""), "s.remove", path="/x")

    reworded = asking("module", key="", words="Shred")
    async with hub(s=reworded) as servers:
        remove = await tool(servers, "s.remove")
        with pytest.raises(InputRequired) as required:
            await remove.invoke({"path": "/x"}, Person().answering(inquiry, {"ok": True}))

    assert required.value.inquiry.message == "Shred /x?"


async def test_a_server_that_refuses_every_state_is_given_up():
    hopeless = asking("module", ttl=1e-9)
    inquiry = await asked(hopeless, "s.remove", path="/x")

    with anyio.fail_after(20), pytest.raises(ToolError, match="Invalid or expired requestState"):
        await again(hopeless, "s.remove", Person().answering(inquiry, {"ok": True}), path="/x")


async def test_a_server_that_only_wants_to_be_called_again_is_and_not_for_ever():
    with anyio.fail_after(40):
        assert await again(asking("module"), "s.wait", CONTEXT, times=3) == "called 3 times more"
        with pytest.raises(ToolError, match="sent more than 20 times"):
            await again(asking("module"), "s.wait", CONTEXT, times=1000)


@pytest.mark.parametrize(
    ("name", "what"), [("s.sample", "sampling/createMessage"), ("s.roots", "roots/list")]
)
async def test_models_and_folders_of_ours_are_not_to_be_had(name: str, what: str):
    person = Person()

    with pytest.raises(ToolError, match=f"wants {what} of this client, which does not offer it"):
        await again(asking("module"), name, person.context)

    assert person.asked == []


async def test_an_address_is_shown_and_agreed_to_and_never_opened():
    inquiry = await asked(asking("module"), "s.visit", url="https://pay.example/1?x=y")

    assert inquiry.message == ("Pay here.\nto be opened by you, at pay.example: https://pay.example/1?x=y")
    assert inquiry.form["properties"] == {}
    person = Person()
    for content, said in (({}, ["accept", None]), (None, ["decline", None])):
        context = person.answering(inquiry, content)
        text = await again(asking("module"), "s.visit", context, url="https://pay.example/1?x=y")
        assert json.loads(text) == {"question": said}


@pytest.mark.parametrize("url", ["file:///etc/passwd", "javascript:alert(1)", "http://[", "pay.example"])
async def test_what_is_no_address_of_the_web_is_not_shown_to_anybody(url: str):
    with pytest.raises(ToolError, match="no address of the web"):
        await again(asking("module"), "s.visit", Person().context, url=url)


async def test_an_address_among_several_questions_is_agreed_to_with_a_yes_or_a_no():
    url = "https://pay.example/1"
    inquiry = await asked(asking("module"), "s.both", url=url)

    for agreed, action in ((True, "accept"), (False, "decline")):
        context = Person().answering(inquiry, {"page": agreed, "form": {"name": "owner"}})
        text = await again(asking("module"), "s.both", context, url=url)
        assert json.loads(text) == {"page": [action, None], "form": ["accept", {"name": "owner"}]}
    text = await again(asking("module"), "s.both", Person().answering(inquiry, None), url=url)
    assert json.loads(text) == {"page": ["decline", None], "form": ["decline", None]}


async def test_a_form_that_asks_for_a_secret_is_shown_to_nobody():
    person = Person()

    with pytest.raises(ToolError, match="asks for a secret in a form, 'apiKey', so nobody was asked"):
        await again(asking("module"), "s.sign_in", person.context)

    assert person.asked == []


@pytest.mark.parametrize(
    ("field", "title", "nested"),
    [
        ("password", "", False),
        ("userPassword", "", False),
        ("answer", "Access token", False),
        ("github_token", "", False),
        ("value", "Your API key", False),
        ("card-number", "", False),
        ("passphrase", "", True),
    ],
)
async def test_secrets_are_known_by_what_their_fields_are_called(field: str, title: str, nested: bool):
    with pytest.raises(ToolError, match="asks for a secret in a form"):
        await again(asking("module"), "s.want", Person().context, field=field, title=title, nested=nested)


@pytest.mark.parametrize(
    "field", ["max_tokens", "token_limit", "secretary", "passenger", "keyboard", "monkey"]
)
async def test_what_only_sounds_like_a_secret_is_asked(field: str):
    inquiry = await asked(asking("module"), "s.want", field=field, title="", nested=False)

    assert list(inquiry.form["properties"]) == [field]


@pytest.mark.parametrize("way", ["module", "stdio"])
async def test_where_nobody_can_be_asked_the_answer_is_no(way: str):
    with anyio.fail_after(30):
        async with hub(s=asking(way)) as servers:
            refused = await call(servers, "s.remove", path="/x")
            insisting = await tool(servers, "s.insist")
            with pytest.raises(ToolError, match="sent more than 20 times"):
                await insisting.invoke({}, CONTEXT)

    assert refused.is_error
    assert "elicitation was decline" in refused.text


async def test_progress_is_reported_before_the_question_and_after_it():
    reports: list[str] = []
    person = Person()

    def report(done: float, total: float | None, message: str) -> None:
        reports.append(message)

    spec = asking("module")
    inquiry = await asked(spec, "s.slowly", person, path="/x")
    context = CallContext("lead", 1, "c", "k", report, answer=person.answering(inquiry, {"ok": True}).answer)
    assert await again(spec, "s.slowly", context, path="/x") == "/x True"
    assert reports == ["asked"]
