"""Who gets in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from house import house

from harness.serve import ServeOptions
from harness.serve.guard import Rate

pytestmark = pytest.mark.anyio

PATHS = ["/runs", "/v1/models", "/runs/none", "/runs/none/events"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("sent", ["", "Bearer", "Bearer wrong", "Basic right", "Bearer righ", "right"])
async def test_without_one_of_the_tokens_nothing_is_told(tmp_path: Path, path: str, sent: str):
    async with house(tmp_path, options=ServeOptions(tokens=("right", "other"))) as served:
        reply = await served.ask("GET", path, headers={"Authorization": sent} if sent else {})

    assert reply.status == 401
    assert reply.headers["WWW-Authenticate"] == "Bearer"
    assert "right" not in str(reply.body)


@pytest.mark.parametrize("token", ["right", "other"])
async def test_each_token_opens_the_door(tmp_path: Path, token: str):
    async with house(tmp_path, options=ServeOptions(tokens=("right", "other")), token=token) as served:
        assert (await served.ask("GET", "/runs")).status == 200


async def test_probes_need_no_token(tmp_path: Path):
    async with house(tmp_path, options=ServeOptions(tokens=("right",))) as served:
        assert (await served.ask("GET", "/healthz")).status == 200
        assert (await served.ask("GET", "/readyz")).status == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "evil.example:80"}, 421),
        ({"Host": "127.0.0.1.evil.example"}, 421),
        ({"Host": ""}, 421),
        ({"Host": "localhost:1"}, 200),
        ({"Host": "LOCALHOST"}, 200),
        ({"Host": "[::1]:8321"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:3000"}, 200),
        ({"Origin": "http://[::1]:3000"}, 200),
    ],
)
async def test_a_page_elsewhere_cannot_reach_the_server_by_another_name(
    tmp_path: Path, headers: dict[str, str], status: int
):
    async with house(tmp_path) as served:
        for path in ("/runs", "/healthz"):
            assert (await served.ask("GET", path, headers=headers)).status == status


async def test_names_can_be_added_or_not_looked_at(tmp_path: Path):
    async with house(tmp_path, options=ServeOptions(allowed_hosts=("team.example",))) as served:
        assert (await served.ask("GET", "/runs", headers={"Host": "team.example"})).status == 200
        assert (await served.ask("GET", "/runs")).status == 421
    async with house(tmp_path, options=ServeOptions(allowed_hosts=None)) as served:
        assert (await served.ask("GET", "/runs", headers={"Host": "anything"})).status == 200


async def test_a_body_beyond_the_limit_is_refused_however_it_is_sent(tmp_path: Path):
    async def drip() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b"x" * 200

    async with house(tmp_path, options=ServeOptions(body_limit=1000)) as served:
        declared = await served.ask("POST", "/runs", data=b"x" * 2000)
        chunked = await served.ask("POST", "/runs", data=drip())
        chat = await served.ask("POST", "/v1/chat/completions", data=b"x" * 2000)
        small = await served.ask("POST", "/runs", json={"task": "x"})

    assert [declared.status, chunked.status, chat.status, small.status] == [413, 413, 413, 202]
    assert "1,000 bytes" in declared.body["error"]["message"]
    assert chat.body["error"]["type"] == "invalid_request_error"


async def test_too_many_requests_are_told_when_to_come_back(tmp_path: Path):
    async with house(tmp_path, options=ServeOptions(requests_per_minute=3)) as served:
        statuses = [(await served.ask("GET", "/runs")).status for _ in range(4)]
        refused = await served.ask("GET", "/v1/models")
        probe = await served.ask("GET", "/healthz")

    assert statuses == [200, 200, 200, 429]
    assert refused.status == 429
    assert 1 <= int(refused.headers["Retry-After"]) <= 20
    assert refused.body["error"]["type"] == "rate_limit_error"
    assert probe.status == 200


async def test_each_token_has_a_rate_of_its_own(tmp_path: Path):
    options = ServeOptions(tokens=("a", "b"), requests_per_minute=1)
    async with house(tmp_path, options=options) as served:
        statuses = [
            (await served.ask("GET", "/runs", headers={"Authorization": f"Bearer {token}"})).status
            for token in "abab"
        ]

    assert statuses == [200, 200, 429, 429]


async def test_wrong_tokens_cannot_be_tried_for_ever(tmp_path: Path):
    async with house(tmp_path, options=ServeOptions(tokens=("right",), requests_per_minute=2)) as served:
        tries = [
            (await served.ask("GET", "/runs", headers={"Authorization": f"Bearer {guess}"})).status
            for guess in ("a", "b", "c", "right")
        ]

    assert tries == [401, 401, 429, 200]


def test_a_rate_fills_up_again_with_time():
    now = 0.0
    rate = Rate(2, clock=lambda: now)

    assert [rate.take("c"), rate.take("c")] == [0, 0]
    wait = rate.take("c")
    assert wait == 30
    now += wait
    assert rate.take("c") == 0
    assert rate.take("c") > 0
    assert rate.take("other") == 0
