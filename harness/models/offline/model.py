"""`OfflineModel`: a model port played by rules.

It is no language model and does not pretend to be one: it splits questions by their grammar, looks
things up with the tools on offer, and arranges the sentences it found. Every reply is a pure
function of the messages and the tools, so the same conversation always continues in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence

import anyio.lowlevel

from harness.messages import Message, ToolDefinition
from harness.models.offline.briefs import read_brief
from harness.models.offline.conversation import read_conversation
from harness.models.offline.critic import criticise
from harness.models.offline.extractor import extract
from harness.models.offline.offers import read_offers
from harness.models.offline.orchestrator import orchestrate
from harness.models.offline.researcher import research
from harness.models.offline.roles import choose_role
from harness.models.offline.writer import write
from harness.models.port import CallOptions, ModelResponse, Observe, Price, Transcript
from harness.models.transcripts import MessageTranscript

NOTE = (
    "Written by the offline model: it extracts and arranges sentences it found, and is not a language model."
)

_POLICIES = {
    "orchestrator": orchestrate,
    "researcher": research,
    "critic": criticise,
    "writer": write,
    "extractor": extract,
}


def reply(messages: Sequence[Message], tools: Sequence[ToolDefinition]) -> Message:
    """Return the next message of whichever role the tools and the brief call for."""
    conversation = read_conversation(messages)
    offers = read_offers(tools)
    brief = read_brief(conversation)
    role = choose_role(offers, conversation.instructions, brief.objective, has_reports=bool(brief.reports))
    return _POLICIES[role](conversation, offers)


class OfflineModel:
    """Plays a model's part by deterministic policies; needs no key and no network."""

    name = "offline"
    provider = "offline"
    context_window: int | None = None
    price: Price | None = None

    def open(self, tools: Sequence[ToolDefinition]) -> Transcript:
        """Return an empty transcript that offers `tools`."""
        return MessageTranscript(tools)

    async def respond(self, transcript: Transcript, options: CallOptions, observe: Observe) -> ModelResponse:
        """Return the reply of the role that the offered tools call for."""
        assert isinstance(transcript, MessageTranscript)
        await anyio.lowlevel.checkpoint()
        tools = () if options.tool_choice == "none" else transcript.tools
        message = reply(transcript.messages, tools)
        stop_reason = "tool_calls" if message.tool_calls else "end"
        return ModelResponse(message, stop_reason, None, self.name, notes=(NOTE,))

    async def close(self) -> None:
        """Do nothing; there is nothing to release."""
