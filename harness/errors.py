"""Everything this package raises on purpose.

    HarnessError
    ├── UsageError             the caller asked for something that cannot be (exit code 2)
    │   └── TeamError          a team file is wrong: file, line, column, hint
    ├── StoreError             the journal cannot be opened, read or written
    │   ├── RunTaken           another process, which is alive, carries the run
    │   └── Fenced             another process has taken the run over; this one must stop
    ├── TraceError             a foreign trace cannot be read: file, place, what was expected
    ├── Divergence             a run carried out again does not do what its record says
    ├── ModelError             a model call failed and is not worth repeating
    │   ├── ModelUnavailable   the endpoint could not be reached, or kept failing
    │   │   └── ModelUnreachable   there was no connection: its name, its port, its certificate
    │   ├── ModelRejected      the endpoint refused the request (4xx)
    │   │   └── QuotaUsedUp    the account has no credit or quota left
    │   ├── ModelRefused       the model, or a filter, would not answer
    │   ├── EmptyResponse      the model said nothing, twice
    │   ├── ReplyCutOff        the model's replies do not fit into its length limit
    │   ├── ContextOverflow    the request does not fit into the model's window
    │   └── ThinkingBudgetExhausted  it thought up to its budget and would not act
    ├── ToolError              a tool failed; the model sees the text and may mend it
    │   └── ToolServerError    the server behind it could not be started or was lost
    ├── RequiredServerFailed   a server the team cannot do without does not start; the run fails
    └── LimitReached           a budget is used up; the run ends with what it has

Who can mend it decides where it goes: what the model can mend becomes a tool result, what the
user can mend names the file and line or the variable, what is ours propagates with its cause.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType


class HarnessError(Exception):
    """The root of all errors raised on purpose."""


class UsageError(HarnessError):
    """The caller asked for something that cannot be done as asked."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a team file."""

    message: str
    file: str
    line: int = 0
    """Counted from 1; 0 when the place is not a line of a file."""
    column: int = 0
    """Counted from 1."""
    source: str = ""
    """The offending line."""
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        lines = [f"{place}: {self.message}"]
        if self.source and self.line:
            lines += [
                f"  {self.line} | {self.source}",
                f"  {' ' * len(str(self.line))} | {' ' * (self.column - 1)}^",
            ]
        if self.hint:
            lines.append(f"  hint: {self.hint}")
        return "\n".join(lines)


class TeamError(UsageError):
    """A team file cannot be used; `problems` holds every fault found."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class StoreError(HarnessError):
    """The journal cannot be opened, read or written."""


class RunTaken(StoreError):
    """Another process, which is alive, carries the run."""


class Fenced(StoreError):
    """Another process has taken the run over; this one must not go on with it."""


class TraceError(HarnessError):
    """A trace cannot be read; says the file, the place in it, and what was expected there."""

    def __init__(self, message: str, *, file: str = "", place: str = "") -> None:
        self.file = file
        self.place = place
        self.expected = message
        super().__init__(": ".join(part for part in (file, place, message) if part))


class Divergence(HarnessError):
    """A run that is carried out again does not do what its record says."""


class ModelError(HarnessError):
    """A model call failed and is not worth repeating."""


class ModelUnavailable(ModelError):
    """The endpoint could not be reached, or kept failing."""


class ModelUnreachable(ModelUnavailable):
    """There was no connection to the endpoint: its name, its port or its certificate is wrong, or it is down."""


class ModelRejected(ModelError):
    """The endpoint refused the request; repeating it would not help."""


class QuotaUsedUp(ModelRejected):
    """The account has no credit or quota left; another model may."""


class ModelRefused(ModelError):
    """The model, or a filter before it, would not answer; asking again would not help."""


class EmptyResponse(ModelError):
    """The model said nothing, and nothing again when it was told so."""


class ReplyCutOff(ModelError):
    """The model's replies were cut off at its length limit again and again."""


class ContextOverflow(ModelError):
    """The request does not fit into the model's context window."""


class ThinkingBudgetExhausted(ModelError):
    """A model thought up to its budget, and could not be brought to act after that."""

    tokens: int = 0
    """What was thought, in all attempts, by our count."""
    requests: int = 1
    """How many requests that were."""


class ToolError(HarnessError):
    """A tool failed; the text is shown to the model, which may mend the call."""

    served: Mapping[str, str] = MappingProxyType({})
    """How its server was reached, where it was."""


class ToolServerError(ToolError):
    """A tool server could not be started, did not answer in time, or was lost."""


class RequiredServerFailed(HarnessError):
    """A server the team cannot do without does not start; the run fails."""


class LimitReached(HarnessError):
    """A budget is used up."""

    def __init__(self, limit: str, scope: str, allowed: float) -> None:
        self.limit = limit
        self.scope = scope
        self.allowed = float(allowed)
        super().__init__(f"the {limit} limit of {scope} ({allowed:g}) is reached")


def innermost(error: BaseException) -> BaseException:
    """Return the first error inside nested groups: task groups wrap what their tasks raise."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return error  # pyright: ignore[reportUnknownVariableType]
