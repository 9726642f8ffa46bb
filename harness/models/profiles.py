"""What is known of each family of models: sizes, prices, and what it can be told about thinking.

Data, not code: the families stand in `profiles.toml`, the first that matches counts. A model that no
family matches gets `UNKNOWN`, whose defaults are safe with every server.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import Any

from harness.models.port import Price
from harness.models.thinking import ThinkingOptions


@dataclass(frozen=True, slots=True)
class Profile:
    """A family of models."""

    family: str
    """Its name in the table; empty where the model is unknown."""
    context_window: int | None = None
    """Tokens that fit into one request, its reply included."""
    max_output: int | None = None
    """Tokens that one reply may have."""
    price: Price | None = None
    """As its provider has it; None where it is not known, as with a server of one's own."""
    thinking: ThinkingOptions = ThinkingOptions()
    reasoning_field: str = ""
    """The field of a message that holds the reasoning, where its server's dialect names none."""
    reasoning_required: bool = False
    """Whether the endpoint refuses an earlier turn with tool calls that comes back without its reasoning."""
    prefix: str = "kept"
    """What a new user message does to the prompt that the server builds: `kept`, or `drops-reasoning` where the
    template leaves earlier thinking out then, so that the server's cache no longer fits."""
    preserve: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Switches that make the server keep the thinking of earlier turns in its prompt."""
    soft_switches: bool = False
    """Whether `/think` and `/no_think` in what it reads turn its thinking on and off."""
    sampling: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    """What the makers say to sample with, by mode of thinking, `on` and `off`."""
    fixed_sampling: bool = False
    """Whether a temperature is refused or not heard."""
    forced_calls: bool = True
    """Whether a tool call may be demanded of it (`tool_choice: required`)."""
    reasoning_bound: bool = False
    """Whether the endpoint refuses reasoning once anything before it has changed."""


UNKNOWN = Profile("")


def profile_of(model: str, provider: str = "") -> Profile:
    """Return the profile of a model by the name its endpoint knows it under.

    Args:
        provider: Who serves it, by its name in `harness.team.providers`, or empty if nobody knows: prices are
            some providers' only, and so may be a whole family.
    """
    name = model.lower().removeprefix("models/")
    names = (name, name.rpartition("/")[2])
    for told, profile in _families().values():
        if provider and provider not in told.get("providers", (provider,)):
            continue
        if not any(fnmatchcase(name, pattern) for name in names for pattern in told["match"]):
            continue
        if provider in told.get("priced_at", (provider,)):
            for pattern, price in told.get("prices", {}).items():
                if any(fnmatchcase(name, pattern) for name in names):
                    return replace(profile, price=_price(told, pattern, price))
        return profile
    return UNKNOWN


def family(name: str) -> Profile | None:
    """Return the profile of a family by its name in the table, without a price: that is its models'."""
    return _families()[name][1] if name in _families() else None


def family_names() -> tuple[str, ...]:
    """Return the names of all families, as the table has them."""
    return tuple(_families())


@cache
def _families() -> dict[str, tuple[Mapping[str, Any], Profile]]:
    text = files("harness.models").joinpath("profiles.toml").read_text(encoding="utf-8")
    return {name: (told, _profile(name, told)) for name, told in tomllib.loads(text).items()}


_NOT_ITS_OWN = ("match", "providers", "priced_at", "prices", "prices_above", "thinking")


def _price(family: Mapping[str, Any], pattern: str, price: Sequence[float]) -> Price:
    """Return a price of a family, with what long requests cost if they cost more."""
    above: Mapping[str, Any] = family.get("prices_above", {})
    return Price(*price, above=(above["tokens"], Price(*above[pattern])) if pattern in above else None)


def _profile(name: str, family: Mapping[str, Any]) -> Profile:
    told = {key: value for key, value in family.items() if key not in _NOT_ITS_OWN}
    thinking = dict(family.get("thinking", {}))
    for key in ("efforts", "budget"):
        if key in thinking:
            thinking[key] = tuple(thinking[key])
    return Profile(name, thinking=ThinkingOptions(**thinking), **told)
