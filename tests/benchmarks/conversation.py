"""What the model server says next, and whether what it was told makes sense.

A request is read twice in principle (once to check it, once to answer it) but parsed once, and of a
conversation that merely grew only the new messages are parsed: the server keeps the bytes it has
checked, compares them with the new body, and parses the difference. Where that comparison fails for
any reason the whole body is parsed, so the short cut can change the cost and never the verdict.

The words of a script, found anywhere in the first system or user text that has one:

    SCRIPT: turns=N tool=echo latency=MS kb=1     call the tool once a turn, N times, then `DONE N`
    SCRIPT: delegate=K turns=N tool=echo          call `delegate` K times at once, then `DONE K`
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import orjson

MARK = "SCRIPT:"
BLOB = "0123456789abcdef" * 64
"""One KiB, as the `blob` tool returns it."""
_PADDING = "x" * 40
_ANSWERS = b'"tool_call_id":"'
_ID_LENGTH = len("call_") + 24


@dataclass(frozen=True, slots=True)
class Script:
    """What the model is to do, as the task spells it."""

    turns: int = 0
    tool: str = "echo"
    latency: float = 0.0
    """Milliseconds from request to reply."""
    kb: int = 1
    delegate: int = 0
    """How many sub-agents to call at once; 0 for an agent that works itself."""
    sub: str = ""
    """The number of the sub-agent, empty for the agent that got the task."""

    @classmethod
    def read(cls, text: str) -> Script | None:
        """Return the script in `text`, or None if it holds none."""
        _, found, rest = text.partition(MARK)
        if not found:
            return None
        line = rest.partition("\n")[0].partition('"')[0]
        words = dict(word.split("=", 1) for word in line.split() if "=" in word)
        return cls(
            turns=int(words.get("turns", 0)),
            tool=words.get("tool", "echo"),
            latency=float(words.get("latency", 0)),
            kb=int(words.get("kb", 1)),
            delegate=int(words.get("delegate", 0)),
            sub=words.get("sub", ""),
        )

    def answer(self, results: int) -> str:
        """Return the last words of an agent that got so many tool results."""
        return f"DONE {results}" + (f" sub={self.sub}" if self.sub else "")

    def for_sub_agent(self, number: int) -> str:
        """Return the text that makes a sub-agent do its share."""
        return (
            f"{MARK} turns={self.turns} tool={self.tool} latency={self.latency:g} kb={self.kb} sub={number}"
        )


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call of a reply."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model says: text, or calls."""

    text: str | None
    calls: tuple[Call, ...]
    latency: float
    """Seconds."""
    stream: bool
    include_usage: bool
    model: str


@dataclass(frozen=True, slots=True)
class Expected:
    """The answer one tool call must get."""

    id: str
    text: str | None = None
    """None where nothing is known about it."""
    whole: bool = True
    """Whether `text` is all of it; a sub-agent's report may say more."""

    def met_by(self, text: str) -> bool:
        """Return whether `text` will do."""
        return self.text is None or (text == self.text if self.whole else self.text in text)


@dataclass(slots=True)
class Conversation:
    """One conversation as far as it has been checked."""

    complain: Callable[[str], None]
    script: Script | None = None
    results: int = 0
    messages: int = 0
    waiting: list[Expected] = field(default_factory=list["Expected"])
    """What the calls of the last assistant message must bring, in their order."""
    answered: int = 0
    request: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The request without its messages."""
    checked: bytes = b""
    """The body up to and including its last message; empty if that place is unknown."""
    rest: bytes = b""
    """What follows the last message."""

    def check(self, messages: Sequence[Mapping[str, Any]]) -> None:
        """Take in new messages, complaining about each thing that no provider would accept."""
        for message in messages:
            role = message.get("role")
            if role == "tool":
                self._check_result(message)
            elif role == "assistant":
                self._check_all_answered("an assistant message")
                self.waiting = [self._expect(call) for call in message.get("tool_calls") or ()]
                self.answered = 0
                if not self.waiting and not message.get("content"):
                    self.complain("an assistant message with neither text nor tool calls")
            elif role in ("system", "user", "developer"):
                self._check_all_answered(f"a {role} message")
                if self.script is None:
                    self.script = Script.read(text_of(message.get("content")))
            else:
                self.complain(f"unknown role {role!r}")
        self.messages += len(messages)

    def finish_check(self) -> None:
        """Check what must hold when the model is asked to speak."""
        self._check_all_answered("the next reply")
        if self.script is None:
            self.complain("no SCRIPT in any system or user message")

    def _check_result(self, message: Mapping[str, Any]) -> None:
        identifier, text = message.get("tool_call_id"), text_of(message.get("content"))
        self.results += 1
        if self.answered >= len(self.waiting):
            self.complain(f"a tool message for {identifier!r}, which nothing is waiting for")
            return
        expected = self.waiting[self.answered]
        self.answered += 1
        if identifier != expected.id:
            self.complain(f"tool message for {identifier!r} where {expected.id!r} is due")
        elif not expected.met_by(text):
            self.complain(f"result of {identifier} is {text[:80]!r}, not {expected.text!r:.80}")

    def _check_all_answered(self, before: str) -> None:
        missing = len(self.waiting) - self.answered
        if missing:
            self.complain(f"{missing} tool calls unanswered before {before}")
        self.waiting, self.answered = [], 0

    def _expect(self, call: Mapping[str, Any]) -> Expected:
        """Return what must answer `call`."""
        identifier = call.get("id")
        function = call.get("function") or {}
        if call.get("type") != "function" or not isinstance(identifier, str) or not identifier:
            self.complain(f"a tool call that is none: {call!r:.120}")
            return Expected("")
        try:
            arguments = orjson.loads(function["arguments"])
        except (KeyError, TypeError, orjson.JSONDecodeError):
            self.complain(f"arguments of {identifier} are no JSON text")
            return Expected(identifier)
        name = str(function.get("name"))
        if name.endswith("echo"):
            return Expected(identifier, arguments.get("text"))
        if name.endswith("blob"):
            return Expected(identifier, BLOB * arguments.get("kb", 1))
        brief = Script.read(function["arguments"]) if name.endswith("delegate") else None
        return Expected(identifier, brief.answer(brief.turns) if brief else None, whole=False)


class Conversations:
    """All open conversations, by the last tool call each waits for."""

    def __init__(self, complain: Callable[[str], None]) -> None:
        self._complain = complain
        self._open: dict[str, Conversation] = {}
        self._numbers = count(1)

    def answer(self, body: bytes) -> tuple[Reply, Conversation]:
        """Check one request and return what the model says to it.

        Raises:
            ValueError: The body is not a chat completion request at all.
        """
        conversation = self._grown(body) or self._whole(body)
        conversation.finish_check()
        reply = self._decide(conversation)
        if reply.calls:
            self._open[reply.calls[-1].id] = conversation
        return reply, conversation

    def _grown(self, body: bytes) -> Conversation | None:
        """Return the conversation this body continues, having checked only what is new."""
        at = body.rfind(_ANSWERS)
        if at < 0:
            return None
        at += len(_ANSWERS)
        known = self._open.pop(body[at : at + _ID_LENGTH].decode("ascii", "replace"), None)
        if known is None or not known.checked:
            return None
        if not (body.startswith(known.checked) and body.endswith(known.rest)):
            return None
        end = len(body) - len(known.rest)
        try:
            _, *new = orjson.loads(b"".join((b"[0", body[len(known.checked) : end], b"]")))
        except orjson.JSONDecodeError:
            return None
        known.check(new)
        known.checked = body[:end]
        return known

    def _whole(self, body: bytes) -> Conversation:
        """Return the conversation of a body parsed from its first byte to its last."""
        request = orjson.loads(body)
        messages = request.pop("messages", None) if isinstance(request, dict) else None
        if not isinstance(messages, list) or not messages or not isinstance(request.get("model"), str):
            raise ValueError("a chat completion request needs a model and messages")
        conversation = Conversation(self._complain, request=request)
        conversation.check(messages)
        last = orjson.dumps(messages[-1])
        at = body.rfind(last)
        if at >= 0 and body[at + len(last) : at + len(last) + 1] == b"]":
            conversation.checked = body[: at + len(last)]
            conversation.rest = body[at + len(last) :]
        return conversation

    def _decide(self, conversation: Conversation) -> Reply:
        script = conversation.script or Script()
        wanted = script.delegate or script.turns
        text, calls = None, ()
        if conversation.results >= wanted:
            text = script.answer(conversation.results)
        elif script.delegate:
            calls = self._delegations(script, conversation)
        else:
            calls = self._tool_call(script, conversation)
        request = conversation.request
        return Reply(
            text=text if text or calls else "FAILED: the tool asked for is not offered",
            calls=calls,
            latency=script.latency / 1000,
            stream=bool(request.get("stream")),
            include_usage=bool((request.get("stream_options") or {}).get("include_usage")),
            model=request["model"],
        )

    def _tool_call(self, script: Script, conversation: Conversation) -> tuple[Call, ...]:
        function = self._find(conversation, script.tool)
        if function is None:
            return ()
        turn = f"turn-{conversation.results:04d}"
        arguments = {"kb": script.kb} if script.tool == "blob" else {"text": f"{turn} {_PADDING}"}
        return (Call(self._identifier(), function["name"], orjson.dumps(arguments).decode()),)

    def _delegations(self, script: Script, conversation: Conversation) -> tuple[Call, ...]:
        function = self._find(conversation, "delegate")
        if function is None:
            return ()
        return tuple(
            Call(
                self._identifier(),
                function["name"],
                orjson.dumps(fill(function.get("parameters") or {}, script.for_sub_agent(number))).decode(),
            )
            for number in range(script.delegate)
        )

    def _find(self, conversation: Conversation, name: str) -> Mapping[str, Any] | None:
        """Return the function called `name`, whatever prefix a client put before it."""
        functions = [tool.get("function", {}) for tool in conversation.request.get("tools") or ()]
        for function in functions:
            offered = function.get("name", "")
            if offered == name or offered.endswith(("_" + name, "." + name)):
                return function
        self._complain(f"no tool {name!r} among {[function.get('name') for function in functions]}")
        return None

    def _identifier(self) -> str:
        return f"call_{next(self._numbers):024x}"


def text_of(content: Any) -> str:
    """Return the text of a message's content, which may be a string, parts or null."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content if isinstance(part, dict))
    return ""


def fill(schema: Mapping[str, Any], text: str) -> dict[str, Any]:
    """Return arguments for `schema`: what it requires and no more, `text` where it asks for an objective."""
    properties: Mapping[str, Any] = schema.get("properties") or {}
    required: Sequence[str] = schema.get("required") or list(properties)
    strings = [name for name in required if properties.get(name, {}).get("type") == "string"]
    objective = "objective" if "objective" in required else next(iter(strings), "")
    return {name: text if name == objective else _value(properties.get(name, {}), text) for name in required}


def _value(schema: Mapping[str, Any], text: str) -> Any:
    """Return the first thing that fits `schema`."""
    if "enum" in schema:
        return schema["enum"][0]
    if "const" in schema:
        return schema["const"]
    match schema.get("type"):
        case "string":
            return "one line"
        case "integer" | "number":
            return 0
        case "boolean":
            return False
        case "array":
            return [_value(schema.get("items", {}), text)]
        case _:
            return fill(schema, text)
