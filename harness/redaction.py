"""Keeps secrets out of everything a run records, shows to a model or exports.

A secret is a value that the team file resolved as one: it is found as it stands, in base64 (either
alphabet, at any of the three alignments), URL-encoded, in hex and as JSON escapes it. What looks
like a key of a well-known kind is taken for one whoever it belongs to. Values shorter than
`SHORTEST_SECRET` characters, and those in `_COMMON`, are no secrets: they would be found everywhere.

What is redacted is what comes in from outside, before anything is made of it, so that the model, the
journal and the trace hold the same text, and a run carried out again without the secret comes out
the same. Text that a hostile tool encrypts, reverses or spells out is beyond this.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, cast
from urllib.parse import quote, quote_plus

REDACTED = "[redacted]"

SHORTEST_SECRET = 8
"""Shorter values protect little, and would be found in text that has nothing to do with them."""

_COMMON = frozenset({"password", "changeme", "localhost", "disabled", "undefined", "anonymous", "00000000"})

_KEYS = re.compile(
    r"""
    -----BEGIN\ [A-Z ]{0,20}PRIVATE\ KEY-----[\s\S]*?(?:-----END\ [A-Z ]{0,20}PRIVATE\ KEY-----|\Z)
    | (?<![A-Za-z0-9_-])(?:
        sk-[A-Za-z0-9_-]{20,}
      | sk_live_[A-Za-z0-9]{16,} | rk_live_[A-Za-z0-9]{16,}
      | gh[opsur]_[A-Za-z0-9]{30,} | github_pat_[A-Za-z0-9_]{30,}
      | glpat-[A-Za-z0-9_-]{20,}
      | (?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])
      | xox[abeoprs]-[A-Za-z0-9-]{10,}
      | AIza[A-Za-z0-9_-]{35}
      | hf_[A-Za-z0-9]{30,} | npm_[A-Za-z0-9]{36} | pypi-[A-Za-z0-9_-]{50,}
      | eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}
    )
    | (?<=[Bb]earer\ )[A-Za-z0-9._~+/-]{20,}=*
    """,
    re.VERBOSE,
)
_MARKS = (
    *("sk-", "k_live_", "gho_", "ghp_", "ghs_", "ghu_", "ghr_", "github_pat_", "glpat-", "AKIA", "ASIA"),
    *("xox", "AIza", "hf_", "npm_", "pypi-", "eyJ", "earer ", "PRIVATE KEY"),
)
"""One of these stands in every key that `_KEYS` finds; looking for them costs a tenth."""

Value = TypeVar("Value")


def is_worth_hiding(value: str) -> bool:
    """Return whether a value is long and rare enough to be told from ordinary text."""
    return len(value) >= SHORTEST_SECRET and value.lower() not in _COMMON and len(set(value)) > 3


class Redactor:
    """Replaces secrets in text; deterministic, and cheap where there are none."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms = {form for secret in secrets if is_worth_hiding(secret) for form in _forms(secret)}
        # The longest first: of two that begin alike the whole one counts.
        self._forms = tuple(sorted(forms, key=lambda form: (-len(form), form)))
        self._exact = re.compile("|".join(map(re.escape, self._forms))) if self._forms else None

    def text(self, text: str) -> str:
        """Return `text` with every secret replaced; the same object if it holds none."""
        for form in self._forms:
            if form in text:
                assert self._exact is not None
                text = self._exact.sub(REDACTED, text)
                break
        for mark in _MARKS:
            if mark in text:
                return _KEYS.sub(REDACTED, text)
        return text

    def json(self, value: Value) -> Value:
        """Return a JSON value with every text in it redacted, keys included; the same object if none is."""
        return cast("Value", self._json(value))

    def _json(self, value: Any) -> Any:
        match value:
            case str():
                return self.text(value)
            case Mapping():
                given = cast("Mapping[str, Any]", value)
                clean = {self.text(key): self._json(item) for key, item in given.items()}
                return given if all(a is b for a, b in _pairs(given, clean)) else clean
            case list() | tuple():
                items = cast("list[Any]", value)
                new = [self._json(item) for item in items]
                same = all(a is b for a, b in zip(items, new, strict=True))
                return items if same else type(items)(new)
            case _:
                return value

    def error(self, error: Exception) -> None:
        """Redact what an error says, in place."""
        error.args = tuple(self._json(argument) for argument in error.args)


def _pairs(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterable[tuple[Any, Any]]:
    yield len(old), len(new)
    for (name, value), (clean_name, clean_value) in zip(old.items(), new.items(), strict=False):
        yield name, clean_name
        yield value, clean_value


def _forms(secret: str) -> Iterable[str]:
    """Yield the ways in which a secret is written."""
    encoded = secret.encode("utf-8", "surrogatepass")
    yield secret
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    for escaped in (quote(encoded, safe=""), quote(encoded), quote_plus(encoded)):
        yield escaped
        yield re.sub(r"%[0-9A-F]{2}", lambda match: match[0].lower(), escaped)
    yield encoded.hex()
    yield encoded.hex().upper()
    for before in range(3):
        text = base64.b64encode(b"\0" * before + encoded).decode()
        # Characters that also hold bits of what stands before or after say nothing certain.
        whole = text[-(-before * 8 // 6) : (before + len(encoded)) * 8 // 6]
        yield whole
        yield whole.translate(str.maketrans("+/", "-_"))
