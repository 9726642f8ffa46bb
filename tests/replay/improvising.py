"""Models and tools that do at random whatever a team may meet, from a seed.

An `Improviser` makes up each reply out of the tools it is offered, good and bad; the `Desk` has a tool for
everything that can happen to a call. Both wait now and then, so that agents side by side interleave
differently every time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import anyio
import anyio.lowlevel
import orjson

from harness import ModelError, ModelRejected, ModelUnavailable, ToolError, ToolServerError, Usage
from harness.events import EffectClass
from harness.messages import Image, Message, Reasoning, Text, ToolCall, ToolDefinition
from harness.models.port import (
    CallOptions,
    Lost,
    ModelResponse,
    Observe,
    Price,
    Retrying,
    TextDelta,
    Transcript,
)
from harness.models.transcripts import MessageTranscript
from harness.tools.names import matches
from harness.tools.port import CallContext, InputRequired, Inquiry, Tool, ToolOutput

WORDS = [
    "alpha",
    "beta",
    "gamma",
    "δέλτα",
    "東京",
    "naïve",
    "🙂",
    "line\nbreak",
    '"quoted"',
    "\\",
    "<<<",
    ">>>",
    "null",
    "0.1",
    "${HOME}",
]

FORM = {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]}


@dataclass
class Chance:
    """What may happen in one scene, and how often."""

    random: Random
    agents_left: int = 12
    """How many sub-agents may still be asked for."""
    patience: int = 4
    """Turns after which a model comes to an end, at most."""
    model_faults: float = 0.03
    retries: float = 0.1
    seconds: float = 0.0
    """How long a tool or a model may take at most, beside giving way to others."""
    crowd: int = 0
    """How many sub-agents the entry agent asks for at once in its first reply, if any."""

    def happens(self, probability: float) -> bool:
        """Whether something that is this probable happens now."""
        return self.random.random() < probability

    def text(self, words: int) -> str:
        """Some words, now and then with what is hard to spell."""
        return " ".join(self.random.choices(WORDS, k=words))

    async def pause(self) -> None:
        """Let others go first, for a while."""
        for _ in range(self.random.choice((0, 0, 1, 2, 7))):
            await anyio.lowlevel.checkpoint()
        if self.seconds:
            await anyio.sleep(self.random.random() * self.seconds)


@dataclass
class Improviser:
    """A model that makes up its replies."""

    chance: Chance
    name: str = "improviser"
    provider: str = "scripted"
    context_window: int | None = None
    price: Price | None = None
    endings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Arguments of the tools through which it hands something in."""

    def open(self, tools: Sequence[ToolDefinition]) -> Transcript:
        """Return an empty transcript."""
        return MessageTranscript(tools)

    async def respond(self, transcript: Transcript, options: CallOptions, observe: Observe) -> ModelResponse:
        """Return whatever comes to mind, after a while, in pieces, or not at all."""
        assert isinstance(transcript, MessageTranscript)
        chance = self.chance
        await chance.pause()
        for attempt in range(1, 4):
            if chance.happens(chance.retries):
                if attempt == 2:
                    observe(Lost())
                observe(Retrying(attempt, chance.random.random(), chance.text(2)))
                await chance.pause()
        if chance.happens(chance.model_faults):
            kind = chance.random.choice((ModelError, ModelRejected, ModelUnavailable, ValueError))
            raise kind(chance.text(3))
        message = Message("assistant", tuple(_with_ids(self._parts(transcript), len(transcript.messages))))
        for part in message.parts:
            if isinstance(part, Text):
                observe(TextDelta(part.text))
                await chance.pause()
        return self._response(message)

    async def close(self) -> None:
        """Do nothing; there is nothing to release."""

    def _response(self, message: Message) -> ModelResponse:
        random = self.chance.random
        reason = "tool_calls" if message.tool_calls else "end"
        if self.chance.happens(0.04):
            reason = random.choice(("length", "length", "refusal"))
        usage = (
            Usage(random.randrange(9000), random.randrange(500), 3, 1, 1) if random.random() < 0.6 else None
        )
        notes = (self.chance.text(2),) if self.chance.happens(0.05) else ()
        return ModelResponse(message, reason, usage, f"{self.name}-2", f"r{random.randrange(10**6)}", notes)

    def _parts(self, transcript: MessageTranscript) -> list[Text | ToolCall | Reasoning]:
        """Return the parts of the next reply to what has been said so far."""
        chance, offered = self.chance, {tool.name: tool for tool in transcript.tools}
        turn = sum(message.role == "assistant" for message in transcript.messages)
        parts: list[Text | ToolCall | Reasoning] = []
        if chance.happens(0.2):
            parts.append(Reasoning(chance.text(4), "scripted", self.name, '{"sealed": "é"}'))
        if chance.crowd and "plan" in offered and turn == 0 and len(transcript.messages) == 2:
            crowd, chance.crowd = chance.crowd, 0
            return [*parts, *self._crowd(crowd, offered["delegate"])]
        if turn >= chance.random.randint(1, chance.patience):
            return [*parts, *self._ending(offered)]
        if chance.happens(0.3):
            parts.append(Text(chance.text(3)))
        calls = [self._call(offered) for _ in range(chance.random.randint(1, 4))]
        return [*parts, *calls]

    def _ending(self, offered: Mapping[str, ToolDefinition]) -> list[Text | ToolCall]:
        chance = self.chance
        tool = next((name for name in ("report", "answer") if name in offered), "")
        if not tool or chance.happens(0.25):
            return [Text(chance.random.choice(("", " \n", chance.text(5), chance.text(900))))]
        arguments = dict(self.endings.get(tool) or {"status": "done", "answer": chance.text(4)})
        if tool == "report":
            arguments["status"] = chance.random.choice(("done", "done", "partial", "failed"))
            arguments["answer"] = chance.text(chance.random.choice((2, 20, 700)))
        if chance.happens(0.15):
            arguments.pop(chance.random.choice(list(arguments)))
        calls = [_call(tool, arguments)]
        if chance.happens(0.1):
            calls.append(_call(tool, {**arguments, "answer": chance.text(700)}))
        return list(calls)

    def _call(self, offered: Mapping[str, ToolDefinition]) -> ToolCall:
        """Return one call: of the desk, of a sub-agent, or of nothing there is."""
        chance, random = self.chance, self.chance.random
        if chance.happens(0.06):
            return ToolCall("", random.choice(("desk.look", "plan", "nothing.here")), "{not json")
        if "delegate" in offered and chance.agents_left > 0 and chance.happens(0.5):
            names = offered["delegate"].parameters["properties"]["agent"]["enum"]
            if chance.happens(0.5):
                chance.agents_left -= 1
                return _call("delegate", {"agent": random.choice(names), **brief(chance.text(4))})
            return _call("plan", {"tasks": self._tasks(names)})
        desk = [name for name in offered if "." in name]
        if not desk or chance.happens(0.08):
            handle = random.choice(("result:lead/turn-1/0", "agent:lead/middle-1", "agent:lead"))
            return _call("read_result", {"handle": handle, "offset": random.choice((0, 5))})
        name = random.choice(desk)
        return _call(name, {"pages": random.choice((1, 2, 2_000, "many") if chance.happens(0.3) else (1, 2))})

    def _tasks(self, names: Sequence[str]) -> list[dict[str, Any]]:
        random = self.chance.random
        count = random.randint(1, max(1, min(5, self.chance.agents_left)))
        self.chance.agents_left -= count
        return [
            {
                "id": f"t{number}" if self.chance.random.random() < 0.97 else "t0",
                "agent": random.choice(names),
                # The same objectives again, so that a revised plan keeps some of its tasks.
                **brief(f"Do {number % 3}."),
                "needs": [f"t{need}" for need in range(number) if random.random() < 0.4],
            }
            for number in range(count)
        ]

    def _crowd(self, count: int, delegate: ToolDefinition) -> list[ToolCall]:
        names = delegate.parameters["properties"]["agent"]["enum"]
        self.chance.agents_left = 0
        if self.chance.happens(0.5):
            tasks = [
                {"id": f"t{number}", "agent": names[0], **brief(f"Do {number}."), "needs": []}
                for number in range(count)
            ]
            return [_call("plan", {"tasks": tasks})]
        return [_call("delegate", {"agent": names[0], **brief(f"Do {number}.")}) for number in range(count)]


class Desk:
    """Tools for everything that can happen to a call."""

    EFFECTS: Mapping[str, EffectClass] = {
        "look": "read",
        "odd": "read",
        "fail": "read",
        "again": "idempotent",
        "note": "keyed",
        "pay": "once",
        "form": "keyed",
        "chat": "keyed",
    }

    def __init__(self, chance: Chance) -> None:
        self.chance = chance
        self.effects = 0
        """How many calls that must not happen twice have begun."""

    async def tools(self, patterns: Sequence[str]) -> list[Tool]:
        """Return the tools whose names match."""
        schema = {
            "type": "object",
            "properties": {"pages": {"type": "integer", "maximum": 50_000}},
            "additionalProperties": False,
        }
        return [
            Tool(ToolDefinition(f"desk.{name}", f"Do {name}.", schema), getattr(self, f"_{name}"), effect)
            for name, effect in self.EFFECTS.items()
            if matches(f"desk.{name}", patterns)
        ]

    async def _look(self, arguments: Mapping[str, Any], context: CallContext) -> ToolOutput:
        await self.chance.pause()
        context.report_progress(1, 2, "half")
        pages = arguments.get("pages", 1)
        return ToolOutput(f"<<< notes.md:1-{pages} | Notes\n" + "a page of text\n" * pages + ">>>")

    async def _odd(self, arguments: Mapping[str, Any], context: CallContext) -> ToolOutput:
        await self.chance.pause()
        half = self.chance.random.choice(("", "\ud83d", "\x1b[31m", "\x00"))
        return ToolOutput(self.chance.text(6) + half, images=(Image("aGFsbG8="),))

    async def _fail(self, arguments: Mapping[str, Any], context: CallContext) -> ToolOutput:
        await self.chance.pause()
        error = self.chance.random.choice((ToolError, ToolServerError, ValueError, ToolError))
        raise error("the shelf is empty")

    async def _again(self, arguments: Mapping[str, Any], context: CallContext) -> ToolOutput:
        await self.chance.pause()
        return ToolOutput(self.chance.text(2), is_error=self.chance.happens(0.3), error_type="tool")

    async def _note(self, arguments: Mapping[str, Any], context: CallContext) -> ToolOutput:
        await self.chance.pause()
        return ToolOutput(f"noted under {context.key}")

    async def _pay(self, arguments: Mapping[str, Any], context: CallContext) -> ToolOutput:
        self.effects += 1
        await self.chance.pause()
        return ToolOutput(f"paid {arguments}, number {self.effects}")

    async def _form(self, arguments: Mapping[str, Any], context: CallContext) -> ToolOutput:
        """Ask before it goes on, twice at times, and be called again with the answer."""
        await self.chance.pause()
        if context.answer is None or self.chance.happens(0.2):
            raise InputRequired(Inquiry("Which word?", FORM, "word", self.chance.text(1)))
        return ToolOutput(f"the word is {context.answer.content}")

    async def _chat(self, arguments: Mapping[str, Any], context: CallContext) -> ToolOutput:
        """Ask while it goes on."""
        assert context.ask is not None
        said = [await context.ask(Inquiry("And now?", FORM)) for _ in range(self.chance.random.randint(0, 2))]
        await self.chance.pause()
        return ToolOutput(f"heard {[answer.content for answer in said]}")


def brief(objective: str) -> dict[str, str]:
    """The arguments that make up a brief."""
    return {"objective": objective, "expected_output": "A line.", "sources": "", "boundaries": "None."}


def _call(tool: str, arguments: Mapping[str, Any]) -> ToolCall:
    return ToolCall("", tool, orjson.dumps(arguments).decode())


def _with_ids(parts: Sequence[Text | ToolCall | Reasoning], place: int) -> list[Text | ToolCall | Reasoning]:
    """Give every call an id that is unique within the transcript."""
    return [
        replace(part, id=f"c{place}.{number}") if isinstance(part, ToolCall) else part
        for number, part in enumerate(parts)
    ]
