"""From a line that can be read aloud to a contract.

corpus.search before corpus.read                       every read has an earlier search
files.read before files.write with same path           … of the same file
orders.find before orders.cancel where order_id from result
tests.run succeeds before git.commit
files.write(path=src/*) followed by tests.run
at most 3 identical calls
never git.push after secrets.read
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from harness.contracts import templates as t
from harness.contracts.contract import Contract, Enforce, Link, Severity
from harness.contracts.patterns import ANY_CALL, Pattern
from harness.contracts.templates import Template
from harness.contracts.words import ContractError, Words

MOST = 10_000
"""The largest number in a contract."""

_EXAMPLE = "corpus.search before corpus.read"
_AFTER_CALLS = (
    "at", "before", "exactly", "excludes", "first", "followed", "immediately", "last", "never", "requires",
    "then", "together",
)  # fmt: skip
_RELATIONS: dict[tuple[str, ...], tuple[Template, ...]] = {
    ("before",): (t.PRECEDENCE, t.CHAIN_PRECEDENCE, t.NOT_PRECEDENCE, t.NOT_CHAIN_PRECEDENCE),
    ("followed", "by"): (t.RESPONSE, t.CHAIN_RESPONSE, t.NOT_RESPONSE, t.NOT_CHAIN_RESPONSE),
    ("then",): (t.SUCCESSION, t.CHAIN_SUCCESSION, t.NOT_SUCCESSION, t.NOT_CHAIN_SUCCESSION),
}
"""By the words between two calls: plain, immediately, never, never immediately."""
_EACH = {
    t.RESPONSE: t.ALTERNATE_RESPONSE,
    t.SUCCESSION: t.ALTERNATE_SUCCESSION,
    t.PRECEDENCE: t.ALTERNATE_PRECEDENCE,
}
_LOOKS_BACK = frozenset(
    {
        t.PRECEDENCE, t.ALTERNATE_PRECEDENCE, t.CHAIN_PRECEDENCE, t.NOT_RESPONSE, t.NOT_PRECEDENCE,
        t.NOT_SUCCESSION, t.NOT_CHAIN_RESPONSE, t.NOT_CHAIN_PRECEDENCE, t.NOT_CHAIN_SUCCESSION,
    }
)  # fmt: skip
"""The templates in which only the second call can be at fault."""
_ENABLED = frozenset({t.PRECEDENCE, t.ALTERNATE_PRECEDENCE, t.CHAIN_PRECEDENCE})


def parse_contract(
    text: str, *, because: str = "", severity: Severity = "error", enforce: Enforce = "live"
) -> Contract:
    """Return the contract that a line of `order:` means.

    Raises:
        ContractError: It cannot be read; says where and how to mend it.
    """
    words = Words(text)
    made = _contract(words)
    if words.peek() is not None:
        raise words.unknown(("with", "where", "per", "or", "by", "succeeds", "fails"), _EXAMPLE)
    first = replace(made.first, every=True) if made.template in _ENABLED else made.first
    return Contract(
        text=" ".join(text.split()),
        template=made.template,
        first=first,
        second=made.second,
        number=made.number,
        link=made.link,
        identical=made.identical,
        per_turn=made.per_turn,
        because=because,
        severity=severity,
        enforce=enforce,
    )


@dataclass(frozen=True, slots=True)
class _Made:
    template: Template
    first: Pattern
    second: Pattern | None = None
    number: int = 0
    link: Link | None = None
    identical: bool = False
    per_turn: bool = False


def _contract(words: Words) -> _Made:
    counting = _counting(words)
    if counting is not None:
        return _count_of_calls(words, counting, _number(words))
    if words.takes("never"):
        pattern = words.pattern()
        if words.takes("after"):
            return _linked(words, _Made(t.NOT_RESPONSE, words.pattern(), pattern))
        return _Made(t.ABSENCE, pattern)
    each = words.takes("each")
    first = words.pattern()
    if each:
        made = _related(words, first)
        if made is None or made.template not in (t.RESPONSE, t.SUCCESSION):
            raise words.unknown(("followed", "then"), "each orders.open followed by orders.close")
        return _linked(words, replace(made, template=_EACH[made.template]))
    counting = _counting(words)
    if counting is not None:
        made = _Made(counting, first, number=_times(words))
        return _linked(words, replace(made, per_turn=words.takes("per", "turn")))
    return _order_of(words, first)


def _order_of(words: Words, first: Pattern) -> _Made:
    if words.takes("first"):
        return _Made(t.INIT, first)
    if words.takes("last"):
        return _Made(t.LAST, first)
    if words.takes("requires"):
        return _linked(words, _Made(t.RESPONDED_EXISTENCE, first, words.pattern()))
    if words.takes("excludes"):
        return _linked(words, _Made(t.NOT_RESPONDED_EXISTENCE, first, words.pattern()))
    if words.takes("together", "with"):
        return _linked(words, _Made(t.CO_EXISTENCE, first, words.pattern()))
    if words.takes("never", "together", "with"):
        return _linked(words, _Made(t.NOT_CO_EXISTENCE, first, words.pattern()))
    made = _related(words, first)
    if made is None:
        raise words.unknown(_AFTER_CALLS, _EXAMPLE)
    return _linked(words, made)


def _related(words: Words, first: Pattern) -> _Made | None:
    never = words.takes("never")
    immediately = words.takes("immediately")
    for spelled, variants in _RELATIONS.items():
        if words.takes(*spelled):
            template = variants[immediately + 2 * never]
            if template is t.PRECEDENCE and words.takes("each"):
                template = t.ALTERNATE_PRECEDENCE
            return _Made(template, first, words.pattern())
    if never or immediately:
        raise words.unknown(("before", "followed", "then", "immediately", "together"), _EXAMPLE)
    return None


def _counting(words: Words) -> Template | None:
    if words.takes("at"):
        if words.takes("most"):
            return t.ABSENCE
        if words.takes("least"):
            return t.EXISTENCE
        raise words.unknown(("most", "least"), "at most 3 identical calls")
    return t.EXACTLY if words.takes("exactly") else None


def _number(words: Words) -> int:
    word = words.take("a number")
    if not word.text.isascii() or not word.text.isdigit() or not int(word.text[:9]) <= MOST:
        raise ContractError(
            f"expected a number, got '{word.text}'", word.at, "as in: at most 3 calls of web.fetch"
        )
    return int(word.text[:9])


def _times(words: Words) -> int:
    for text, number in (("once", 1), ("twice", 2)):
        if words.takes(text):
            return number
    number = _number(words)
    if not words.takes("times"):
        raise words.unknown(("times",), f"web.fetch at most {number} times")
    return number


def _count_of_calls(words: Words, template: Template, number: int) -> _Made:
    identical = words.takes("identical")
    if not words.takes("calls") and not words.takes("call"):
        raise words.unknown(("calls", "call", "identical"), f"at most {number} calls of web.fetch")
    first = words.pattern() if words.takes("of") else ANY_CALL
    if identical and template is not t.ABSENCE:
        raise ContractError(
            "identical calls can only be limited", 0, f"as in: at most {number} identical calls"
        )
    return _linked(
        words, _Made(template, first, number=number, identical=identical, per_turn=words.takes("per", "turn"))
    )


def _linked(words: Words, made: _Made) -> _Made:
    """Read how the calls belong together, if that is said."""
    word = words.peek()
    if words.takes("with", "same"):
        paths = [words.take("the name of an argument").text]
        while words.takes("and"):
            paths.append(words.take("the name of an argument").text)
        link = Link(tuple(paths), tuple(paths))
    elif words.takes("where"):
        of_second = words.take("the name of an argument").text
        words.expect("from")
        source = words.take("the name of an argument, or result")
        head, _, path = source.text.partition(".")
        if head == "result" and made.template not in _LOOKS_BACK:
            hint = "it goes with 'before' and 'never … after'"
            raise ContractError(
                "'from result' says where an argument of a later call comes from", source.at, hint
            )
        link = Link((of_second,), (path,), True) if head == "result" else Link((of_second,), (source.text,))
    else:
        return made
    assert word is not None
    if made.second is None and (
        link.from_result or link.of_first != link.of_second or made.template is t.EXACTLY
    ):
        raise ContractError("there is no second call that this could belong to", word.at)
    if made.identical:
        raise ContractError("identical calls have all arguments the same", word.at)
    if made.second is None and made.template is t.EXISTENCE:
        raise ContractError("a least number of calls cannot depend on a value", word.at)
    return replace(made, link=link)
