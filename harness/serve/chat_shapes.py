"""The JSON of the OpenAI chat completions API, as clients expect it."""

from __future__ import annotations

from collections.abc import Sequence

from harness.events import ApprovalRequested
from harness.messages import Usage
from harness.run import RunResult
from harness.serve.chat_task import ChatRequest
from harness.serve.problems import Refusal
from harness.views import citation_view, json_line, question_view


def model_view(name: str) -> dict[str, object]:
    """Return a model as the API lists it."""
    return {"id": name, "object": "model", "created": 0, "owned_by": "harness"}


def completion(
    result: RunResult, waiting: Sequence[ApprovalRequested], asked: ChatRequest, created: int
) -> dict[str, object]:
    """Return a whole answer."""
    message = {"role": "assistant", "content": content_of(result, waiting), "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason(result)}
    return {
        "id": result.run_id,
        "object": "chat.completion",
        "created": created,
        "model": asked.model,
        "choices": [choice],
        "usage": chat_usage(result.usage),
        "harness": extension(result, waiting, asked),
    }


def content_of(result: RunResult, waiting: Sequence[ApprovalRequested]) -> str:
    """Return the answer as text; data as JSON, and a run that waits says for what."""
    if result.stop_reason == "suspended":
        return waiting_text(result.run_id, waiting)
    return result.output if isinstance(result.output, str) else json_line(result.output)


def waiting_text(run_id: str, waiting: Sequence[ApprovalRequested]) -> str:
    """Return which calls a run waits for, and how to answer."""
    lines = [f"Run {run_id} waits for a person."]
    for question in waiting:
        lines.append(f"- {question.tool} {question.arguments} ({question.message or question.kind})")
        lines.append(f"  POST /runs/{run_id}/approve with {json_line({'call': question.key, 'allow': True})}")
    return "\n".join(lines)


def finish_reason(result: RunResult) -> str:
    """Return why the answer ends where it does."""
    return "length" if result.stop_reason in ("limit", "budget_exhausted") else "stop"


def chat_usage(usage: Usage) -> dict[str, object]:
    """Return the tokens of all agents together."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def extension(
    result: RunResult, waiting: Sequence[ApprovalRequested], asked: ChatRequest
) -> dict[str, object]:
    """Return what the API has no place for."""
    return {
        "run_id": result.run_id,
        "stop_reason": result.stop_reason,
        "citations": [citation_view(citation) for citation in result.citations],
        "dropped": list(result.dropped),
        "notes": list(result.notes),
        "waiting": [question_view(question) for question in waiting],
        "cost": result.cost,
        "ignored": asked.ignored,
    }


def failure(result: RunResult) -> Refusal:
    """Return the error for a run without an answer; clients are told not to pay for it twice."""
    reason = result.error or "it has no answer"
    return Refusal(
        500,
        f"run {result.run_id} {result.stop_reason}: {reason}",
        headers={"x-should-retry": "false"},
        code=f"run_{result.stop_reason}",
    )
