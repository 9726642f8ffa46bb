"""Which texts of a team file are credentials, as far as their place and look tell."""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.team.nodes import Place
from harness.team.places import SENSITIVE, is_address, is_secret

_FLAG = re.compile(r"-{1,2}[A-Za-z][\w.-]*")
_ASSIGNED = re.compile(r"(-{0,2}[A-Za-z_][\w.-]*)=(.+)", re.DOTALL)
_HEADER = re.compile(r"([A-Za-z][\w-]*):\s*(?:[Bb]earer\s+)?(\S{6,})")
_USER_INFO = re.compile(r"://[^/\s:@]*:([^/\s@]+)@|://([^/\s:@]{8,})@")
_PARAMETER = re.compile(r"[?&;]([\w.-]+)=([^&;#\s]+)")
_PLAIN = re.compile(
    r"(?:[~.]{0,2}/|[A-Za-z]:\\|https?://).*|[A-Za-z]+(?:[ ._-][A-Za-z]+)*|[\d.,:\s-]+", re.DOTALL
)


def is_plain(value: str) -> bool:
    """Whether a value looks like a path, an address, words or a number, and so like no key."""
    return bool(_PLAIN.fullmatch(value))


def written_out(text: str, place: Place, before: str) -> Iterator[str]:
    """Yield the parts of `text` at `place` that are credentials.

    Args:
        before: The argument before it, which may be the name of this one.
    """
    if is_secret(place):
        yield text
        return
    if is_address(place):
        yield from in_address(text)
        return
    match place:
        case ("models", _, "extra", *_):
            return
        case ("mcpServers", _, "args", int()):
            yield from _in_argument(text, before)
        case _:
            return


def _in_argument(text: str, before: str) -> Iterator[str]:
    yield from in_address(text)
    for match in (_ASSIGNED.fullmatch(text), _HEADER.fullmatch(text)):
        if match and SENSITIVE.search(match[1]) and not is_plain(match[2]):
            yield match[2]
    named = _FLAG.fullmatch(before) and SENSITIVE.search(before)
    if named and not text.startswith("-") and not is_plain(text):
        yield text


def in_address(text: str) -> Iterator[str]:
    """Yield the password and the keys that a URL carries."""
    if "://" not in text:
        return
    for match in _USER_INFO.finditer(text):
        yield match[1] or match[2]
    for match in _PARAMETER.finditer(text):
        if SENSITIVE.search(match[1]):
            yield match[2]


def given(value: str, place: Place, *, is_key: bool) -> Iterator[str]:
    """Yield what of a variable's value, used at `place`, is never to be seen.

    Args:
        is_key: Whether place or variable are called like a secret.
    """
    yield from in_address(value)
    match place:
        case ("models" | "mcpServers", _, "headers" | "env" | "args" | "url" | "api_key", *_):
            if is_key or not is_plain(value):
                yield value
        case _:
            if is_key:
                yield value
