"""The wire APIs as the model server speaks them: one module for each, and all of them read as Chat Completions.

What a request says is turned into Chat Completions messages, the new ones only, so that one check holds for
every API; a reply is written as the API has it, with as little around it as its clients need.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit

from tests.benchmarks.script import Reply
from tests.benchmarks.wires import anthropic, chat, gemini, responses


class Wire(Protocol):
    """What a module here has."""

    FIELD: str
    """The field of a request that holds its messages."""
    ANSWERS: bytes
    """What stands directly before the id of the call that a result answers."""

    def functions(self, request: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Return the tools that are offered, each with `name` and `parameters`."""
        ...

    def messages(self, item: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
        """Return one element of the field as Chat Completions messages."""
        ...

    def plain(self, reply: Reply, *, number: int, request_bytes: int) -> bytes:
        """Return the body of a complete answer."""
        ...

    def streamed(self, reply: Reply, *, number: int, request_bytes: int) -> bytes:
        """Return the events of an answer, the closing one included."""
        ...


APIS: dict[str, Wire] = {
    "openai-chat": chat,
    "openai-responses": responses,
    "anthropic": anthropic,
    "gemini": gemini,
}
"""By the names that team files have for them."""

_BY_PATH = {"/chat/completions": "openai-chat", "/responses": "openai-responses", "/messages": "anthropic"}
_GEMINI = {":generateContent": False, ":streamGenerateContent": True}


def wire_of(target: str) -> tuple[Wire, Mapping[str, Any]] | None:
    """Return the API that is spoken at a path, and what the path says of the request; None for any other path."""
    path = urlsplit(target).path
    for end, api in _BY_PATH.items():
        if path.endswith(end):
            return APIS[api], {}
    for end, stream in _GEMINI.items():
        if path.endswith(end):
            model = path.removesuffix(end).rpartition("/")[2]
            return APIS["gemini"], {"model": model, "stream": stream}
    return None
