"""The embedded default model: rules in place of a language model, without key or network."""

from harness.models.offline.model import OfflineModel

__all__ = ["OfflineModel"]
