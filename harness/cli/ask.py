"""Asking the person at the terminal what a run wants to know."""

from __future__ import annotations

import getpass
import os
import sys
from typing import Any

import anyio.to_thread
import orjson

from harness.cli.terminal import plain
from harness.errors import UsageError
from harness.events import ApprovalRequested
from harness.harness import Harness
from harness.run import Run

LATER = "answer later with: harness approve {run} {key}"


def somebody_is_there() -> bool:
    """Return whether questions can be asked at a terminal."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def somebody() -> str:
    """Return who sits here, for the record."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return os.environ.get("USER", "")


async def ask(harness: Harness, run: Run, question: ApprovalRequested) -> None:
    """Put a question and pass the answer on; the answer may also be: later."""
    _say(describe_question(question))
    while True:
        said = await anyio.to_thread.run_sync(_read, _choices(question), abandon_on_cancel=True)
        if said in ("l", "later", ""):
            _say(LATER.format(run=run.id, key=question.key))
            run.be_patient(patient=False)
            return
        try:
            reply = await anyio.to_thread.run_sync(_reply, question, said, abandon_on_cancel=True)
            if reply is not None:
                await harness.approve(run.id, question.key, by=somebody(), **reply)
                return
        except UsageError as error:
            _say(str(error))


def describe_question(question: ApprovalRequested) -> str:
    """Return a question in words."""
    verb = {
        "permission": "wants to call",
        "in_doubt": "was calling, and it is not known whether it took effect:",
        "elicitation": "is asked by",
    }[question.kind]
    lines = [f"{question.agent} {verb} {question.tool}", f"  {question.arguments}"]
    if question.message:
        lines.append(f"  {question.message}")
    return plain("\n".join(lines))


def _choices(question: ApprovalRequested) -> str:
    match question.kind:
        case "permission":
            return "run it? [y]es, [n]o, [e]dit the arguments, [l]ater: "
        case "in_doubt":
            return "did it happen? [y]es, [n]o, [l]ater: "
        case "elicitation":
            return "answer it? [y]es, [n]o, [l]ater: "


def _reply(question: ApprovalRequested, said: str) -> dict[str, Any] | None:
    """Return what to approve with, or None to be asked again."""
    yes = said in ("y", "yes")
    if not yes and said not in ("n", "no", "e", "edit"):
        return None
    if question.kind == "in_doubt":
        return {"happened": yes}
    if question.kind == "elicitation" and yes:
        return {"content": _fill_in(question)}
    if said in ("e", "edit") and question.kind == "permission":
        return {"arguments": _read("arguments as JSON: ", fold=False)}
    return {"allow": yes}


def _fill_in(question: ApprovalRequested) -> dict[str, Any]:
    content: dict[str, Any] = {}
    properties: dict[str, dict[str, Any]] = dict((question.form or {}).get("properties") or {})
    for name, schema in properties.items():
        title = str(schema.get("description") or schema.get("title") or name)
        text = _read(f"{plain(title)} ({schema.get('type', 'text')}): ", fold=False)
        if text:
            content[name] = text if schema.get("type", "string") == "string" else _parsed(text)
    return content


def _parsed(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def _read(prompt: str, *, fold: bool = True) -> str:
    sys.stderr.write(prompt)
    sys.stderr.flush()
    line = sys.stdin.readline().strip()
    return line.lower() if fold else line


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
