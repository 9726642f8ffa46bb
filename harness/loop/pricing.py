"""What a model call costs."""

from __future__ import annotations

from harness.messages import Usage
from harness.models.port import Model


def cost_of(model: Model, usage: Usage) -> float | None:
    """Return what `usage` of a model costs in USD; None if nobody knows."""
    if model.price is not None:
        return model.price.cost(usage)
    return 0.0 if model.provider in ("offline", "scripted") else None
