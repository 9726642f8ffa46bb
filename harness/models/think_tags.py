"""Thinking that comes as text, between `<think>` and `</think>` at the beginning of a reply's content.

Servers without a parser for their model's thinking leave the tags to whoever reads. What a template writes into
the prompt does not come out again, so the opening tag may be missing; a block may end with the reply, or with a
tool call that begins within it. A tag anywhere else is what the model wanted to say.
"""

from __future__ import annotations

import re
from typing import Literal

OPEN = "<think>"
CLOSE = "</think>"
_CALL = r"<tool_call>\s*(?:\{|<function=)"
_END = re.compile(rf"</think>|(?={_CALL})")
_END_ALONE = re.compile(rf"^</think>|</think>[ \t]*$|(?={_CALL}|<think>)", re.MULTILINE)
_TAGS = (OPEN, CLOSE, "<tool_call>")

Opened = Literal["no", "maybe", "yes"]
"""Whether the prompt opened a block of thinking."""


def split_thinking(content: str, *, opened: Opened, cut: bool) -> tuple[str, str]:
    """Return the thinking in a reply's content, and what is left of it; blocks that are empty leave nothing.

    Where the prompt may have opened a block, a closing tag at the beginning or the end of a line tells. Where it
    did, any closing tag does, and what was cut off before it is thinking.
    """
    block = _block(content, opened)
    if block is None and cut and opened == "yes":
        block = content, ""
    if block is None:
        return "", content
    thoughts, rest = list[str](), ""
    while block is not None:
        thought, rest = block
        if thought.strip():
            thoughts.append(thought.strip("\n"))
        block = _block(rest, "no")
    return "\n".join(thoughts), rest.lstrip("\n")


def _block(content: str, opened: Opened) -> tuple[str, str] | None:
    """Return the block that the content begins with and what follows it; None if it begins with none."""
    after = content.lstrip()
    if after.startswith(OPEN):
        inner, end = after[len(OPEN) :], _END.search(after, len(OPEN))
        return (after[len(OPEN) : end.start()], after[end.end() :]) if end else (inner, "")
    if opened == "no":
        return None
    end = (_END if opened == "yes" else _END_ALONE).search(content)
    if end is None or not (opened == "yes" or end.group()):
        return None
    return content[: end.start()], content[end.end() :]


class TagStream:
    """Tells thinking from text while content arrives, as far as that can be known then.

    A block that the prompt opened and nobody knows of is told as text until it closes; what the reply says in the
    end is `split_thinking`'s.
    """

    def __init__(self, *, opened: bool) -> None:
        self._inside = opened
        self._at_start = True
        self._held = ""
        """What may be the beginning of a tag."""

    def feed(self, piece: str) -> tuple[str, str]:
        """Return what of the content so far is new: thinking, and text."""
        self._held += piece
        thinking, text = "", ""
        while self._held:
            if self._at_start and not self._inside:
                left = self._held.lstrip()
                if OPEN.startswith(left) and left != OPEN:
                    break
                self._at_start = left.startswith(OPEN)
                if self._at_start:
                    self._inside, self._held = True, left[len(OPEN) :]
                    continue
            if not self._inside:
                text, self._held = text + self._held, ""
                break
            end = _END.search(self._held)
            if end is None:
                keep = _beginning_of_a_tag(self._held)
                cut = len(self._held) - keep
                thinking, self._held = thinking + self._held[:cut], self._held[cut:]
                break
            thinking += self._held[: end.start()]
            self._inside, self._at_start, self._held = False, True, self._held[end.end() :].lstrip("\n")
            if not end.group():
                self._at_start = False
        return thinking, text


def _beginning_of_a_tag(text: str) -> int:
    """Return the length of the end of `text` that may be the beginning of a tag."""
    start = text.rfind("<")
    if start < 0:
        return 0
    tail = text[start:]
    open_call = re.fullmatch(r"<tool_call>\s*", tail) is not None
    return len(tail) if open_call or any(tag.startswith(tail) for tag in _TAGS) else 0
