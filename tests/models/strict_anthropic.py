"""A server that answers like the Messages API, and refuses where that refuses.

    claude = StrictClaude([thought("Look."), call("t1", "notes__read")], [said("Done.")])
    async with fault_server(*[claude.respond] * 9) as server: ...

It answers by the number of turns that the request holds, so that a conversation may go on at any time and with
any model. It signs what it thinks for the model, the text and the place, for newer models also for all that
stood before it, and it knows what it thought beside which call: that may be missing only where something before
it was changed. Rules and wording are those of
https://platform.claude.com/docs/en/api/errors, `build-with-claude/thinking`, `thinking-tool-workflows` and
`preserved-thinking`, and of errors that people reported. It keeps a prompt cache, as `prompt-caching` has it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from tests.models.anthropic_rules import (
    MODELS,
    Block,
    Body,
    Refused,
    check,
    check_headers,
    listed,
    refuse,
    thinks,
)
from tests.models.server import Request, Script, answer, event_stream

LOOK_BACK = 20
"""Blocks before a marker among which an entry of the cache is looked for."""


def thought(text: str) -> Block:
    """Return a block of thinking; the server signs it."""
    return {"type": "thinking", "thinking": text}


def hidden() -> Block:
    """Return a block of thinking that the server does not show."""
    return {"type": "redacted_thinking"}


def said(text: str) -> Block:
    """Return a block of text."""
    return {"type": "text", "text": text}


def call(identity: str, name: str, **arguments: Any) -> Block:
    """Return a block that calls a tool."""
    return {"type": "tool_use", "id": identity, "name": name, "input": arguments}


@dataclass
class StrictClaude:
    """Answers each request with the turn that comes next, or says why it does not."""

    turns: Sequence[Sequence[Block]]
    usages: list[dict[str, int]] = field(default_factory=list[dict[str, int]])
    refusals: list[str] = field(default_factory=list[str])
    _thoughts: dict[tuple[str, str], tuple[list[Block], bytes]] = field(
        default_factory=dict[tuple[str, str], tuple[list[Block], bytes]]
    )
    """What a model thought beside a call, by its name and the id of the call, and after what."""
    _cache: set[bytes] = field(default_factory=set[bytes])

    def respond(self, request: Request) -> Script:
        """Return the answer to one request."""
        try:
            check_headers(request.headers)
            body = request.json
            check(body)
            self._check_thoughts(body)
        except Refused as refused:
            self.refusals.append(str(refused))
            kind = "authentication_error" if refused.status == 401 else "invalid_request_error"
            error = {"type": "error", "error": {"type": kind, "message": str(refused)}}
            return answer(error, status=refused.status)
        content = self._content(body)
        calls = any(block["type"] == "tool_use" for block in content)
        message: Block = {
            "id": f"msg_{len(self.usages)}",
            "type": "message",
            "role": "assistant",
            "model": body["model"],
            "content": content,
            "stop_reason": "tool_use" if calls else "end_turn",
            "stop_sequence": None,
            "usage": self._usage(body),
        }
        self.usages.append(message["usage"])
        return event_stream(*streamed(message)) if body.get("stream") else answer(message)

    def _content(self, body: Body) -> list[Block]:
        """Return the next turn, its thinking signed, or left out where the model does not think."""
        position = sum(message["role"] == "assistant" for message in body["messages"])
        content: list[Block] = []
        for block in self.turns[position]:
            if "thinking" not in block["type"]:
                content.append(block)
            elif thinks(body):
                asked: Block = body.get("thinking") or {}
                unseen = block["type"] == "thinking" and asked.get("display") == "omitted"
                shown = {**block, "thinking": ""} if unseen else block
                content.append(signed(shown, body, len(body["messages"]), content))
        ours = [block for block in content if "thinking" in block["type"]]
        thought_of = (ours, _before(body, len(body["messages"])))
        self._thoughts.update(
            {(body["model"], block["id"]): thought_of for block in content if block["type"] == "tool_use"}
        )
        return content

    def _check_thoughts(self, body: Body) -> None:
        """Refuse thinking that is missing, altered or out of its order, where it counts."""
        messages, model = body["messages"], body["model"]
        begin = _turn_began(messages)
        for place, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            for at, block in enumerate(message["content"]):
                if "thinking" in block["type"]:
                    before = message["content"][:at]
                    if block != signed(block, body, place, before):
                        refuse(f"messages.{place}.content.{at}: Invalid `signature` in `thinking` block")
            if place < begin or not thinks(body):
                continue
            sent = [block for block in message["content"] if "thinking" in block["type"]]
            first = message["content"][0]["type"]
            if body["thinking"]["type"] == "enabled" and place == begin and "thinking" not in first:
                refuse(
                    f"messages.{place}.content.0.type: Expected `thinking` or `redacted_thinking`, but found "
                    f"`{first}`. When `thinking` is enabled, a final `assistant` message must start with a "
                    "thinking block (preceeding the lastmost set of `tool_use` and `tool_result` blocks)"
                )
            for block in message["content"]:
                once, after = self._thoughts.get((model, block.get("id", "")), (sent, b""))
                if sent != once and (sent or after == _before(body, place)):
                    refuse(
                        f"messages.{place}: `thinking` or `redacted_thinking` blocks in the latest assistant "
                        "message cannot be modified. These blocks must remain as they were in the original response."
                    )

    def _usage(self, body: Body) -> dict[str, int]:
        """Return what the request costs, reading and writing the cache at its markers."""
        running, total, hashes, sizes = hashlib.sha256(body["model"].encode()), 0, list[bytes](), list[int]()
        marks: list[int] = []
        for block, marked in _linear(body):
            running.update(block)
            total += len(block)
            hashes.append(running.digest())
            sizes.append(total)
            if marked:
                marks.append(len(hashes) - 1)
        hits = [
            at
            for mark in marks
            for at in range(max(0, mark - LOOK_BACK), mark + 1)
            if hashes[at] in self._cache
        ]
        read = sizes[max(hits)] if hits else 0
        written = max(0, sizes[marks[-1]] - read) if marks else 0
        self._cache |= {hashes[mark] for mark in marks}
        return {
            "input_tokens": total - read - written,
            "cache_read_input_tokens": read,
            "cache_creation_input_tokens": written,
            "output_tokens": 40,
        }


def signed(block: Block, body: Body, place: int, before: Sequence[Block]) -> Block:
    """Return a block of thinking with the signature that it has at this place of this conversation."""
    what = [body["model"], block.get("thinking", ""), sum("thinking" in one["type"] for one in before)]
    if MODELS[body["model"]].bound:
        messages = [*body["messages"][:place], {"role": "assistant", "content": list(before)}]
        what.append([body.get("system"), body.get("tools"), messages])
    seal = hashlib.sha256(_canonical(what)).hexdigest()
    if block["type"] == "redacted_thinking":
        return {"type": "redacted_thinking", "data": seal}
    return {"type": "thinking", "thinking": block["thinking"], "signature": seal}


def _before(body: Body, place: int) -> bytes:
    """Return all that stands before a message, as one value."""
    return _canonical([body.get("system"), body.get("tools"), body["messages"][:place]])


def _turn_began(messages: Sequence[Mapping[str, Any]]) -> int:
    """Return where the turn of the model began that the results at the end belong to."""
    began = len(messages)
    for place in reversed(range(len(messages))):
        message = messages[place]
        if message["role"] == "assistant":
            began = place
        elif message["content"][0]["type"] != "tool_result":
            break
    return began


def _linear(body: Body) -> Iterator[tuple[bytes, bool]]:
    """Yield what a prompt cache sees one after the other, and whether it is marked."""
    blocks = [("tools", tool) for tool in listed(body, "tools")]
    blocks += [("system", block) for block in listed(body, "system")]
    blocks += [(message["role"], block) for message in body["messages"] for block in message["content"]]
    for where, block in blocks:
        yield _canonical([where, block]), "cache_control" in block


def _canonical(value: Any) -> bytes:
    """Return a value in one spelling, whatever the order of its keys, without the markers of the cache."""
    return orjson.dumps(_plain(value), option=orjson.OPT_SORT_KEYS)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items() if name != "cache_control"}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


def streamed(message: Mapping[str, Any], *, step: int = 7) -> list[bytes]:
    """Return the events of a message that comes in pieces of `step` characters."""
    start: Block = {**message, "content": [], "stop_reason": None}
    events: list[Block] = [{"type": "message_start", "message": start}, {"type": "ping"}]
    for index, block in enumerate(message["content"]):
        begun, deltas = _pieces(block, step)
        events.append({"type": "content_block_start", "index": index, "content_block": begun})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    end = {"stop_reason": message["stop_reason"], "stop_sequence": message.get("stop_sequence")}
    usage = {"output_tokens": message["usage"]["output_tokens"]}
    events += [{"type": "message_delta", "delta": end, "usage": usage}, {"type": "message_stop"}]
    return [event(one) for one in events]


def event(document: Mapping[str, Any]) -> bytes:
    """Return one event as it stands in the stream."""
    return b"event: %b\ndata: %b\n\n" % (document["type"].encode(), orjson.dumps(document))


def _pieces(block: Block, step: int) -> tuple[Block, list[dict[str, str]]]:
    def cut(text: str) -> list[str]:
        return [text[at : at + step] for at in range(0, len(text), step)]

    match block["type"]:
        case "text":
            deltas = [{"type": "text_delta", "text": piece} for piece in cut(block["text"])]
            return {**block, "text": ""}, deltas
        case "thinking":
            deltas = [{"type": "thinking_delta", "thinking": piece} for piece in cut(block["thinking"])]
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
            return {**block, "thinking": "", "signature": ""}, deltas
        case "tool_use":
            arguments = orjson.dumps(block["input"]).decode() if block["input"] else ""
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ["", *cut(arguments)]]
            return {**block, "input": {}}, deltas
        case _:
            return block, []
