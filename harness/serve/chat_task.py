"""A chat completion request, and the task it stands for.

The last user message is the task. What came before is put in front of it, marked as context: an
agent run starts with an empty window, so nothing else would carry it over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from harness.messages import Image
from harness.serve.problems import Refusal
from harness.serve.runs import read_data_url

IGNORED = (
    "temperature", "top_p", "max_tokens", "max_completion_tokens", "stop", "seed", "presence_penalty",
    "frequency_penalty", "reasoning_effort", "logit_bias",
)  # fmt: skip
"""What the team file decides for each agent; the answer says which of these were passed over."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow")
    type: str
    text: str = ""
    image_url: dict[str, Any] | None = None


class ChatMessage(BaseModel):
    """One message of the conversation."""

    model_config = ConfigDict(extra="allow")
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[_Part] | None = None

    @property
    def text(self) -> str:
        """The text of all parts."""
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content if part.type == "text")
        return self.content or ""

    @property
    def images(self) -> tuple[Image, ...]:
        """The images, which must be in the message itself.

        Raises:
            Refusal: There is a part that is neither text nor such an image.
        """
        images: list[Image] = []
        for part in self.content if isinstance(self.content, list) else ():
            if part.type == "image_url" and part.image_url:
                images.append(read_data_url(str(part.image_url.get("url", ""))))
            elif part.type != "text":
                raise Refusal(
                    400, f"content of type {part.type!r} cannot be taken", hint="send text or images"
                )
        return tuple(images)


class _StreamOptions(BaseModel):
    include_usage: bool = False


class ChatRequest(BaseModel):
    """The body of `POST /v1/chat/completions`, as far as a team can follow it."""

    model_config = ConfigDict(extra="allow")
    model: str
    messages: list[ChatMessage] = Field(min_length=1)
    stream: bool = False
    stream_options: _StreamOptions | None = None
    n: int | None = None
    tools: list[Any] | None = None
    functions: list[Any] | None = None
    response_format: dict[str, Any] | None = None

    @property
    def ignored(self) -> list[str]:
        """What was asked for and is decided by the team file instead."""
        return [name for name in IGNORED if (self.model_extra or {}).get(name) is not None]

    def check(self) -> None:
        """Refuse what would change the answer and cannot be honoured.

        Raises:
            Refusal: Several answers, tools of the client's own, or a format are asked for.
        """
        if self.n not in (None, 1):
            raise Refusal(400, "n must be 1: a team gives one answer")
        if self.tools or self.functions:
            raise Refusal(400, "tools cannot be sent along", hint="a team's tools stand in its team file")
        if self.response_format and self.response_format.get("type") != "text":
            raise Refusal(
                400,
                "response_format cannot be followed",
                hint="set output.schema of the agent in the team file",
            )

    def task(self) -> tuple[str, tuple[Image, ...]]:
        """Return the task and its images.

        Raises:
            Refusal: The last message is not the user's, or is empty.
        """
        *earlier, last = self.messages
        if last.role != "user":
            raise Refusal(
                400, f"the last message is the {last.role}'s; it must be the user's, which is the task"
            )
        if not last.text.strip():
            raise Refusal(400, "the last message is empty: say what the team should do")
        return _carried(earlier) + last.text, last.images


def _carried(earlier: Sequence[ChatMessage]) -> str:
    """Return the turns before the task, marked as what they are; nothing if there are none."""
    said = [f"[{message.role}]\n{message.text.strip()}" for message in earlier if message.text.strip()]
    if not said:
        return ""
    head = "Context carried over from the conversation so far; it is not the task:"
    return "\n\n".join([head, *said, "[end of the context]", "The task:"]) + "\n"
