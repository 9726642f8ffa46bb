"""A hostile tool says its secret in every form; it turns up nowhere."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

import harness
from harness import FunctionToolset, ToolError, calls, says, scripted
from harness.redaction import REDACTED, Redactor
from harness.team import parse_team

SERVER = Path(__file__).parent / "tracing_server.py"
SECRET = "Zx9+canary/value?71&secret"
ARGUMENT = "qV7-argument-canary-88"


def forms(secret: str) -> list[bytes]:
    encoded = secret.encode()
    found = [encoded, encoded.hex().encode(), encoded.hex().upper().encode()]
    for before in range(3):
        text = base64.b64encode(b"\0" * before + encoded)
        found.append(text[4 : (before + len(encoded)) // 3 * 4])
        found.append(found[-1].replace(b"+", b"-").replace(b"/", b"_"))
    return [*found, b"canary%2Fvalue"]


def test_a_secret_turns_up_nowhere(tmp_path: Path):
    leaks = [{"calls": [{"tool": f"traced.{tool}"}]} for tool in ("leak", "long_leak", "fail")]
    team = {
        "harness": 1,
        "name": "leaky",
        "entry": "lead",
        "models": {"default": {"api": "scripted", "script": [*leaks, {"say": "Done."}]}},
        "mcpServers": {
            "traced": {
                "command": sys.executable,
                "args": [str(SERVER), str(tmp_path / "servers.jsonl")],
                "env": {"SERVICE_TOKEN": "${SERVICE_TOKEN}"},
            },
            "broken": {
                "command": sys.executable,
                "args": ["-c", "import os, sys; sys.exit(os.environ['TOKEN'])"],
                "env": {"TOKEN": ARGUMENT},
                "required": False,
            },
            "url": {"url": f"http://127.0.0.1:9/mcp?api_key={ARGUMENT}", "required": False},
        },
        "agents": {"lead": {"instructions": "Lead.", "tools": ["traced", "broken", "url"]}},
    }
    (tmp_path / "team.yaml").write_text(json.dumps(team))
    trace = tmp_path / "trace.jsonl"
    environment = {
        **os.environ,
        "SERVICE_TOKEN": SECRET,
        "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "full",
        "PYTHONWARNINGS": "ignore",
    }

    def harness(*arguments: str) -> bytes:
        done = subprocess.run(
            [sys.executable, "-m", "harness", *arguments, "--store", str(tmp_path / "runs")],
            env=environment,
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout + done.stderr

    printed = harness("run", str(tmp_path / "team.yaml"), f"Use {SECRET}.", "--trace", str(trace))
    printed += harness("show", "last", "--windows", "--json")
    printed += harness("trace", "export", "last", "--content", "full")
    environment.pop("SERVICE_TOKEN")
    printed += harness("replay", "last")
    files = [file.read_bytes() for file in (tmp_path / "runs").rglob("*") if file.is_file()]

    for written in (printed, trace.read_bytes(), *files):
        assert [form for form in forms(SECRET) if form in written] == []
        assert ARGUMENT.encode() not in written
    assert printed.count(REDACTED.encode()) > 20


@pytest.mark.parametrize(
    "key",
    [
        "sk-proj-abcdefghijklmnopqrstuvwx",
        "ghp_0123456789abcdefghijklmnopqrstuvwxyz",
        "AKIAIOSFODNN7EXAMPLE",
        "xoxb-123456789012-abcdef",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJlLi4u",
        "AIzaSyA-0123456789abcdefghijklmnopqrstu",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----",
    ],
)
def test_keys_of_well_known_kinds_are_redacted_whoever_they_belong_to(key: str):
    assert Redactor().text(f"before {key} after") == f"before {REDACTED} after"
    assert Redactor().text(f'{{"key": "{key}"}}') == f'{{"key": "{REDACTED}"}}'


@pytest.mark.parametrize(
    "text",
    [
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "20261125-063042-0123456789",
        "550e8400-e29b-41d4-a716-446655440000",
        "risk-averse task-oriented desk-bound people, sk-learn",
        "lead/researcher-1/turn-2/0",
        "The bearer of this letter",
        "password localhost disabled",
    ],
)
def test_ordinary_text_stays_the_same_object(text: str):
    assert Redactor(["password", "12345", "localhost"]).text(text) is text


def test_json_without_secrets_is_the_same_object():
    value = {"a": ["x", 1, None], "b": {"c": "y"}}

    assert Redactor(["a-very-secret-value"]).json(value) is value
    assert Redactor(["a-very-secret-value"]).json({"a-very-secret-value": ["a-very-secret-value"]}) == {
        REDACTED: [REDACTED]
    }


def test_what_a_team_hides_is_what_was_used_as_a_key(tmp_path: Path):
    text = """\
harness: 1
name: t
entry: a
models:
  default: {api: openai-chat, model: "${MODEL}", base_url: "${BASE}", api_key: "${KEY}"}
mcpServers:
  db: {command: tool, args: ["--dsn", "postgres://me:pa55word-canary@db/x", "--api-key", "Kq81-literal-key", "${WHERE}"],
       env: {ODD: "${ODD}", HOME_DIR: "${HOME_DIR}"}}
agents:
  a: {instructions: "${TONE}", tools: [db]}
"""
    environment = {
        "MODEL": "qwen3-coder-480b",
        "BASE": "http://127.0.0.1:1/v1?token=tkn-98765432",
        "KEY": "not-so-random-key",
        "WHERE": "/srv/data/things",
        "ODD": "a1b2c3d4e5f6",
        "HOME_DIR": "/home/somebody",
        "TONE": "Be very friendly 24x7",
    }
    team = parse_team(text, base=tmp_path, environment=environment)

    assert team.hidden == {
        "not-so-random-key",
        "tkn-98765432",
        "a1b2c3d4e5f6",
        "pa55word-canary",
        "Kq81-literal-key",
    }
    assert re.findall("canary|Kq81", json.dumps(dict(team.source))) == []


def test_a_value_that_stands_in_another_one_does_not_hide_part_of_it_only():
    redactor = Redactor(["abcd-1234", "abcd-1234-efgh-5678"])

    assert redactor.text("x abcd-1234-efgh-5678 y abcd-1234 z") == f"x {REDACTED} y {REDACTED} z"


@pytest.mark.anyio
async def test_no_model_sees_what_a_tool_says_of_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MODEL_KEY", SECRET)
    (tmp_path / "team.yaml").write_text(
        "harness: 1\nname: t\nentry: lead\n"
        "models: {default: {api: openai-chat, model: m, base_url: 'http://127.0.0.1:9', api_key: '${MODEL_KEY}'}}\n"
        "agents: {lead: {instructions: Lead., tools: [desk]}}\n"
    )

    def leak() -> str:
        return f"it is {SECRET}"

    def fail() -> str:
        raise ToolError(f"no: {SECRET.encode().hex()}")

    lead = scripted(calls("desk.leak"), calls("desk.fail"), says(f"It is {SECRET}."))
    toolsets = [FunctionToolset("desk", leak, fail)]
    with anyio.fail_after(20):
        async with harness.open(
            tmp_path / "team.yaml", store=":memory:", models={"lead": lead}, toolsets=toolsets
        ) as opened:
            result = await opened.run(f"Find {SECRET}.")

    seen = "\n".join(str(message) for request in lead.requests for message in request)
    assert [form for form in forms(SECRET) if form.decode() in seen] == []
    assert f"it is {REDACTED}" in seen
    assert f"no: {REDACTED}" in seen
    assert result.output == f"It is {REDACTED}."
