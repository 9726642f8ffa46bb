"""A model behind an endpoint, and how it is asked: what all wire APIs have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.models.limiter import Limits
from harness.models.port import Price
from harness.models.profiles import UNKNOWN, Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A model behind one wire API and how it is asked."""

    model: str
    base_url: str | None = None
    """What stands before the path of the API, the official address if None; a query string is kept."""
    api_key: str = field(default="", repr=False)
    dialect: str = "openai"
    """Which of the servers that speak the API this is; see `harness.models.dialects`."""
    provider: str = ""
    """Who serves it, as OpenTelemetry names providers, where neither API nor dialect tells."""
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """More fields of the request body; None takes out one that would be sent."""
    stream: bool = False
    max_tokens: int | None = None
    temperature: float | None = None
    timeout_seconds: float = 600.0
    """The most that one attempt may take."""
    idle_seconds: float = 120.0
    """The longest silence within a stream."""
    retries: int = 4
    backoff_seconds: float = 0.5
    context_window: int | None = None
    """Overrides the profile's."""
    price: Price | None = None
    """Overrides the profile's."""
    limits: Limits = Limits()
    """What may be asked of the endpoint with this key, by all of this process together."""
    key_from: str = ""
    """Where the key came from, in words, for the error text of a key that is refused."""
    profile: Profile = UNKNOWN
    """What is known of the model's family."""

    @property
    def heard_temperature(self) -> float | None:
        """The temperature, unless the model's family refuses one; `extra` sends it all the same."""
        return None if self.profile.fixed_sampling else self.temperature

    @property
    def assumed(self) -> str:
        """What is taken for granted because nobody says it, or left out because the model refuses it."""
        if self.temperature is not None and self.heard_temperature is None:
            return f"the temperature {self.temperature:g} is not sent, as {self.model} takes none"
        if self.profile.family:
            return ""
        unknown = [
            f"its {name} is unknown"
            for name, value in (("context window", self.context_window), ("price", self.price))
            if value is None
        ]
        told = "it is taken to think as its server has it"
        return f"the model {self.model} is of no known family: {', '.join([*unknown, told])}"
