"""How likely it is that a contract is kept by chance; everything as natural logarithms.

The null models keep what a run did and take away when, or with what, it did it:

- of order: the calls of a trace came in any order, each as likely as the others;
- of numbers: the calls of all traces were dealt to the traces at random, each keeping its length;
- of ties: the values of an argument were dealt to the traces at random.

A mined contract is kept in every trace, which is one event; its p-value is the probability of that event
or, where that has no closed form, an upper bound of it. Before the order of the calls is looked at, the
p-value it would have is known, so contracts that chance alone may well keep need not be asked about.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache
from math import exp, inf, lgamma, log

Spacings = tuple[float, float, float]
"""Plain; alternate, given that plain is kept; chain, given that alternate is kept."""


@lru_cache(maxsize=65536)
def spacings(wanting: int, wanted: int, others: int) -> Spacings:
    """Return how likely each of `wanting` calls has a call of `wanted` on its right side, in one trace.

    That it is the side before or the side after makes no difference.
    """
    plain = log(wanted / (wanting + wanted)) if wanted else -inf
    if wanted < wanting:
        return plain, -inf, -inf
    alternate = _choices(wanted, wanting) - _choices(wanting + wanted, wanting)
    chain = _factorial(wanted + others) + _factorial(wanted)
    chain -= _factorial(wanted - wanting) + _factorial(wanting + wanted + others)
    return plain, min(0.0, alternate - plain), min(0.0, chain - alternate)


def first_of(calls: int, size: int) -> float:
    """Return how likely one of `calls` out of `size` is the first, or the last."""
    return log(calls / size) if calls else -inf


def exactly(number: int, sizes: Sequence[int]) -> float:
    """Return how likely calls of one tool, `number` for each trace, are so dealt to traces of these sizes."""
    if min(sizes) < number:
        return -inf
    dealt = sum(_choices(size, number) for size in sizes)
    return min(0.0, dealt - _choices(sum(sizes), number * len(sizes)))


def at_least_once(calls: int, sizes: Sequence[int]) -> float:
    """Return a bound on how likely every trace gets one of so many calls.

    Numbers that are dealt are negatively associated (Joag-Dev and Proschan, 1983), so that all are high, or
    all low, is at most as likely as if they were independent.
    """
    if calls < len(sizes):
        return -inf
    whole = sum(sizes)
    none = (_choices(whole - size, calls) - _choices(whole, calls) for size in sizes)
    return sum(log(max(1e-300, 1 - exp(one))) for one in none)


def at_most_once(calls: int, sizes: Sequence[int]) -> float:
    """Return a bound on how likely no trace gets two of so many calls."""
    if calls > len(sizes):
        return -inf
    whole = sum(sizes)
    total = 0.0
    for size in sizes:
        none, one = _choices(whole - size, calls), _choices(whole - size, calls - 1)
        if one == -inf:
            return -inf
        total += min(0.0, log(exp(none - one) + size) + one - _choices(whole, calls))
    return total


def grouped(groups: Collection[tuple[AbstractSet[int], AbstractSet[int]]]) -> float:
    """Return a bound on how likely in every group a wanted call comes first (or last) of all.

    Groups that share no call are independent; leaving out those that do makes it no less likely.

    Args:
        groups: Of each value, the calls that want and the others that are wanted.
    """
    taken: set[int] = set()
    total = 0.0
    for wanting, wanted in groups:
        if taken.isdisjoint(wanting) and taken.isdisjoint(wanted):
            taken |= wanting | wanted
            total += log(len(wanted) / (len(wanting) + len(wanted))) if wanted else -inf
    return total


def tied(fitting: Sequence[int]) -> float:
    """Return a bound on how likely values dealt to as many places all fit: Bregman's, of a permanent.

    Args:
        fitting: How many of the values fit each place.
    """
    if min(fitting) == 0:
        return -inf
    return min(0.0, sum(_factorial(one) / one for one in fitting) - _factorial(len(fitting)))


def adjusted(chances: Sequence[float], tested: int) -> list[float]:
    """Return the p-values of contracts that are kept, as false-discovery rates at which they are proposed.

    Y. Benjamini and D. Yekutieli, "The control of the false discovery rate in multiple testing under
    dependency" (2001): it holds whatever the tests have to do with each other, and those of contracts on
    the same calls have much.

    Args:
        tested: How many contracts were asked about, with those that are broken.
    """
    adjusted = [0.0] * len(chances)
    lowest = 0.0
    ranked = sorted(range(len(chances)), key=chances.__getitem__)
    for rank, place in reversed(list(enumerate(ranked, 1))):
        lowest = min(lowest, chances[place] + log(_price(tested) / rank))
        adjusted[place] = lowest
    return adjusted


def traces_needed(tested: int, rate: float) -> int:
    """Return in how many traces two calls must come, once each and in one order, to be told from chance."""
    needed = 1
    while 2.0**-needed * _price(tested) > rate:
        needed += 1
    return needed


def _price(tested: int) -> float:
    return tested * sum(1 / n for n in range(1, tested + 1))


def _factorial(number: int) -> float:
    return lgamma(number + 1)


def _choices(whole: int, part: int) -> float:
    if not 0 <= part <= whole:
        return -inf
    return lgamma(whole + 1) - lgamma(part + 1) - lgamma(whole - part + 1)
