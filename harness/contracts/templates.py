"""The templates of Declare: what may be said about the order of calls, each with its formula and automaton.

Sources: W. van der Aalst, M. Pesic and H. Schonenberg, "Declarative workflows: Balancing between flexibility
and support" (2009); M. Pesic, "Constraint-based workflow management systems" (2008); the formulas over finite
traces follow G. De Giacomo, R. De Masellis and M. Montali, "Reasoning on LTL on finite traces" (2014).

Formulas: `a` and `b` are calls of the first and the second kind; `X` is the next call and there is one, `N` the
next call if there is one, `F` now or later, `G` now and always later, `U` until, `W` until or always. Declare
takes activities to exclude each other; here one call may be of both kinds, and then it does not count as
the other call that it needs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from harness.contracts.automata import Automaton, Row

Spacing = Literal["any", "alternate", "chain"]
Part = Literal["response", "precedence"]


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """One way to order calls."""

    name: str
    formula: str
    """In linear temporal logic over finite traces; the empty trace has no position, so `F true` is false in it."""
    automaton: Automaton | None = None
    """None for counts, whose automaton depends on the number."""
    parts: tuple[Part, ...] = ()
    """What each call wants: a first call a second one later, a second call a first one earlier."""
    spacing: Spacing = "any"
    negated: bool = False
    """Whether what the parts describe is what must not happen."""


def _rows(rows: Iterable[Row], accepting: Iterable[int]) -> Automaton:
    return Automaton(tuple(rows), frozenset(accepting))


_DEAD_2: Row = (2, 2, 2, 2)
_DEAD_3: Row = (3, 3, 3, 3)
_NEVER_AFTER = _rows([(0, 1, 0, 1), (1, 1, 2, 2), _DEAD_2], {0, 1})
_NEVER_RIGHT_AFTER = _rows([(0, 1, 0, 1), (0, 1, 2, 2), _DEAD_2], {0, 1})
_NOT_BOTH = _rows([(0, 1, 2, 3), (1, 1, 3, 3), (2, 3, 2, 3), _DEAD_3], {0, 1, 2})

EXISTENCE = Template("existence", "F(a & X F(a & …)), n times")
ABSENCE = Template("absence", "!existence(n + 1)")
EXACTLY = Template("exactly", "existence(n) & absence(n + 1)")
INIT = Template("init", "F true -> a", _rows([(2, 1, 2, 1), (1, 1, 1, 1), _DEAD_2], {0, 1}))
LAST = Template("last", "F true -> F(a & N false)", _rows([(1, 0, 1, 0), (1, 0, 1, 0)], {0}))
RESPONDED_EXISTENCE = Template(
    "responded existence", "F a -> F b", _rows([(0, 1, 2, 2), (1, 1, 2, 2), _DEAD_2], {0, 2})
)
CO_EXISTENCE = Template(
    "co-existence",
    "(F a -> F b) & (F b -> F a)",
    _rows([(0, 1, 2, 3), (1, 1, 3, 3), (2, 3, 2, 3), _DEAD_3], {0, 3}),
)
RESPONSE = Template("response", "G(a -> X F b)", _rows([(0, 1, 0, 1), (1, 1, 0, 1)], {0}), ("response",))
PRECEDENCE = Template(
    "precedence", "!b W (a & !b)", _rows([(0, 1, 2, 2), (1, 1, 1, 1), _DEAD_2], {0, 1}), ("precedence",)
)
SUCCESSION = Template(
    "succession",
    "G(a -> X F b) & (!b W (a & !b))",
    _rows([(0, 1, 3, 3), (1, 1, 2, 1), (2, 1, 2, 1), _DEAD_3], {0, 2}),
    ("response", "precedence"),
)
ALTERNATE_RESPONSE = Template(
    "alternate response",
    "G(a -> X(!a U b))",
    _rows([(0, 1, 0, 1), (1, 2, 0, 1), _DEAD_2], {0}),
    ("response",),
    "alternate",
)
ALTERNATE_PRECEDENCE = Template(
    "alternate precedence",
    "(!b W (a & !b)) & G((b & !a) -> N(!b W (a & !b)))",
    _rows([(0, 1, 2, 2), (1, 1, 0, 1), _DEAD_2], {0, 1}),
    ("precedence",),
    "alternate",
)
ALTERNATE_SUCCESSION = Template(
    "alternate succession",
    "G(a -> X(!a U b)) & (!b W (a & !b)) & G((b & !a) -> N(!b W (a & !b)))",
    _rows([(0, 1, 2, 2), (1, 2, 0, 1), _DEAD_2], {0}),
    ("response", "precedence"),
    "alternate",
)
CHAIN_RESPONSE = Template(
    "chain response",
    "G(a -> X b)",
    _rows([(0, 1, 0, 1), (2, 2, 0, 1), _DEAD_2], {0}),
    ("response",),
    "chain",
)
CHAIN_PRECEDENCE = Template(
    "chain precedence",
    "!b & G(X b -> a)",
    _rows([(0, 1, 2, 2), (0, 1, 0, 1), _DEAD_2], {0, 1}),
    ("precedence",),
    "chain",
)
CHAIN_SUCCESSION = Template(
    "chain succession",
    "G(a -> X b) & !b & G(X b -> a)",
    _rows([(0, 1, 2, 2), (2, 2, 0, 1), _DEAD_2], {0}),
    ("response", "precedence"),
    "chain",
)
NOT_CO_EXISTENCE = Template("not co-existence", "!(F a & F b)", _NOT_BOTH, negated=True)
NOT_RESPONDED_EXISTENCE = Template("not responded existence", "F a -> !F b", _NOT_BOTH, negated=True)
NOT_RESPONSE = Template("not response", "G(a -> !X F b)", _NEVER_AFTER, ("response",), negated=True)
NOT_PRECEDENCE = Template("not precedence", "G(X F b -> !a)", _NEVER_AFTER, ("precedence",), negated=True)
NOT_SUCCESSION = Template("not succession", "G(a -> !X F b)", _NEVER_AFTER, ("response",), negated=True)
NOT_CHAIN_RESPONSE = Template(
    "not chain response", "G(a -> !X b)", _NEVER_RIGHT_AFTER, ("response",), "chain", negated=True
)
NOT_CHAIN_PRECEDENCE = Template(
    "not chain precedence", "G(X b -> !a)", _NEVER_RIGHT_AFTER, ("precedence",), "chain", negated=True
)
NOT_CHAIN_SUCCESSION = Template(
    "not chain succession", "G(a -> !X b)", _NEVER_RIGHT_AFTER, ("response",), "chain", negated=True
)

COUNTS = (EXISTENCE, ABSENCE, EXACTLY)
TEMPLATES = {
    template.name: template
    for template in (
        *COUNTS,
        INIT,
        LAST,
        RESPONDED_EXISTENCE,
        CO_EXISTENCE,
        RESPONSE,
        PRECEDENCE,
        SUCCESSION,
        ALTERNATE_RESPONSE,
        ALTERNATE_PRECEDENCE,
        ALTERNATE_SUCCESSION,
        CHAIN_RESPONSE,
        CHAIN_PRECEDENCE,
        CHAIN_SUCCESSION,
        NOT_CO_EXISTENCE,
        NOT_RESPONDED_EXISTENCE,
        NOT_RESPONSE,
        NOT_PRECEDENCE,
        NOT_SUCCESSION,
        NOT_CHAIN_RESPONSE,
        NOT_CHAIN_PRECEDENCE,
        NOT_CHAIN_SUCCESSION,
    )
}
"""Every template, by its name in the literature."""
