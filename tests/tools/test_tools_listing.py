"""What servers list and return, and what a model gets to see of it."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import anyio
import pytest
from servers_in_use import HandWritten, call, hub, in_process, plain, tool

from harness.errors import ToolError, ToolServerError
from harness.messages import Image
from harness.team import ServerSpec
from harness.tools.listing import MAX_PAGES

pytestmark = pytest.mark.anyio


def named(name: str) -> dict[str, Any]:
    return {"name": name, "inputSchema": {"type": "object"}}


async def names(servers, *patterns: str) -> list[str]:
    return [one.definition.name for one in await servers.tools(patterns)]


async def test_one_malformed_tool_does_not_hide_the_others(caplog: pytest.LogCaptureFixture):
    tools = [named("echo"), {"name": "no_schema"}, {"inputSchema": {"type": "object"}}, 7, named("pid")]
    with anyio.fail_after(20), caplog.at_level(logging.WARNING, logger="harness"):
        async with hub(pipe=plain({"tools": tools})) as servers:
            assert await names(servers, "pipe") == ["pipe.echo", "pipe.pid"]
            assert (await call(servers, "pipe.echo", text="hi")).text == "hi"

    assert [record.message for record in caplog.records if record.name.startswith("harness")] == [
        "left out malformed tools: no_schema, #3, #4"
    ]


async def test_pages_are_read_to_the_end_and_names_count_once():
    pages = {
        "": {"tools": [named("echo"), named("pid")], "next": "2"},
        "2": {"tools": [named("pid"), named("hold")], "next": "3"},
        "3": {"tools": [named("release")], "next": None},
    }
    with anyio.fail_after(20):
        async with hub(pipe=plain({"pages": pages})) as servers:
            assert await names(servers, "pipe") == ["pipe.echo", "pipe.pid", "pipe.hold", "pipe.release"]


async def test_cursors_that_go_in_circles_end():
    pages = {
        "": {"tools": [named("echo")], "next": "a"},
        "a": {"tools": [named("pid")], "next": "b"},
        "b": {"tools": [named("hold")], "next": "a"},
    }
    with anyio.fail_after(20):
        async with hub(pipe=plain({"pages": pages})) as servers:
            assert await names(servers, "pipe") == ["pipe.echo", "pipe.pid", "pipe.hold"]


async def test_a_listing_without_end_ends():
    last = MAX_PAGES + 5
    pages = {str(n) if n else "": {"tools": [named(f"t{n}")], "next": str(n + 1)} for n in range(last)}
    with anyio.fail_after(20):
        async with hub(pipe=plain({"pages": pages})) as servers:
            assert len(await names(servers, "pipe")) == MAX_PAGES


async def test_of_two_tools_with_one_name_the_first_is_kept():
    with anyio.fail_after(20):
        async with hub(pipe=plain()) as servers:
            duplicate = await tool(servers, "pipe.duplicate")
            assert duplicate.definition.description == "duplicate, number 19"
            assert len(await names(servers, "pipe")) == len(set(await names(servers, "pipe")))


async def test_globs_of_the_agent_and_of_the_server_both_count():
    with anyio.fail_after(20):
        async with hub(pipe=plain(tools=["e*", "pid"]), here=in_process()) as servers:
            assert await names(servers, "pipe") == ["pipe.echo", "pipe.pid", "pipe.environment"]
            assert await names(servers, "pipe.e*") == ["pipe.echo", "pipe.environment"]
            assert await names(servers, "pipe.crash") == []
            assert await names(servers, "*.pid") == ["pipe.pid", "here.pid"]
            assert await names(servers, "p*") == ["pipe.echo", "pipe.pid", "pipe.environment"]


async def test_a_disabled_server_is_not_there():
    with anyio.fail_after(20):
        async with hub(pipe=plain(disabled=True)) as servers:
            assert await names(servers, "pipe") == []


@pytest.mark.parametrize(
    ("spec", "effects"),
    [
        (plain(), {"pid": "once", "echo": "once", "hold": "once"}),
        (plain(trust="trusted"), {"pid": "read", "echo": "idempotent", "hold": "once"}),
        (plain(effects={"p*": "keyed", "pid": "read"}), {"pid": "keyed", "echo": "once", "hold": "once"}),
        (plain(trust="trusted", effects={"pid": "once"}), {"pid": "once", "echo": "idempotent"}),
        (in_process(), {"greet": "read", "count": "once"}),
        (in_process(trust="untrusted"), {"greet": "once", "count": "once"}),
    ],
)
async def test_effects_are_what_the_team_file_grants_or_a_trusted_server_says(spec, effects):
    with anyio.fail_after(20):
        async with hub(server=spec) as servers:
            assert {name: (await tool(servers, f"server.{name}")).effect for name in effects} == effects


async def test_a_result_that_breaks_its_own_schema_is_an_error():
    with anyio.fail_after(20):
        async with hub(pipe=plain()) as servers:
            with pytest.raises(
                ToolError, match="mismatch returned something its own output schema"
            ) as raised:
                await call(servers, "pipe.mismatch")

    assert not isinstance(raised.value, ToolServerError)


async def test_results_are_shown_as_text_and_images():
    with anyio.fail_after(20):
        async with hub(pipe=plain(), here=in_process()) as servers:
            assert (await call(servers, "pipe.structured")).text == '{"n":7}'
            picture = await call(servers, "pipe.picture")
            assert (picture.text, picture.images) == ("a picture", (Image("aGk=", "image/jpeg"),))
            refused = await call(servers, "pipe.refuse")
            assert (refused.text, refused.is_error, refused.error_type) == ("no such file", True, "tool")
            assert (await call(servers, "pipe.mixed")).text == (
                "notes: file:///notes.txt\ninside\n[audio content that cannot be shown as text]"
            )
            assert (await call(servers, "here.greet", wrong=1)).is_error


async def test_the_environment_holds_what_the_team_file_gives_and_none_of_our_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    (tmp_path / "server.env").write_text(
        "\ufeff# a comment\nexport A=1\nB='two words'\n\nC=\"x=y\"\nD=it's\nnonsense\nSHARED=file\n"
    )
    spec = plain(envFile=str(tmp_path / "server.env"), env={"SHARED": "spec"}, cwd=str(tmp_path))
    with anyio.fail_after(20):
        async with hub(pipe=spec) as servers:
            environment = json.loads((await call(servers, "pipe.environment")).text)
            directory = (await call(servers, "pipe.directory")).text

    given = {name: environment.get(name) for name in ("A", "B", "C", "D", "SHARED")}
    assert given == {"A": "1", "B": "two words", "C": "x=y", "D": "it's", "SHARED": "spec"}
    assert "nonsense" not in environment
    assert "OPENAI_API_KEY" not in environment
    assert set(environment) - set(given) <= {
        "HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER", "HARNESS_TEST_MARK", "LC_CTYPE", "PWD",
    }  # fmt: skip
    assert Path(directory) == tmp_path


async def test_one_malformed_tool_does_not_hide_the_others_over_http(caplog: pytest.LogCaptureFixture):
    with anyio.fail_after(20), HandWritten([named("echo"), {"name": "no_schema"}]).serving() as url:
        async with hub(web=ServerSpec(url=url)) as servers:
            assert await names(servers, "web") == ["web.echo"]
            assert (await call(servers, "web.echo")).text == "call 1"
