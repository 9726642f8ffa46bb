"""Counting tokens, exactly where a vocabulary is at hand and by estimate where none is.

tiktoken fetches its vocabularies from the network when they are not in its cache. Nothing here may
cause that: the file is looked for and its checksum compared first, and tiktoken is only asked for
what it will find on disk. Where it finds nothing, `rs-bpe`, which carries the vocabularies in its wheel, counts
as well if it is installed (`pip install harness-agents[tokens]`).
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

CountSource = Literal["o200k_base", "cl100k_base", "estimate"]

_FILES: dict[str, tuple[str, str]] = {
    "o200k_base": (
        "fb374d419588a4632f3f557e76b4b70aebbca790",
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    ),
    "cl100k_base": (
        "9b5ad71b2ce5302211f9c61530b329a4922fc6a4",
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    ),
}
"""Name in tiktoken's cache (SHA-1 of the URL) and SHA-256 of the content, from `tiktoken_ext`."""

_CL100K_MODELS = re.compile(r"(ft:)?gpt-(4(?![\d.o])|3\.5|35)")
_LONGEST_PIECE = 20_000
_LONGEST_RUN = 400
_LONG_RUN = re.compile(rf"\S{{{_LONGEST_RUN}}}|\s{{{_LONGEST_RUN}}}")
_SIGNS = bytes(code for code in range(33, 127) if not chr(code).isalpha())


class TokenCounter:
    """Counts the tokens of a text as one model sees them; the first count loads the vocabulary.

    Loading takes about 0.3 s once per process and vocabulary. Special tokens within a text count as
    ordinary text. Long texts are counted in pieces of 20,000 characters, and of 400 where they hold
    a run that long without, or of nothing but, white space, since tiktoken's time grows with the square of a run; each
    cut may change the count by one or two.
    """

    def __init__(self, model: str = "") -> None:
        self._encoding: CountSource = encoding_name(model)
        self._count: Callable[[str], int] | None = None
        self._source: CountSource = "estimate"

    @property
    def source(self) -> CountSource:
        """The vocabulary in use, or `estimate`; asking loads it."""
        if self._count is None:
            self._load()
        return self._source

    def __call__(self, text: str) -> int:
        """Return the number of tokens in `text`; 0 only for an empty one."""
        return (self._count or self._load())(text)

    def _load(self) -> Callable[[str], int]:
        exact = _vocabulary(self._encoding)
        self._source = self._encoding if exact else "estimate"
        self._count = exact or estimate
        return self._count


def token_counter(model: str = "") -> TokenCounter:
    """Return a counter for `model`, or one for the most common vocabulary if it is unknown."""
    return TokenCounter(model)


def encoding_name(model: str) -> Literal["o200k_base", "cl100k_base"]:
    """Return the vocabulary of `model`: cl100k for GPT-4 and GPT-3.5, o200k for all others."""
    return "cl100k_base" if _CL100K_MODELS.match(model.rpartition("/")[2]) else "o200k_base"


def estimate(text: str) -> int:
    """Return about how many tokens `text` has, without a vocabulary.

    A rule of thumb: 4.4 characters of English prose to a token, two digits or signs, one or two
    characters of other scripts (the more UTF-8 bytes they take, the fewer). Takes time linear in
    the length.
    """
    if not text:
        return 0
    encoded = text.encode("utf-8", "replace")
    continuation_bytes = len(encoded) - len(text)
    signs = len(encoded) - len(encoded.translate(None, _SIGNS))
    return max(1, round((len(text) - signs) / 4.4 + signs / 2 + continuation_bytes * 0.3))


@cache
def _vocabulary(name: str) -> Callable[[str], int] | None:
    """Return a counter with this vocabulary, or None where it is not on this machine."""
    if not _is_at_hand(name):
        return _in_a_wheel(name)
    # Importing tiktoken costs 50 ms or more, which only those pay who count.
    import tiktoken

    try:
        encoding = tiktoken.get_encoding(name)
    except (OSError, ValueError):
        return None

    def count(text: str) -> int:
        return sum(len(encoding.encode_ordinary(piece)) for piece in _pieces(text))

    return count


def _in_a_wheel(name: str) -> Callable[[str], int] | None:
    """Return a counter of `rs-bpe`, whose time is linear in the length whatever the text; None without it."""
    try:
        # Installed by those who want it; loading a vocabulary takes about a second.
        openai: Any = import_module("rs_bpe.bpe").openai
        count: Callable[[str], int] = getattr(openai, name)().count
    except (ImportError, AttributeError):
        return None
    # A half of a surrogate pair has no UTF-8.
    return lambda text: count(text.encode("utf-8", "replace").decode())


def _is_at_hand(name: str) -> bool:
    file_name, checksum = _FILES[name]
    folder = os.environ.get("TIKTOKEN_CACHE_DIR", os.environ.get("DATA_GYM_CACHE_DIR"))
    if folder is None:
        folder = str(Path(tempfile.gettempdir(), "data-gym-cache"))
    if not folder:
        return False
    try:
        content = Path(folder, file_name).read_bytes()
    except OSError:
        return False
    return hashlib.sha256(content).hexdigest() == checksum


def _pieces(text: str) -> list[str]:
    """Return `text` in pieces that can be encoded quickly."""
    length = _LONGEST_RUN if _LONG_RUN.search(text) else _LONGEST_PIECE
    return [text[start : start + length] for start in range(0, len(text), length)]
