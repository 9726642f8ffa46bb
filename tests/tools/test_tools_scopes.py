"""Who shares an instance of a server: every run, the agents of one run, or nobody."""

from __future__ import annotations

from contextlib import AsyncExitStack

import anyio
import pytest
from servers_in_use import CONTEXT, SERVERS, in_process, plain

from harness.adapters import ToolServers
from harness.errors import RequiredServerFailed
from harness.team import ServerSpec

pytestmark = pytest.mark.anyio


async def counts(scope: str) -> list[int]:
    """Greet once as each of two agents in each of two runs; return what each instance has counted."""
    spec = {"s": in_process(scope=scope)}
    seen: list[int] = []
    async with AsyncExitStack() as stack:
        servers = ToolServers(spec, SERVERS)
        await stack.enter_async_context(servers.opened())
        for _ in range(2):
            run = await stack.enter_async_context(servers.run_tools())
            for agent in ("lead", "lead/scout-1"):
                tools = await stack.enter_async_context(run(["s"], agent=agent, emit=lambda event: None))
                by_name = {tool.definition.name: tool for tool in tools}
                await by_name["s.greet"].invoke({"name": agent}, CONTEXT)
                seen.append(int((await by_name["s.count"].invoke({}, CONTEXT)).text))
    return seen


@pytest.mark.parametrize(
    ("scope", "expected"), [("shared", [1, 2, 3, 4]), ("run", [1, 2, 1, 2]), ("agent", [1, 1, 1, 1])]
)
async def test_a_scope_says_who_shares_an_instance(scope: str, expected: list[int]):
    with anyio.fail_after(20):
        assert await counts(scope) == expected


async def test_servers_of_all_scopes_serve_one_agent_and_end_with_it():
    specs = {scope: plain(scope=scope) for scope in ("shared", "run", "agent")}
    with anyio.fail_after(20):
        servers = ToolServers(specs, SERVERS)
        async with (
            servers.opened(),
            servers.run_tools() as run,
            run(["*.pid"], agent="lead", emit=lambda event: None) as tools,
        ):
            pids = [(await tool.invoke({}, CONTEXT)).text for tool in tools]

    assert [tool.definition.name for tool in tools] == ["shared.pid", "run.pid", "agent.pid"]
    assert len(set(pids)) == 3


async def test_a_required_server_of_an_agents_own_fails_by_its_name():
    servers = ToolServers({"s": ServerSpec(command="no-such-program", scope="agent")}, SERVERS)
    with anyio.fail_after(20):
        async with servers.opened(), servers.run_tools() as run:
            with pytest.raises(RequiredServerFailed, match="no-such-program"):
                async with run(["s"], agent="lead", emit=lambda event: None):
                    pass
