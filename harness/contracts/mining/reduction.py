"""What goes without saying: contracts that others imply are left out, and two that are one are joined."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from harness.contracts import templates as t
from harness.contracts.contract import Contract, Link
from harness.contracts.language import parse_contract

_SPACINGS = ("any", "alternate", "chain")
_JOINED = {"any": "{a} then {b}", "alternate": "each {a} then {b}", "chain": "{a} immediately then {b}"}


@dataclass(frozen=True)
class Proposal:
    """A contract that is kept wherever it has something to say, and more often than by chance."""

    contract: Contract
    runs: int
    """In how many runs it has something to say."""
    activations: int
    """How often, in all of them."""
    p: float
    """The probability that chance alone keeps it in all of them."""
    q: float
    """The least rate of false discoveries at which it is proposed."""


def reduced(proposals: Iterable[Proposal]) -> list[Proposal]:
    """Return the proposals without those that the others imply; what they say together is the same."""
    left = sorted(proposals, key=lambda one: (one.contract.link is not None, _strength(one.contract)))
    for one in list(left):
        rest = _Said([other.contract for other in left if other is not one])
        if rest.implies(one.contract):
            left.remove(one)
    return left


def joined(proposals: Sequence[Proposal]) -> Iterator[tuple[Contract, tuple[Proposal, ...]]]:
    """Yield the contracts with their proposals; a response and a precedence of the same calls are a succession."""
    taken: set[str] = set()
    for one in proposals:
        if one.contract.text in taken:
            continue
        partner = next((other for other in proposals if _are_one(one.contract, other.contract)), None)
        if partner is None:
            yield one.contract, (one,)
            continue
        taken.add(partner.contract.text)
        yield _succession(one.contract), (one, partner)


def _are_one(one: Contract, other: Contract) -> bool:
    return (
        bool(one.template.parts)
        and one.template.parts != other.template.parts
        and _pair(one) == _pair(other)
        and one.template.spacing == other.template.spacing
        and one.link == other.link
        and not (one.link and one.link.from_result)
    )


def _succession(contract: Contract) -> Contract:
    first, second = _pair(contract)
    text = _JOINED[contract.template.spacing].format(a=first, b=second)
    if contract.link is not None:
        (of_second,), (of_first,) = contract.link.of_second, contract.link.of_first
        same = of_second == of_first
        text += f" with same {of_first}" if same else f" where {of_second} from {of_first}"
    return parse_contract(text)


def _strength(contract: Contract) -> tuple[int, str]:
    return _SPACINGS.index(contract.template.spacing), contract.text


def _pair(contract: Contract) -> tuple[str, str]:
    return contract.first.phrase, contract.second.phrase if contract.second else ""


def _ends(contract: Contract, *, linked: bool = True) -> tuple[object, object]:
    """Return the calls it leads from and to; where it is linked, with what ties them."""
    first, second = _pair(contract)
    link = contract.link
    if link is None or not linked:
        return first, second
    return (first, link.of_first, link.from_result), (second, link.of_second, False)


class _Said:
    """Contracts that are said already."""

    def __init__(self, contracts: Sequence[Contract]) -> None:
        self._contracts = contracts

    def implies(self, contract: Contract) -> bool:
        """Return whether whoever keeps these keeps that one too."""
        if not contract.template.parts:
            return self._implies_count(contract)
        if any(_is_stronger(other, contract) for other in self._contracts):
            return True
        if contract.template.spacing != "any":
            return False
        if contract.link is None and self._ends_imply(contract):
            return True
        return self._leads(contract)

    def _implies_count(self, contract: Contract) -> bool:
        tool = contract.first.phrase
        if contract.template is t.EXISTENCE:
            return tool in self._always - {tool} or self._is_counted(tool)
        return contract.template is t.ABSENCE and tool in self._once and self._is_counted(tool)

    def _is_counted(self, tool: str) -> bool:
        return any(
            one.template is t.EXACTLY and one.number == 1 and one.first.phrase == tool
            for one in self._contracts
        )

    def _ends_imply(self, contract: Contract) -> bool:
        """Return whether it follows from which call is the first, or the last, of all."""
        first, second = _pair(contract)
        if contract.template is t.PRECEDENCE:
            return first in self._firsts or second in self._lasts & self._once and first in self._always
        return second in self._lasts or first in self._firsts & self._once and second in self._always

    def _leads(self, contract: Contract) -> bool:
        """Return whether it follows from others, each of which begins where the one before ends."""
        start, goal = _ends(contract)
        seen, pending = {start}, [start]
        while pending:
            place = pending.pop()
            for other in self._contracts:
                if other.template.parts != contract.template.parts:
                    continue
                begin, end = _ends(other, linked=contract.link is not None)
                if begin == place and end not in seen:
                    seen.add(end)
                    pending.append(end)
        return goal in seen

    def _tools(self, *templates: t.Template, number: int) -> frozenset[str]:
        return frozenset(
            one.first.phrase for one in self._contracts if one.template in templates and one.number == number
        )

    @cached_property
    def _firsts(self) -> frozenset[str]:
        return self._tools(t.INIT, number=0)

    @cached_property
    def _lasts(self) -> frozenset[str]:
        return self._tools(t.LAST, number=0)

    @cached_property
    def _once(self) -> frozenset[str]:
        return self._tools(t.ABSENCE, t.EXACTLY, number=1)

    @cached_property
    def _always(self) -> frozenset[str]:
        """The tools that are called in every trace."""
        found = set(self._tools(t.EXISTENCE, t.EXACTLY, number=1) | self._tools(t.EXACTLY, number=2))
        ordered = [one for one in self._contracts if one.template.parts]
        while True:
            more = {
                first if one.template.parts == ("precedence",) else second
                for one in ordered
                for first, second in [_pair(one)]
                if (second if one.template.parts == ("precedence",) else first) in found
            }
            if more <= found:
                return frozenset(found)
            found |= more


def _is_stronger(one: Contract, other: Contract) -> bool:
    """Return whether the one contract, of the same calls, says all that the other one says."""
    if one.template.parts != other.template.parts or _pair(one) != _pair(other):
        return False
    if other.link is not None:
        return one.link is not None and _says_it_plainer(one.link, other.link)
    nearer = _SPACINGS.index(one.template.spacing) > _SPACINGS.index(other.template.spacing)
    return nearer or one.link is not None and other.template.spacing == "any"


def _says_it_plainer(one: Link, other: Link) -> bool:
    """Return whether of two origins of one argument the first is the one to name."""
    if one.of_second != other.of_second or one == other:
        return False
    return _plainness(one) < _plainness(other)


def _plainness(link: Link) -> tuple[bool, bool, tuple[str, ...]]:
    return link.of_first != link.of_second, not link.from_result, link.of_first
