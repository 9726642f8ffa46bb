"""What the places of a team file are for, and so who gets to see what a variable gives there.

What stands at most places shapes what a team does: models read it, or it decides what they may
do. The other places say how this machine reaches models and servers; they differ from machine to
machine, and they are where keys stand.
"""

from __future__ import annotations

import re

from harness.team.nodes import Place

_SENSITIVE_FIELD = re.compile(r"auth|cookie|credential|key|passw|secret|token(?!s)", re.IGNORECASE)
"""In the body of a request, where `max_tokens` is no secret."""
SENSITIVE = re.compile(r"auth|cookie|credential|key|passw|secret|token", re.IGNORECASE)
"""Found in the names of headers, variables, parameters and options that carry secrets."""


def shapes_behaviour(place: Place) -> bool:
    """Whether a run that is carried out again needs the same value at `place`."""
    match place:
        case ("mcpServers", *_) | ("models", _, "api_key" | "headers" | "base_url", *_):
            return False
        case _:
            return True


def is_secret(place: Place) -> bool:
    """Whether a value written out at `place` is a secret: a key, or a header or variable called like one."""
    match place:
        case ("models", _, "api_key"):
            return True
        case ("models" | "mcpServers", _, "headers" | "env", name):
            return bool(SENSITIVE.search(str(name)))
        case ("mcpServers", _, "args", str(name)):
            return bool(_SENSITIVE_FIELD.search(name))
        case ("models", _, "extra", *names):
            return any(_SENSITIVE_FIELD.search(str(name)) for name in names)
        case _:
            return False


def takes_secret(place: Place, variable: str) -> bool:
    """Whether `variable`, used at `place`, has to be taken for a secret."""
    match place:
        case ("models", _, "api_key") | ("models" | "mcpServers", _, "headers", _):
            return True
        case ("models", _, "extra", *names):
            return any(_SENSITIVE_FIELD.search(str(name)) for name in (*names, variable))
        case _:
            return is_secret(place) or (not shapes_behaviour(place) and bool(SENSITIVE.search(variable)))


def is_address(place: Place) -> bool:
    """Whether a URL stands at `place`."""
    return place[:1] + place[2:] in (("models", "base_url"), ("mcpServers", "url"))
