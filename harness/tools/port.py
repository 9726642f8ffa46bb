"""The tool port: what the loop knows about tools, wherever they run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from hashlib import blake2b
from typing import Any, Protocol

import orjson
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for  # pyright: ignore[reportUnknownVariableType]
from referencing import Registry

from harness.events import EffectClass
from harness.messages import Image, ToolDefinition
from harness.tools.fitting import Fits, plain_fit

ReportProgress = Callable[[float, float | None, str], None]
"""Receives how much is done, of how much if known, and a word about it. Must not raise or block."""


def ignore_progress(done: float, total: float | None, message: str) -> None:
    """Drop a progress report."""


@dataclass(frozen=True, slots=True)
class Inquiry:
    """What a tool's server wants to know from a person before it goes on."""

    message: str
    form: Mapping[str, Any]
    """JSON Schema of the answer."""
    request: str = ""
    """The server's name for it; empty if `form` has one property for each of several."""
    state: str = ""
    """Goes back to the server together with the answer."""


class InputRequired(Exception):
    """A tool cannot go on before somebody answers; it is called again with the answer."""

    def __init__(self, inquiry: Inquiry) -> None:
        self.inquiry = inquiry
        super().__init__(inquiry.message)


@dataclass(frozen=True, slots=True)
class InquiryAnswer:
    """What a person said to an inquiry."""

    inquiry: Inquiry
    content: Mapping[str, Any] | None
    """None if nobody wanted to answer."""


AskPerson = Callable[[Inquiry], Awaitable[InquiryAnswer]]
"""Asks while the call goes on; for servers that cannot be called again."""


@dataclass(frozen=True, slots=True)
class CallContext:
    """The place a call is made from."""

    agent: str
    """Path of the agent run."""
    turn: int
    call_id: str
    key: str
    """Unique within the run and the same in every replay."""
    report_progress: ReportProgress = ignore_progress
    run_id: str = ""
    """The run; together with `key` it makes the idempotency key of `keyed` tools."""
    answer: InquiryAnswer | None = None
    """The answer to what the call's last attempt wanted to know."""
    ask: AskPerson | None = None
    """None where nobody can be asked."""
    traceparent: str = ""
    """W3C trace context of the call's span, for servers that make spans of their own."""


@dataclass(frozen=True, slots=True)
class ToolOutput:
    """What a tool gave back."""

    text: str
    is_error: bool = False
    error_type: str = ""
    images: tuple[Image, ...] = ()
    origin: str = ""
    """Origin of the window entry, where it is not the tool itself; `report:PATH` for sub-agents."""
    served: Mapping[str, str] = field(default_factory=dict[str, str])
    """How its server was reached, for traces; see `harness.events.ToolCallFinished`."""


Invoke = Callable[[Mapping[str, Any], CallContext], Awaitable[ToolOutput]]


@dataclass(frozen=True)
class Tool:
    """One tool, ready to be offered and run.

    `invoke` may raise `ToolError`; the loop shows its text to the model.
    """

    definition: ToolDefinition
    invoke: Invoke = field(repr=False)
    effect: EffectClass = "once"
    external: bool = True
    """False for the tools of the harness itself; their results are not sources to quote from."""

    today: ToolDefinition | None = None
    """What its server says of it now, where `definition` is what an agent run began with."""

    @cached_property
    def fingerprint(self) -> str:
        """A hash of what the server says of it: a decision about a tool holds for exactly this tool."""
        return blake2b((self.today or self.definition).encoded, digest_size=16).hexdigest()

    def plainly_fits(self, arguments: Mapping[str, Any]) -> bool:
        """Return whether a glance at the schema is enough to see that the arguments fit."""
        fits, validator = _judges(self.definition.encoded)
        return validator is not None and fits is not None and fits(arguments)

    def faults(self, arguments: Mapping[str, Any]) -> list[str]:
        """Return what the schema has against `arguments`, each with the path of the field.

        Returns nothing if the schema itself is broken: then only the tool can judge.
        """
        _, validator = _judges(self.definition.encoded)
        if validator is None or self.plainly_fits(arguments):
            return []
        try:
            return schema_faults(validator, arguments)
        except Exception:  # a reference to nowhere, a pattern that is no pattern, a schema without end
            return []


class Toolset(Protocol):
    """A source of tools.

    Not aware of agents' permissions or of what is recorded. `FunctionToolset` is the in-memory twin.
    """

    async def tools(self, patterns: Sequence[str]) -> list[Tool]:
        """Return the tools whose names match any of `patterns` (`server.*`), in a stable order.

        Raises:
            ToolServerError: A server that is needed could not be started.
        """
        ...


@lru_cache(maxsize=1024)
def _judges(definition: bytes) -> tuple[Fits | None, Validator | None]:
    """Return what decides about the arguments of a tool, made once for all agent runs that have it.

    A tool's definition is told as JSON, by which equal ones are known.
    """
    schema: dict[str, Any] = orjson.loads(definition)["parameters"]
    validator = schema_validator(schema)
    return plain_fit(schema) if validator is not None else None, validator


def schema_validator(schema: Mapping[str, Any]) -> Validator | None:
    """Return a validator for the dialect `schema` names, or None if it is not a valid schema.

    References are followed inside the schema only: nothing is ever fetched for one.
    """
    dialect = validator_for(dict(schema), default=Draft202012Validator)
    try:
        dialect.check_schema(dict(schema))
    except SchemaError:
        return None
    return dialect(dict(schema), registry=Registry())


def schema_faults(validator: Validator, value: Any, *, limit: int = 5) -> list[str]:
    """Return at most `limit` sentences on where `value` breaks the validator's schema."""
    errors: list[ValidationError] = []
    for error in validator.iter_errors(value):  # pyright: ignore[reportUnknownMemberType]
        errors.append(error)
        if len(errors) == limit:
            break
    return [f"{_place(error)}: {error.message[:300]}" for error in errors]


def _place(error: ValidationError) -> str:
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path)
    return path.removeprefix(".") or "arguments"
