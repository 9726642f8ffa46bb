"""The command line as a person sees it: whole processes, their output and exit codes."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from inline_snapshot import snapshot

from harness import Message, ScriptedModel, run_sync
from harness.messages import Reasoning, Text

ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")

TEAM = """\
harness: 1
name: pair
entry: lead
models:
  lead:
    api: scripted
    script:
      - calls: [{tool: delegate, arguments: {agent: scout, objective: Find X., expected_output: A line., sources: "", boundaries: ""}}]
      - {say: X is at line 4.}
  scout: {api: scripted, script: [{say: Line 4.}]}
agents:
  lead: {instructions: Lead., model: lead, delegates: [scout]}
  scout: {instructions: Scout., model: scout}
"""


def harness(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user would."""
    return subprocess.run(
        [sys.executable, "-m", "harness", *arguments],
        cwd=cwd,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "100", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "team.yaml").write_text(TEAM)
    return tmp_path


def test_the_answer_goes_to_stdout_and_progress_to_stderr(folder: Path):
    done = harness("run", "team.yaml", "Where is X?", cwd=folder)

    assert (done.returncode, done.stdout) == (0, "X is at line 4.\n")
    progress = re.sub(r"\d{8}-\d{6}-[0-9a-f]{10}", "ID", done.stderr)
    assert re.sub(r"[\d,]+ tokens", "N tokens", progress) == snapshot("""\
lead/scout-1: Find X.
lead/scout-1: done, 0 quotes
run ID: done, 3 model calls, about N tokens, $0.00 (harness show ID)
""")


def test_json_prints_one_event_per_line_and_the_result_last(folder: Path):
    done = harness("run", "team.yaml", "Where is X?", "--json", cwd=folder)
    events = [json.loads(line) for line in done.stdout.splitlines()]

    assert [event["sequence"] for event in events] == list(range(len(events)))
    assert events[0]["type"] == "run.started"
    last = events[-1]
    assert {name: last[name] for name in ("type", "stop_reason", "output", "citations", "cost")} == {
        "type": "run.finished",
        "stop_reason": "done",
        "output": "X is at line 4.",
        "citations": [],
        "cost": 0.0,
    }
    assert last["run_id"]
    assert last["usage"]["calls"] == 3
    assert {event["agent"] for event in events if "agent" in event} == {"lead", "lead/scout-1"}


def test_a_task_can_be_piped_in(folder: Path):
    done = subprocess.run(
        [sys.executable, "-m", "harness", "run", "team.yaml", "-q"],
        cwd=folder,
        input="Where is X?",
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (done.returncode, done.stdout) == (0, "X is at line 4.\n")


def test_runs_and_show_tell_what_happened(folder: Path):
    harness("run", "team.yaml", "Where is X?", cwd=folder)

    listed = harness("runs", cwd=folder).stdout
    shown = harness("show", "last", "--windows", cwd=folder).stdout

    assert re.search(r"done\s+pair\s+[\d,]+ tokens\s+Where is X\?", listed)
    assert "task: Where is X?" in shown
    assert "lead (scripted): done, 2 turns" in shown
    assert re.search(r"scout-1 \(scripted\): done, 1 turn,", shown)
    assert re.search(r"window of lead/scout-1, in tokens\nTURN +TOTAL +", shown)
    assert shown.rstrip().endswith("X is at line 4.")


def test_show_takes_a_unique_start_of_an_id_and_names_what_it_does_not_know(folder: Path):
    harness("run", "team.yaml", "Where is X?", cwd=folder)
    run_id = json.loads(harness("runs", "--json", cwd=folder).stdout)["run_id"]

    assert harness("show", run_id[:-2], cwd=folder).returncode == 0
    unknown = harness("show", "nothing-like-it", cwd=folder)
    assert unknown.returncode == 2
    assert unknown.stderr.startswith("error: ")
    assert "Traceback" not in unknown.stderr


def test_a_limit_ends_the_run_with_exit_code_4(folder: Path):
    done = harness("run", "team.yaml", "Where is X?", "--set", "limits.turns=1", cwd=folder)

    assert done.returncode == 4
    assert "the turns limit of the run is reached" in done.stderr


def test_a_model_that_cannot_be_reached_fails_the_run_with_exit_code_3(folder: Path):
    model = "{api: openai-chat, base_url: 'http://127.0.0.1:9/v1', model: m, retries: 0}"
    done = harness("run", "team.yaml", "Where is X?", "--set", f"models.lead={model}", cwd=folder)

    assert done.returncode == 3
    assert "127.0.0.1:9" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "nowhere.yaml", "x"), "nowhere.yaml"),
        (("run", "team.yaml", " "), "the task is empty"),
        (("run", "team.yaml"), "the task is empty"),
        (("check", "team.yaml", "--set", "agents.lead.modle=x"), "did you mean 'model'?"),
        (("check", "team.yaml", "--set", "nonsense"), "--set"),
        (("tools", "team.yaml", "--call", "a.b", "{"), "not valid JSON"),
        (("runs", "--store", "empty"), "no runs here yet"),
        (("run", "team.yaml", "x", "--image", "team.yaml"), "not an image"),
    ],
)
def test_wrong_use_gets_one_clear_message_and_exit_code_2(
    folder: Path, arguments: tuple[str, ...], said: str
):
    done = harness(*arguments, cwd=folder)

    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_init_writes_a_team_that_runs_at_once_and_never_overwrites(tmp_path: Path):
    (tmp_path / "notes.md").write_text(
        "# Tides\n\nTides are caused by the gravity of the moon and the sun.\n"
    )

    assert harness("init", cwd=tmp_path).returncode == 0
    assert harness("check", "team.yaml", cwd=tmp_path).returncode == 0
    again = harness("init", cwd=tmp_path)
    assert (again.returncode, "nothing was written" in again.stderr) == (2, True)
    done = harness("run", "team.yaml", "What causes the tides?", cwd=tmp_path)

    assert done.returncode == 0
    assert "gravity of the moon" in done.stdout
    assert "notes.md:3" in done.stdout
    assert "not a language model" in done.stderr


def test_terminal_sequences_in_what_a_model_says_are_spelled_out(folder: Path):
    evil = '{api: scripted, script: [{say: "a\\u001b]0;owned\\u0007b\\u202ec\\u009b31m"}]}'
    done = harness("run", "team.yaml", "x", "--set", f"models.lead={evil}", cwd=folder)
    as_json = harness("run", "team.yaml", "x", "--json", "--set", f"models.lead={evil}", cwd=folder)

    assert done.stdout == "a\\u001b]0;owned\\u0007b\\u202ec\\u009b31m\n"
    assert not set(as_json.stdout) & {"\x1b", "\x07", "\x9b"}


def test_trace_writes_spans_of_every_agent(folder: Path):
    harness("run", "team.yaml", "Where is X?", "--trace", "trace.jsonl", cwd=folder)

    lines = [json.loads(line) for line in (folder / "trace.jsonl").read_text().splitlines()]
    spans = [
        span
        for line in lines
        for resource in line["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]
    assert {span["name"] for span in spans} >= {
        "invoke_workflow pair",
        "invoke_agent lead",
        "invoke_agent scout",
    }
    assert len({span["traceId"] for span in spans}) == 1


def test_help_teaches_every_command(tmp_path: Path):
    text = harness("--help", cwd=tmp_path).stdout

    for command in ("run", "check", "schema", "init", "tools", "runs", "show", "doctor"):
        assert re.search(rf"\b{command}\b", text)
        assert harness(command, "--help", cwd=tmp_path).returncode == 0


def test_schema_is_json_and_doctor_finds_this_machine_fit(tmp_path: Path):
    assert json.loads(harness("schema", cwd=tmp_path).stdout)["type"] == "object"
    examined = harness("doctor", "--json", cwd=tmp_path)
    assert {finding["subject"] for finding in json.loads(examined.stdout)} >= {
        "python",
        "sqlite",
        "store",
        "agents",
    }
    assert examined.returncode == 0


SLOW_SERVER = """\
import anyio
from mcp.server.mcpserver import MCPServer


def create(*, base=None, **options):
    server = MCPServer("slow", log_level="ERROR")

    @server.tool()
    async def wait() -> str:
        await anyio.sleep(60)
        return "done"

    return server
"""

WAITING = """\
harness: 1
name: waiting
entry: lead
models:
  default: {api: scripted, script: [{calls: [{tool: slow.wait}]}]}
mcpServers:
  slow: {module: slow_server}
agents:
  lead: {instructions: Wait., tools: [slow]}
"""


def test_ctrl_c_stops_cleanly_and_leaves_a_consistent_journal(tmp_path: Path):
    (tmp_path / "slow_server.py").write_text(SLOW_SERVER)
    (tmp_path / "team.yaml").write_text(WAITING)
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", "run", "team.yaml", "go", "--json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if "tool_call.started" in line:
            break
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=20)

    last = json.loads((lines + rest.splitlines())[-1])
    assert (process.returncode, last["type"], last["stop_reason"]) == (130, "run.finished", "interrupted")
    assert "Traceback" not in errors
    shown = harness("show", "last", "--json", cwd=tmp_path)
    assert json.loads(shown.stdout.splitlines()[-1])["stop_reason"] == "interrupted"


def test_on_a_terminal_a_live_tree_shows_the_agents(folder: Path):
    main, secondary = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", "run", "team.yaml", "Where is X?"],
        cwd=folder,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=secondary,
    )
    os.close(secondary)
    seen = b""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        ready, _, _ = select.select([main], [], [], 0.1)
        if ready:
            try:
                seen += os.read(main, 65536)
            except OSError:
                break
        elif process.poll() is not None:
            break
    os.close(main)
    assert process.stdout is not None
    answer = process.stdout.read()
    process.stdout.close()

    assert (process.wait(timeout=10), answer) == (0, b"X is at line 4.\n")
    text = ANSI.sub("", seen.decode())
    assert "lead · 2 turns" in text
    assert "scout-1 · 1 turn" in text


def test_diagnose_tells_what_is_wrong_and_fails_only_for_what_is_new(folder: Path):
    harness("run", "team.yaml", "Where is X?", cwd=folder)
    (folder / "order.txt").write_text("# nobody calls it\nat least 1 call of corpus.read\n")

    clean = harness("diagnose", "last", "--fail-on", "warning", cwd=folder)
    broken = harness(
        "diagnose",
        "last",
        "--order",
        "order.txt",
        "--fail-on",
        "error",
        "--write-baseline",
        "known.json",
        cwd=folder,
    )
    known = harness(
        "diagnose",
        "last",
        "--order",
        "order.txt",
        "--fail-on",
        "error",
        "--baseline",
        "known.json",
        cwd=folder,
    )

    assert (clean.returncode, "order-contract" in clean.stdout) == (0, False)
    assert (broken.returncode, "`at least 1 call of corpus.read` is broken" in broken.stdout) == (1, True)
    assert (known.returncode, "order-contract (known)" in known.stdout) == (0, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ("no-such.json",),
        ("last", "--fail-on", "bad"),
        ("last", "--baseline", "none.json"),
        ("last", "--detector", "lop"),
        ("last", "--live"),
        ("last", "--finding", "3f2a"),
        ("last", "--confirm", "--finding", "3f2a"),
        ("last", "--confirm", "--fail-on", "error"),
        ("last", "--confirm", "--detector", "lop"),
        ("none", "--confirm"),
        ("no-such.json", "--confirm"),
    ],
)
def test_diagnose_says_what_it_cannot_read(folder: Path, arguments: tuple[str, ...]):
    harness("run", "team.yaml", "Where is X?", cwd=folder)

    refused = harness("diagnose", *arguments, cwd=folder)

    assert refused.returncode == 2
    assert refused.stderr.startswith("error: ")
    assert "Traceback" not in refused.stderr


THINKERS = """\
harness: 1
name: thinkers
entry: lead
models:
  default: {api: openai-chat, model: gpt-5, base_url: "http://127.0.0.1:1/v1"}
  own: {api: openai-chat, dialect: vllm, model: qwen3-8b, base_url: "http://127.0.0.1:1/v1"}
thinking: {mode: on, effort: low}
agents:
  lead:
    instructions: Lead.
    delegates: [scout]
    thinking: {budget: 4k}
  scout: {description: Finds., instructions: Scout., model: own, thinking: {mode: auto, budget: 4k}}
"""


@pytest.mark.parametrize("command", [("check", "team.yaml"), ("run", "team.yaml", "Where is X?")])
def test_thinking_that_a_model_cannot_express_is_refused_where_it_stands(
    tmp_path: Path, command: tuple[str, ...]
):
    (tmp_path / "team.yaml").write_text(THINKERS)

    refused = harness(*command, cwd=tmp_path)

    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == snapshot("""\
error: team.yaml:12:5: the model gpt-5 of agent lead cannot do this: OpenAI Chat has no budget in tokens, only an effort
  12 |     thinking: {budget: 4k}
     |     ^
  hint: set allow_degraded: true to do what comes nearest
""")
    assert not (tmp_path / ".harness").exists()


def test_check_says_what_each_endpoint_will_do_about_thinking(tmp_path: Path):
    (tmp_path / "team.yaml").write_text(
        THINKERS.replace("{budget: 4k}", "{budget: 4k, allow_degraded: true}")
    )

    fine = harness("check", "team.yaml", cwd=tmp_path)

    assert fine.stdout == snapshot("""\
team.yaml: the team thinkers is fine: 2 agents, entry lead
  lead -> scout
    thinking: on, low, at most 4,000 tokens: soft, OpenAI Chat has no budget in tokens, only an effort
  scout
    thinking: auto, at most 4,000 tokens: hard, thinking_token_budget, where the server has a reasoning parser; where that does not hold, the harness ends it
  model default: gpt-5 (openai): 400,000 tokens, price unknown
  model own: qwen3-8b (vllm): 40,960 tokens, price unknown
""")


@pytest.mark.parametrize(
    ("visible", "shown"),
    [
        ("hidden", ""),
        ("summary", "     Where was it? It was here."),
        ("full", "     Where was it?\n     It was here."),
    ],
)
def test_show_tells_how_much_was_thought_and_what_as_the_team_says(tmp_path: Path, visible: str, shown: str):
    team = THINKERS.replace("{budget: 4k}", f"{{mode: auto, budget: 4k, visible: {visible}}}")
    (tmp_path / "team.yaml").write_text(team)
    reply = Message("assistant", (Reasoning("Where was it?\nIt was here."), Text("It is at 4.")))
    result = run_sync(
        tmp_path / "team.yaml", "Where?", store=tmp_path / ".harness", models={"lead": ScriptedModel(reply)}
    )

    told = harness("show", result.run_id, cwd=tmp_path).stdout

    assert re.search(r"  1\. thinking on, \d+ tokens of 4,000, ignored: planning\n", told)
    assert ("Where was it?" in told) is (visible != "hidden")
    assert shown in told
