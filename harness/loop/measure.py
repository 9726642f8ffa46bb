"""What a request will have by the provider's count, told from ours.

Our count is off by what a vocabulary, a template and an image make of it. What a provider has counted once
is known, though: a request is the one before it, the reply to that, and what is new; so only what is new is
estimated, by how what was new before compared. An agent run's measure is a fold of its own events; the
first request of a sub-agent is measured by the agent that waits for it, whose turn does not go on meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from harness.messages import Usage

_LARGEST_RATIO = 2.0
"""The most that a provider is believed to count for one token of ours."""
_SMALLEST_RATIO = 0.75
"""The least: a window that is taken for smaller than it is may be cut off without a word."""
_PRIOR = 2_000
"""Tokens in which both are taken to agree before anything is known, so that a template says little of the rest."""
_TEMPLATE = 2_000
"""Tokens that it may count beyond that, for what it puts around a request itself."""


@dataclass(frozen=True, slots=True)
class Measure:
    """How the provider's count goes with ours."""

    reported: int = 0
    """What it has counted; 0 before it counted anything."""
    covered: int = 0
    """Our count of the same."""
    news: tuple[int, int] = (_PRIOR, _PRIOR)
    """What it counted, and what we counted, of all that was new in one request after the other."""

    @property
    def ratio(self) -> float:
        """What it counts for one token of ours that is new."""
        return min(_LARGEST_RATIO, max(_SMALLEST_RATIO, self.news[0] / self.news[1]))

    def after(self, reported: int, counted: int) -> Measure:
        """Return the measure once a request was counted: `reported` by the provider, `counted` by us."""
        believed = min(counted * _LARGEST_RATIO + _TEMPLATE, max(counted * _SMALLEST_RATIO, reported))
        news = self.news
        if counted > self.covered and believed > self.reported:
            news = (news[0] + round(believed) - self.reported, news[1] + counted - self.covered)
        return Measure(round(believed), counted, news)

    def with_reply(self, usage: Usage, counted: int) -> Measure:
        """Return the measure once the reply went back, of which we counted `counted` tokens.

        Whether its thinking went back with it is told by our count, which holds it only then.
        """
        without = max(0, usage.output_tokens - usage.reasoning_tokens)
        back = min(usage.output_tokens, without, key=lambda tokens: abs(tokens - counted * self.ratio))
        return replace(self, reported=self.reported + back, covered=self.covered + counted)

    def theirs(self, tokens: int) -> int:
        """Return what the provider will count of a request that has `tokens` by our count."""
        return max(0, round(self.reported + (tokens - self.covered) * self.ratio))

    def ours(self, tokens: int) -> int:
        """Return our count of a request of which the provider counts `tokens`."""
        return max(0, int(self.covered + (tokens - self.reported) / self.ratio))
